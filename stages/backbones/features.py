"""Features of the voxceleb_trainer family: pre-emphasis, Hamming windows of 25 ms every 10 ms, FFT of 512 points.

Chung et al., "In defence of metric learning for speaker recognition" (arXiv 2003.11982), and what descends from it.

Shapes: B batch, T samples, M features per frame, F frames (T // 160 + 1).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.transforms import MFCC, MelSpectrogram

SAMPLE_RATE_HZ = 16_000
LOG_OFFSET = 1e-6
LEAST_SAMPLES = 400
STFT = {"n_fft": 512, "win_length": 400, "hop_length": 160, "window_fn": torch.hamming_window}


def repeated(waveform_BT: Tensor, samples: int) -> Tensor:
    """Return waveforms of at least so many samples: shorter ones are repeated from their beginning up to that.

    voxceleb_trainer, WeSpeaker and 3D-Speaker lengthen short clips in this way.
    """
    length = waveform_BT.shape[1]
    return waveform_BT if length >= samples else waveform_BT.repeat(1, -(-samples // length))[:, :samples]


class PreEmphasis(nn.Module):
    """y[t] = x[t] - 0.97 x[t - 1], with x[-1] = x[1] (reflection); of a window at least, so that frames can be cut."""

    flipped_filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("flipped_filter", torch.tensor([[[-0.97, 1.0]]]))

    def forward(self, waveform_BT: Tensor) -> Tensor:
        padded_B1T = F.pad(repeated(waveform_BT, LEAST_SAMPLES)[:, None], (1, 0), mode="reflect")
        return F.conv1d(padded_B1T, self.flipped_filter)[:, 0]


def mel_spectrogram(n_mels: int, **limits_hz: float) -> nn.Sequential:
    """Waveforms [B, T] -> power in triangular HTK mel bands [B, M, F]; `limits_hz` may hold f_min and f_max."""
    return nn.Sequential(PreEmphasis(), MelSpectrogram(SAMPLE_RATE_HZ, n_mels=n_mels, **STFT, **limits_hz))


def filterbank(spectrogram: nn.Sequential) -> Tensor:
    """Return how much each of 257 frequencies counts in each band of a `mel_spectrogram`, [257, M]."""
    mel: MelSpectrogram = spectrogram[1]
    bank: Tensor = mel.mel_scale.fb
    return bank


def mfcc(n_mfcc: int, **limits_hz: float) -> nn.Sequential:
    """Waveforms [B, T] -> cosine transform (orthonormal) of the logarithm of as many mel bands [B, M, F]."""
    melkwargs = {"n_mels": n_mfcc, **STFT, **limits_hz}
    return nn.Sequential(PreEmphasis(), MFCC(SAMPLE_RATE_HZ, n_mfcc, log_mels=True, melkwargs=melkwargs))


def in_full_precision(features: Callable[[Tensor], Tensor], waveform_BT: Tensor) -> Tensor:
    """Compute features outside of any autocast: their dynamic range exceeds that of half precision."""
    with torch.autocast(waveform_BT.device.type, enabled=False):
        return features(waveform_BT.float())
