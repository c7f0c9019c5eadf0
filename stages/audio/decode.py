"""Read recordings through soundfile: mono float32 at the wanted rate; every fault is an AudioError.

Shapes: T samples, C channels.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from reseed.store import AudioError

Waveform = NDArray[np.float32]

SILENCE_DBFS = -80.0
LOUDEST = 16.0
_BLOCK_SAMPLES = 1 << 20
_STREAMED = (0, 0xFFFFFFFF)


@dataclass(frozen=True)
class Inspection:
    """What decoding a whole recording once has shown."""

    duration_s: float
    sample_rate_hz: int
    channels: int


def inspect(path: Path) -> Inspection:
    """Decode a recording from end to end, block by block.

    Raises:
        AudioError: missing, empty, not audio, cut short, NaN or infinite samples, silent once its channels are
            averaged, or far outside -1..1.
    """
    _check_exists(path)
    _check_riff_whole(path)
    try:
        with soundfile.SoundFile(path) as file:
            peak, samples = 0.0, 0
            # Not `file.blocks`: where a file is cut short it gives what its buffer held before.
            while len(block := file.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                if not np.isfinite(block).all():
                    raise AudioError("has NaN or infinite samples")
                peak, samples = max(peak, float(np.abs(block.mean(axis=1)).max())), samples + len(block)
            announced, rate, channels = file.frames, file.samplerate, file.channels
    except (soundfile.LibsndfileError, TypeError) as error:
        raise AudioError(_unreadable(path, error)) from error
    if samples == 0:
        raise AudioError("has no samples")
    if samples < announced:
        raise AudioError(f"is cut short: {samples} of {announced} samples can be decoded")
    if peak < 10 ** (SILENCE_DBFS / 20):
        raise AudioError(f"is silent: its peak is below {SILENCE_DBFS:.0f} dBFS")
    if peak > LOUDEST:
        raise AudioError(f"has samples up to {peak:.4g}; they should lie in -1..1, so it is scaled otherwise")
    return Inspection(samples / rate, rate, channels)


def read(
    path: Path,
    sample_rate_hz: int,
    start_s: float = 0.0,
    duration_s: float | None = None,
    channel: int | None = None,
) -> Waveform:
    """Read a stretch of a recording as float32 [T] at `sample_rate_hz`: one channel of it, or all averaged.

    Raises:
        AudioError: as `inspect`, for what is read.
    """
    _check_exists(path)
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            file.seek(min(round(start_s * rate), file.frames))
            wanted = -1 if duration_s is None else round(duration_s * rate)
            samples_TC = file.read(wanted, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, TypeError) as error:
        raise AudioError(_unreadable(path, error)) from error
    if len(samples_TC) == 0 or len(samples_TC) < wanted - 1:
        raise AudioError(f"is cut short: {len(samples_TC)} of {wanted} samples from {start_s:.3f} s on")
    if not np.isfinite(samples_TC).all():
        raise AudioError("has NaN or infinite samples")
    mono_T = samples_TC.mean(axis=1) if channel is None else samples_TC[:, channel]
    return mono_T if rate == sample_rate_hz else _resampled(mono_T, rate, sample_rate_hz)


def _resampled(waveform_T: Waveform, rate: int, wanted: int) -> Waveform:
    import torch  # here, because most recordings need no resampling and torch takes seconds to import
    from torchaudio.functional import resample

    resampled: Waveform = resample(torch.from_numpy(waveform_T), rate, wanted).numpy()
    return resampled


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise AudioError("does not exist" if not path.exists() else "is not a file")
    if path.stat().st_size == 0:
        raise AudioError("is empty (0 bytes)")


def _check_riff_whole(path: Path) -> None:
    """Compare the length a WAV header announces with the file's: libsndfile accepts a cut file in silence."""
    with path.open("rb") as file:
        head = file.read(8)
    if len(head) == 8 and head[:4] == b"RIFF":
        announced = struct.unpack("<I", head[4:])[0]
        if announced not in _STREAMED and announced + 8 > path.stat().st_size + 1:
            raise AudioError(f"is cut short: {path.stat().st_size} of {announced + 8} bytes are there")


def _unreadable(path: Path, error: Any) -> str:
    hint = "; convert AAC to FLAC with ffmpeg" if path.suffix.lower() in (".m4a", ".aac", ".mp4") else ""
    return f"cannot be decoded ({str(error).rstrip('.')}){hint}"
