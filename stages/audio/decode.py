"""Read recordings through soundfile: mono float32 at the wanted rate; every fault is an AudioError.

Shapes: T samples, C channels.
"""

import hashlib
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from reseed.store import AudioError

Waveform = NDArray[np.float32]

SILENCE_DBFS = -80.0
LOUDEST = 16.0
_BLOCK_SAMPLES = 1 << 20  # of all channels together: what bounds memory
_STREAMED = (0, 0xFFFFFFFF)


@dataclass(frozen=True)
class Inspection:
    """What decoding a whole recording once has shown.

    Attributes:
        samples_sha256: of its samples, channels averaged, as 16-bit numbers: the same for every lossless container.
    """

    duration_s: float
    sample_rate_hz: int
    channels: int
    samples_sha256: str


def inspect(path: Path) -> Inspection:
    """Decode a recording from end to end, block by block.

    Raises:
        AudioError: missing, empty, not audio, cut short, NaN or infinite samples, silent once its channels are
            averaged, or far outside -1..1.
    """
    _check_exists(path)
    _check_riff_whole(path)
    peak, samples, sha256 = 0.0, 0, hashlib.sha256()
    with _opened(path) as file:
        for block_T in _blocks(file, None):
            peak, samples = max(peak, float(np.abs(block_T).max())), samples + len(block_T)
            sha256.update(np.rint(32_768 * block_T.clip(-1, 1)).clip(-32_768, 32_767).astype("<i2").tobytes())
        announced, rate, channels = file.frames, file.samplerate, file.channels
    if samples == 0:
        raise AudioError("has no samples")
    if samples < announced:
        raise AudioError(f"is cut short: {samples} of {announced} samples can be decoded")
    if peak < 10 ** (SILENCE_DBFS / 20):
        raise AudioError(f"is silent: its peak is below {SILENCE_DBFS:.0f} dBFS")
    if peak > LOUDEST:
        raise AudioError(f"has samples up to {peak:.4g}; they should lie in -1..1, so it is scaled otherwise")
    return Inspection(samples / rate, rate, channels, sha256.hexdigest())


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
    with _opened(path) as file:
        rate = file.samplerate
        _skip(file, min(round(start_s * rate), file.frames))
        wanted = None if duration_s is None else round(duration_s * rate)
        blocks = list(_blocks(file, channel, wanted))
        found = sum(map(len, blocks))
        if found == 0 or (wanted is not None and found < wanted - 1):
            of = "" if wanted is None else f" of {wanted}"
            raise AudioError(f"is cut short: {found}{of} samples from {start_s:.3f} s on")
        return resampled(np.concatenate(blocks), rate, sample_rate_hz)


def _skip(file: soundfile.SoundFile, samples: int) -> None:
    """Go to a sample; some codings (GSM 6.10) can only be read from the beginning."""
    if file.seekable():
        file.seek(samples)
    else:
        for _ in _blocks(file, None, samples):
            pass


def resampled(waveform_T: Waveform, rate_hz: int, wanted_hz: int) -> Waveform:
    """Return a waveform [T] at another rate, whatever the two: time and memory are those of the samples alone."""
    if rate_hz == wanted_hz:
        return waveform_T
    found: Waveform = soxr.resample(waveform_T, rate_hz, wanted_hz, quality="HQ")
    return found


def _blocks(file: soundfile.SoundFile, channel: int | None, wanted: int | None = None) -> Iterator[Waveform]:
    """Yield what is left of a recording, or so many samples of it, as float32 [T]: one channel, or all averaged.

    Not `file.blocks`: where a file is cut short it gives what its buffer held before.
    """
    step = max(1, _BLOCK_SAMPLES // file.channels)
    left = math.inf if wanted is None else wanted
    while left > 0:
        block_TC = file.read(int(min(step, left)), dtype="float32", always_2d=True)
        if not len(block_TC):
            return
        if not np.isfinite(block_TC).all():
            raise AudioError("has NaN or infinite samples")
        left -= len(block_TC)
        yield block_TC.mean(axis=1) if channel is None else block_TC[:, channel]


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a recording; whatever goes wrong while it is decoded is that recording's fault and no other's.

    Raises:
        AudioError: it cannot be opened, decoded or resampled; says how that showed.
    """
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except AudioError:
        raise
    except (soundfile.LibsndfileError, TypeError) as error:
        hint = "; convert AAC to FLAC with ffmpeg" if path.suffix.lower() in (".m4a", ".aac", ".mp4") else ""
        raise AudioError(f"cannot be decoded ({str(error).rstrip('.')}){hint}") from error
    except Exception as error:  # damaged files fail in as many ways as there are codecs
        raise AudioError(f"cannot be decoded ({type(error).__name__}: {error})") from error


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
