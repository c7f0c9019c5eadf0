"""ECAPA-TDNN as SEED uses it: MFCC, and a pooling of second moments.

Lee et al., "SEED: Speaker Embedding Enhancement Diffusion Model" (arXiv 2505.16798), code kaistmm/seed-pytorch, whose
names of weights are kept here; the network is that of arXiv 2005.07143.

Shapes: B batch, T samples, M features per frame, F frames, C channels, D embedding dimension.
"""

import torch
from torch import Tensor, nn
from torchaudio.transforms import MFCC

from reseed.stages.backbones.ecapa_trunk import AGGREGATED, SQUEEZED, VARIANCE_FLOOR, ECAPATrunk, with_context
from reseed.stages.backbones.features import SAMPLE_RATE_HZ, mfcc
from reseed.stages.backbones.settings import ECAPATDNNConfig
from reseed.stages.backbones.weights import Checkpoint


class ECAPATDNN(ECAPATrunk):
    """80 MFCC less their means over time, 1024 channels, attention, root of the second moment and deviation; D = 256.

    The attention has a weight per channel and frame, or one per frame, as its last layer has outputs. The
    normalisation `bn6` is among the weights and unused. Embeddings are of any length.
    """

    name = "ecapa_tdnn"
    Config = ECAPATDNNConfig
    sample_rate_hz = SAMPLE_RATE_HZ
    landmarks = ("conv1.weight", "layer1.se.se.4.weight", "attention.3.weight", "fc6.weight")
    features_text = "MFCC of log-mel 20..7600 Hz, 25/10 ms, Hamming, pre-emphasis 0.97, less the mean"

    def __init__(self, config: ECAPATDNNConfig, checkpoint: Checkpoint | None = None) -> None:
        super().__init__()
        checkpoint = checkpoint or Checkpoint.read(config.weights, type(self))
        self.torchmfcc = mfcc(checkpoint.size("conv1.weight", 1), f_min=20.0, f_max=7600.0)
        self.build_trunk(checkpoint, _gate)
        self.attention = nn.Sequential(
            nn.Conv1d(3 * AGGREGATED, 128, kernel_size=1),
            nn.ReLU(),
            nn.BatchNorm1d(128),
            nn.Conv1d(128, 1 if checkpoint.size("attention.3.weight") == 1 else AGGREGATED, kernel_size=1),
            nn.Softmax(dim=2),
        )
        checkpoint.load_into(self, recomputed=("torchmfcc.",))

    def spectrum(self, waveform_BT: Tensor) -> Tensor:
        """Return power in mel bands [B, M, F]."""
        spectrum_BMF: Tensor = self._cepstrum.MelSpectrogram(self.torchmfcc[0](waveform_BT))
        return spectrum_BMF

    def features_of_log(self, log_BMF: Tensor) -> Tensor:
        """Return MFCC [B, M, F], each of mean 0 over time."""
        mfcc_BMF = (log_BMF.transpose(1, 2) @ self._cepstrum.dct_mat).transpose(1, 2)
        return mfcc_BMF - mfcc_BMF.mean(dim=2, keepdim=True)

    @property
    def filterbank_HM(self) -> Tensor:
        bank: Tensor = self._cepstrum.MelSpectrogram.mel_scale.fb
        return bank

    @property
    def _cepstrum(self) -> MFCC:
        return self.torchmfcc[1]

    def pool(self, activation: Tensor) -> Tensor:
        map_BCF = activation
        weight_BCF = self.attention(with_context(map_BCF))
        mean_BC = (map_BCF * weight_BCF).sum(dim=2)
        moment_BC = (map_BCF.square() * weight_BCF).sum(dim=2)
        variance_BC = moment_BC - mean_BC.square()
        pooled_BC = torch.cat([moment_BC, variance_BC], dim=1).clamp(min=VARIANCE_FLOOR).sqrt()
        return self.fc6(self.bn5(pooled_BC))


def _gate(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.AdaptiveAvgPool1d(1),
        nn.Conv1d(channels, SQUEEZED, kernel_size=1),
        nn.ReLU(),
        nn.BatchNorm1d(SQUEEZED),
        nn.Conv1d(SQUEEZED, channels, kernel_size=1),
        nn.Sigmoid(),
    )
