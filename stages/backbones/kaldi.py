"""Kaldi's filter-bank features for a batch of waveforms, as WeSpeaker and 3D-Speaker compute them: no dither.

Povey et al., "The Kaldi speech recognition toolkit" (ASRU 2011), compute-fbank-feats.

Shapes: B batch, T samples, N samples per frame, F frames (those that fit whole), S spectrum, M mel bands.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.compliance.kaldi import get_mel_banks

from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.features import repeated
from reseed.stages.backbones.weights import Checkpoint

FRAME_S = 0.025
SHIFT_S = 0.010
PRE_EMPHASIS = 0.97
LOW_HZ = 20.0
LEAST_POWER = torch.finfo(torch.float32).eps


class KaldiFbank(nn.Module):
    """Log-mel bands from 20 Hz to half the sampling rate, frames of 25 ms every 10 ms.

    From each frame its mean is removed; pre-emphasis 0.97 is within the frame, whose first sample stands for the one
    before it. The window is Hamming's, or Povey's: Hann's to the power 0.85.
    """

    filters_SM: Tensor
    window_N: Tensor

    def __init__(self, sample_rate_hz: int, n_mels: int, window: str) -> None:
        super().__init__()
        self.frame_samples, self.shift_samples = round(FRAME_S * sample_rate_hz), round(SHIFT_S * sample_rate_hz)
        self.n_fft = 1 << (self.frame_samples - 1).bit_length()
        banks_MS, _ = get_mel_banks(n_mels, self.n_fft, float(sample_rate_hz), LOW_HZ, 0.0, 100.0, -500.0, 1.0)
        self.register_buffer("filters_SM", F.pad(banks_MS, (0, 1)).T.contiguous(), persistent=False)
        if window == "hamming":
            window_N = torch.hamming_window(self.frame_samples, periodic=False)
        else:
            window_N = torch.hann_window(self.frame_samples, periodic=False) ** 0.85
        self.register_buffer("window_N", window_N, persistent=False)

    def forward(self, waveform_BT: Tensor) -> Tensor:
        """Return log-mel bands [B, F, M] of waveforms [B, T], whose scale sets the least power that is told from 0."""
        return log_power(self.power(waveform_BT))

    def power(self, waveform_BT: Tensor) -> Tensor:
        """Return power in mel bands [B, F, M]."""
        frame_BFN = waveform_BT.unfold(1, self.frame_samples, self.shift_samples)
        frame_BFN = frame_BFN - frame_BFN.mean(dim=2, keepdim=True)
        before_BFN = torch.cat([frame_BFN[..., :1], frame_BFN[..., :-1]], dim=2)
        windowed_BFN = (frame_BFN - PRE_EMPHASIS * before_BFN) * self.window_N
        power_BFS = torch.fft.rfft(windowed_BFN, self.n_fft).abs().square()
        return power_BFS @ self.filters_SM

    def samples_of(self, frames: int) -> int:
        """Return the fewest samples that hold so many frames."""
        return self.frame_samples + (frames - 1) * self.shift_samples


def log_power(power: Tensor) -> Tensor:
    """Return the logarithm of power, not below that of the smallest step of single precision."""
    return power.clamp(min=LEAST_POWER).log()


class KaldiBackbone(StagedBackbone):
    """Base of the networks on Kaldi's bands, each band less its mean over the utterance.

    Attributes:
        window, scale: window of a frame, and the factor on waveforms in -1..1 that the network was trained with.
        least_frames: fewer have no deviation over time in the pooling.
    """

    sample_rate_hz = 16_000
    window: ClassVar[str]
    scale: ClassVar[float]
    least_frames: ClassVar[int]

    def build_fbank(self, checkpoint: Checkpoint, n_mels: int) -> None:
        """Make the filter bank, and note whose weights these are."""
        self.weights_sha256 = checkpoint.sha256
        self.fbank = KaldiFbank(self.sample_rate_hz, n_mels, self.window)

    def identity(self) -> dict[str, Any]:
        scaled = f", waveform x {self.scale:.0f}" if self.scale != 1 else ""
        features = f"Kaldi log-mel, 25/10 ms, {self.window}, pre-emphasis 0.97, less the mean{scaled}"
        return {"backbone": self.name, "weights_sha256": self.weights_sha256, "features": features}

    def spectrum(self, waveform_BT: Tensor) -> Tensor:
        """Return power in mel bands [B, M, F] of waveforms in -1..1."""
        waveform_BT = repeated(waveform_BT, self.fbank.samples_of(self.least_frames))
        return self.fbank.power(waveform_BT).transpose(1, 2)

    def log_of(self, spectrum_BMF: Tensor) -> Tensor:
        return log_power(spectrum_BMF * self.scale**2)

    def features_of_log(self, log_BMF: Tensor) -> Tensor:
        """Return log-mel bands [B, M, F], each of mean 0 over time."""
        return log_BMF - log_BMF.mean(dim=2, keepdim=True)

    @property
    def filterbank_HM(self) -> Tensor:
        return self.fbank.filters_SM
