"""ECAPA-TDNN of TaoRuijie/ECAPA-TDNN, a widely used re-implementation with published weights.

The network is that of Desplanques et al. (arXiv 2005.07143); the names of weights are those of the code named above,
whose file holds them below `speaker_encoder.`, beside the loss.

Shapes: B batch, T samples, M mel bands, F frames, C channels, D embedding dimension.
"""

import torch
from torch import Tensor, nn

from reseed.stages.backbones.ecapa_trunk import AGGREGATED, SQUEEZED, VARIANCE_FLOOR, ECAPATrunk, with_context
from reseed.stages.backbones.features import SAMPLE_RATE_HZ, filterbank, mel_spectrogram
from reseed.stages.backbones.settings import ECAPATaoRuijieConfig
from reseed.stages.backbones.weights import Checkpoint


class ECAPATaoRuijie(ECAPATrunk):
    """80 log-mel bands less their means over time, 1024 channels, attentive mean and deviation; D = 192.

    Embeddings are returned as the last normalisation gives them, of any length.
    """

    name = "ecapa_taoruijie"
    Config = ECAPATaoRuijieConfig
    sample_rate_hz = SAMPLE_RATE_HZ
    landmarks = ("conv1.weight", "layer1.convs.0.weight", "attention.4.weight", "fc6.weight")
    features_text = "log-mel 20..7600 Hz, 25/10 ms, Hamming, pre-emphasis 0.97, less the mean"

    def __init__(self, config: ECAPATaoRuijieConfig) -> None:
        super().__init__()
        checkpoint = Checkpoint.read(config.weights, type(self))
        self.torchfbank = mel_spectrogram(checkpoint.size("conv1.weight", 1), f_min=20.0, f_max=7600.0)
        self.build_trunk(checkpoint, _gate)
        self.attention = nn.Sequential(
            nn.Conv1d(3 * AGGREGATED, 256, kernel_size=1),
            nn.ReLU(),
            nn.BatchNorm1d(256),
            nn.Tanh(),
            nn.Conv1d(256, AGGREGATED, kernel_size=1),
            nn.Softmax(dim=2),
        )
        checkpoint.load_into(self, recomputed=("torchfbank.",))

    def spectrum(self, waveform_BT: Tensor) -> Tensor:
        """Return power in mel bands [B, M, F]."""
        spectrum_BMF: Tensor = self.torchfbank(waveform_BT)
        return spectrum_BMF

    def features_of_log(self, log_BMF: Tensor) -> Tensor:
        """Return log-mel bands [B, M, F], each of mean 0 over time."""
        return log_BMF - log_BMF.mean(dim=2, keepdim=True)

    @property
    def filterbank_HM(self) -> Tensor:
        return filterbank(self.torchfbank)

    def pool(self, activation: Tensor) -> Tensor:
        map_BCF = activation
        weight_BCF = self.attention(with_context(map_BCF))
        mean_BC = (map_BCF * weight_BCF).sum(dim=2)
        variance_BC = (map_BCF.square() * weight_BCF).sum(dim=2) - mean_BC.square()
        pooled_BC = torch.cat([mean_BC, variance_BC.clamp(min=VARIANCE_FLOOR).sqrt()], dim=1)
        return self.bn6(self.fc6(self.bn5(pooled_BC)))


def _gate(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.AdaptiveAvgPool1d(1),
        nn.Conv1d(channels, SQUEEZED, kernel_size=1),
        nn.ReLU(),
        nn.Conv1d(SQUEEZED, channels, kernel_size=1),
        nn.Sigmoid(),
    )
