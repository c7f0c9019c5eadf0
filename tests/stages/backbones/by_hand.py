"""Features and layers computed anew in double precision, from their definitions: what the backbones must agree with."""

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tests.corpus import voice

Array = NDArray[np.float64]
EPS = 1e-5


def waves(duration_s: float = 1.0, voices: int = 3) -> NDArray[np.float32]:
    """Waveforms [B, T] of different voices, loud and quiet."""
    return np.stack(
        [voice(i, i, duration_s) * level for i, level in zip(range(voices), (1.0, 0.05, 0.4), strict=False)]
    )


def assert_agree(ours_BD: Tensor, theirs_BD: Tensor, tolerance: float = 1e-4) -> None:
    """Embeddings differ by less than `tolerance` of their length, and so do their differences from each other."""
    ours_BD, theirs_BD = ours_BD.double(), theirs_BD.double()
    assert ours_BD.shape == theirs_BD.shape
    assert ((ours_BD - theirs_BD).norm(dim=1) < tolerance * theirs_BD.norm(dim=1)).all()
    ours_BD, theirs_BD = ours_BD - ours_BD.mean(dim=0), theirs_BD - theirs_BD.mean(dim=0)
    assert ((ours_BD - theirs_BD).norm(dim=1) < 5 * tolerance * theirs_BD.norm(dim=1)).all()


def pre_emphasised(wave_T: Array) -> Array:
    return wave_T - 0.97 * np.concatenate([wave_T[1:2], wave_T[:-1]])


def power_spectrum(wave_T: Array, n_fft: int, pad_mode: str) -> Array:
    """Centred frames of 400 samples every 160 under a periodic Hamming window: [F, n_fft // 2 + 1]."""
    padded = np.pad(wave_T, n_fft // 2, mode=pad_mode)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 400)
    window = np.pad(window, (n_fft - 400) // 2)
    starts = range(0, len(wave_T) + 1, 160)
    return np.stack([np.abs(np.fft.rfft(window * padded[start : start + n_fft])) ** 2 for start in starts])


def mel(hz: float) -> float:
    return 2595 * np.log10(1 + hz / 700)


def hertz(mel_value: Array) -> Array:
    return 700 * (10 ** (mel_value / 2595) - 1)


def triangles(n_mels: int, low_hz: float, high_hz: float, n_fft: int) -> Array:
    """HTK's filters as torchaudio draws them: [n_fft // 2 + 1, M], straight in Hz on both sides of each centre."""
    edges = hertz(np.linspace(mel(low_hz), mel(high_hz), n_mels + 2))
    bins = np.linspace(0, 8000, n_fft // 2 + 1)
    return np.stack([np.interp(bins, edges[m : m + 3], [0, 1, 0]) for m in range(n_mels)], axis=1)


def log_mel(wave_BT: Array, n_mels: int, low_hz: float, high_hz: float) -> Tensor:
    """log(mel + 1e-6) [B, M, F] after pre-emphasis."""
    filters = triangles(n_mels, low_hz, high_hz, 512)
    power = [power_spectrum(pre_emphasised(wave.astype(np.float64)), 512, "reflect") @ filters for wave in wave_BT]
    return torch.from_numpy(np.log(np.stack(power) + 1e-6)).transpose(1, 2)


def cosine_transform(log_BMF: Tensor) -> Tensor:
    return torch.from_numpy(scipy.fft.dct(log_BMF.numpy(), type=2, norm="ortho", axis=1))


def decibels(wave_BT: Array) -> Tensor:
    """SpeechBrain's bands [B, 80, F] in dB, at most 80 under the loudest of the utterance."""
    edges = hertz(np.linspace(0, mel(8000), 82))
    bins = np.linspace(0, 8000, 201)[:, None]
    left = edges[1:-1] - edges[:-2]
    rise, fall = (bins - edges[1:-1] + left) / left, (edges[1:-1] + left - bins) / left
    filters = np.maximum(0, np.minimum(rise, fall))
    levels = []
    for wave in wave_BT:
        level = 10 * np.log10(np.maximum(power_spectrum(wave.astype(np.float64), 400, "constant") @ filters, 1e-10))
        levels.append(np.maximum(level, level.max() - 80).T)
    return torch.from_numpy(np.stack(levels))


def kaldi_bands(wave_T: Array, rate_hz: int, n_mels: int, window: str) -> Array:
    """Kaldi's log-mel bands [F, M], computed frame by frame: dither 0, edges snipped, 20 Hz to half the rate."""
    size, shift = rate_hz * 25 // 1000, rate_hz * 10 // 1000
    n_fft = 2 ** int(np.ceil(np.log2(size)))
    angle = 2 * np.pi * np.arange(size) / (size - 1)
    shape = 0.54 - 0.46 * np.cos(angle) if window == "hamming" else (0.5 - 0.5 * np.cos(angle)) ** 0.85
    edges = np.linspace(*(1127 * np.log(1 + np.array([20, rate_hz / 2]) / 700)), n_mels + 2)
    mels = 1127 * np.log(1 + np.arange(n_fft // 2) * rate_hz / n_fft / 700)
    filters = np.stack([np.interp(mels, edges[m : m + 3], [0, 1, 0]) for m in range(n_mels)], axis=1)
    rows = []
    for start in range(0, len(wave_T) - size + 1, shift):
        frame = wave_T[start : start + size] - wave_T[start : start + size].mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * shape, n_fft)[:-1]) ** 2
        rows.append(np.log(np.maximum(power @ filters, np.finfo(np.float32).eps)))
    return np.stack(rows)


def batch_norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    weight, bias, mean, var = (
        state[f"{name}.{part}"].double().reshape(1, -1, *[1] * (x.ndim - 2))
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / torch.sqrt(var + EPS) * weight + bias


def conv(x: Tensor, state: dict[str, Tensor], name: str, **options: int | tuple[int, ...]) -> Tensor:
    bias = state[f"{name}.bias"].double() if f"{name}.bias" in state else None
    weight = state[f"{name}.weight"].double()
    return (F.conv1d if weight.ndim == 3 else F.conv2d)(x, weight, bias, **options)


def linear(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return x @ state[f"{name}.weight"].double().T + state[f"{name}.bias"].double()


def relu(x: Tensor) -> Tensor:
    return x.clamp(min=0)


def softmax(x: Tensor) -> Tensor:
    weights = (x - x.amax(dim=-1, keepdim=True)).exp()
    return weights / weights.sum(dim=-1, keepdim=True)
