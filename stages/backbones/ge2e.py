"""GE2E, the pretrained speaker encoder that ships inside the resemblyzer wheel.

Wan et al., "Generalized end-to-end loss for speaker verification" (arXiv 1710.10467). Only the weights are taken
from the wheel, found through its metadata; importing the package would need a C compiler (webrtcvad).

Shapes: B batch, T samples, F frames, M mel bands, W windows, D embedding dimension.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.transforms import MelSpectrogram

from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.features import in_full_precision
from reseed.stages.backbones.settings import GE2EConfig
from reseed.stages.backbones.weights import Checkpoint, present
from reseed.store.atomic import sha256_file

WINDOW_FRAMES = 160
WINDOWS_PER_S = 1.3
MIN_COVERAGE = 0.75
TARGET_DBFS = -30.0
HOP_SAMPLES = 160
_LSTM_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
WINDOW_STEP = round(16_000 / WINDOWS_PER_S / HOP_SAMPLES)


class GE2E(StagedBackbone):
    """Three LSTM layers of 256 units on 40 mel bands (power, no logarithm), 160-frame windows; D = 256.

    Recordings longer than one window are cut into overlapping windows, 1.3 a second, whose embeddings are
    averaged, as the package's own encoder does. Recordings quieter than -30 dBFS are raised to it.
    """

    name = "ge2e"
    Config = GE2EConfig
    landmarks = ("lstm.weight_ih_l2", "linear.weight")
    sample_rate_hz = 16_000
    embedding_dim = 256

    def __init__(self, config: GE2EConfig | None = None) -> None:
        super().__init__()
        self.mel = MelSpectrogram(
            sample_rate=self.sample_rate_hz,
            n_fft=400,
            hop_length=HOP_SAMPLES,
            n_mels=40,
            power=2.0,
            norm="slaney",
            mel_scale="slaney",
            pad_mode="constant",
        )
        self.lstm = nn.LSTM(40, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, self.embedding_dim)
        self._weights = present((config or GE2EConfig()).weights or GE2EConfig.published())
        checkpoint = Checkpoint.read(self._weights, type(self))
        # The two scalars of the training loss are stored with the published encoder and play no part in embedding.
        state = {key: value for key, value in checkpoint.state.items() if not key.startswith("similarity_")}
        replace(checkpoint, state=state).load_into(self, recomputed=("mel.",))

    def identity(self) -> dict[str, Any]:
        return {
            "backbone": self.name,
            "weights_sha256": sha256_file(self._weights),
            "features": "mel 40, 25/10 ms, slaney, power, -30 dBFS",
            "windows": [WINDOW_FRAMES, WINDOWS_PER_S, MIN_COVERAGE],
        }

    def spectrum(self, waveform_BT: Tensor) -> Tensor:
        """Return mel bands [B, 40, F] of power, at the volume wanted, padded to whole windows."""
        needed = (window_starts(waveform_BT.shape[1])[-1] + WINDOW_FRAMES) * HOP_SAMPLES
        waveform_BT = F.pad(raise_volume(waveform_BT), (0, max(0, needed - waveform_BT.shape[1])))
        mel_BMF: Tensor = self.mel(waveform_BT)
        return mel_BMF[:, :, : needed // HOP_SAMPLES]

    def features_of_log(self, log_BMF: Tensor) -> Tensor:
        """Return the power of which this is the logarithm."""
        return log_BMF.exp()

    def features_of(self, spectrum_BMF: Tensor) -> Tensor:
        """Return the very bands: this network sees power without a logarithm."""
        return spectrum_BMF

    @property
    def filterbank_HM(self) -> Tensor:
        bank: Tensor = self.mel.mel_scale.fb
        return bank

    def activations(self, feature_BMF: Tensor) -> Tensor:
        """Return the outputs of the second LSTM layer [B, 256, W x 160], window after window.

        Of the third, only the last frame of a window is heard: it is part of the pooling.
        """
        output_NFC = self._layers(_windows(feature_BMF), 0, 2)
        return output_NFC.unflatten(0, (len(feature_BMF), -1)).flatten(1, 2).transpose(1, 2)

    def pool(self, activation: Tensor) -> Tensor:
        """Return the mean over windows of what the third layer says at their ends, to unit length."""
        output_NFC = activation.transpose(1, 2).unflatten(1, (-1, WINDOW_FRAMES)).flatten(0, 1)
        return self._averaged(self._layers(output_NFC, 2, 1), len(activation))

    def forward(self, waveform_BT: Tensor) -> Tensor:
        """Map waveforms to embeddings with all layers at once: what the steps give one after the other."""
        window_NFM = _windows(in_full_precision(self.features, waveform_BT))
        return self._averaged(_on_any_cpu(lambda rows_NFM: self.lstm(rows_NFM)[0], window_NFM), len(waveform_BT))

    def _layers(self, input_NFC: Tensor, first: int, count: int) -> Tensor:
        """Run some layers of the LSTM alone."""
        names = [f"{kind}_l{layer}" for layer in range(first, first + count) for kind in _LSTM_WEIGHTS]
        weights = [getattr(self.lstm, name) for name in names]

        def run(rows_NFC: Tensor) -> Tensor:
            zeros = rows_NFC.new_zeros(count, len(rows_NFC), self.lstm.hidden_size)
            # As in training, where there is no dropout: else cuDNN keeps nothing to differentiate by.
            output_NFC: Tensor = torch.lstm(rows_NFC, (zeros, zeros), weights, True, count, 0.0, True, False, True)[0]
            return output_NFC

        return _on_any_cpu(run, input_NFC)

    def _averaged(self, output_NFC: Tensor, batch: int) -> Tensor:
        window_BWD = F.normalize(F.relu(self.linear(output_NFC[:, -1])), dim=-1).unflatten(0, (batch, -1))
        return F.normalize(window_BWD.mean(dim=1), dim=-1)


def _windows(feature_BMF: Tensor) -> Tensor:
    """Return the windows of all rows, [B x W, 160, M]."""
    return feature_BMF.unfold(2, WINDOW_FRAMES, WINDOW_STEP).permute(0, 2, 3, 1).flatten(0, 1)


def _on_any_cpu(lstm: Callable[[Tensor], Tensor], rows_NFC: Tensor) -> Tensor:
    """Run an LSTM in full precision on a CPU: not every one has the instructions for another."""
    return in_full_precision(lstm, rows_NFC) if rows_NFC.device.type == "cpu" else lstm(rows_NFC)


def raise_volume(waveform_BT: Tensor) -> Tensor:
    """Scale rows quieter than -30 dBFS (RMS) up to it; louder rows and digital silence stay as they are."""
    rms_B1 = waveform_BT.square().mean(dim=1, keepdim=True).sqrt()
    gain_B1 = 10 ** (TARGET_DBFS / 20) / rms_B1.clamp_min(1e-10)
    return waveform_BT * torch.where(rms_B1 > 1e-10, gain_B1.clamp_min(1.0), 1.0)


def window_starts(n_samples: int) -> list[int]:
    """Return the first frame of each window over `n_samples`; the last one is dropped if covered under 75 %."""
    n_frames = n_samples // HOP_SAMPLES + 1
    starts = list(range(0, max(1, n_frames - WINDOW_FRAMES + WINDOW_STEP + 1), WINDOW_STEP))
    coverage = (n_samples / HOP_SAMPLES - starts[-1]) / WINDOW_FRAMES
    return starts[:-1] if coverage < MIN_COVERAGE and len(starts) > 1 else starts
