"""Kaldi's filter-bank features for a batch of waveforms, as WeSpeaker and 3D-Speaker compute them: no dither.

Povey et al., "The Kaldi speech recognition toolkit" (ASRU 2011), compute-fbank-feats.

Shapes: B batch, T samples, N samples per frame, F frames (those that fit whole), S spectrum, M mel bands.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.compliance.kaldi import get_mel_banks

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
        frame_BFN = waveform_BT.unfold(1, self.frame_samples, self.shift_samples)
        frame_BFN = frame_BFN - frame_BFN.mean(dim=2, keepdim=True)
        before_BFN = torch.cat([frame_BFN[..., :1], frame_BFN[..., :-1]], dim=2)
        windowed_BFN = (frame_BFN - PRE_EMPHASIS * before_BFN) * self.window_N
        power_BFS = torch.fft.rfft(windowed_BFN, self.n_fft).abs().square()
        return (power_BFS @ self.filters_SM).clamp(min=LEAST_POWER).log()
