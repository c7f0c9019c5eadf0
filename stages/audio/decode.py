"""Read recordings: mono float32 at the wanted rate; every fault is an AudioError.

Shapes: T samples, C channels.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from reseed.stages.audio.containers.layout import Layout
from reseed.stages.audio.location import Location
from reseed.stages.audio.streams import Stream, opened
from reseed.store import AudioError

Waveform = NDArray[np.float32]

SILENCE_DBFS = -80.0
LOUDEST = 16.0
CANCELLED_DB = -10.0  # of the mean of channels, against what it would be if they had nothing in common


@dataclass(frozen=True)
class Inspection:
    """What decoding a whole recording once has shown.

    Attributes:
        container, codec: what it is, whatever its name says.
        samples: of each channel.
        samples_sha256: of its samples, channels averaged, as 16-bit numbers: the same for every lossless container.
        silent_channels: those in which nothing is to be heard.
        fault_of_mean: why its channels must not be averaged; None: they may be.
    """

    container: str
    codec: str
    samples: int
    sample_rate_hz: int
    channels: int
    samples_sha256: str
    silent_channels: tuple[int, ...] = ()
    fault_of_mean: str | None = None

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.samples / self.sample_rate_hz


def inspect(where: Path | Location) -> Inspection:
    """Decode a recording from end to end, block by block.

    Raises:
        AudioError: missing, empty, not audio, cut short, other samples than were encoded, NaN or infinite samples,
            silent in all channels, or far outside -1..1.
    """
    with _decoding(where, is_thorough=True) as (layout, stream):
        levels, sums = _Levels(stream.channels), hashlib.md5(usedforsecurity=False)
        for block_TC in stream.blocks("int32" if layout.md5 else "float32"):
            if layout.md5:
                sums.update(_as_encoded(block_TC, layout.bits))
                block_TC = block_TC.astype(np.float32) * np.float32(2**-31)
            levels.add(_finite(block_TC))
        if levels.samples == 0:
            raise AudioError("has no samples")
        if levels.samples != (stream.samples or levels.samples):
            raise AudioError(f"is cut short: {levels.samples} of {stream.samples} samples can be decoded")
        if layout.md5 not in (None, sums.digest()):
            raise AudioError("is damaged: its samples are not those that were encoded (their MD5 differs)")
        levels.check()
        found = layout.container, stream.codec, levels.samples, stream.sample_rate_hz, stream.channels
        return Inspection(*found, levels.sha256.hexdigest(), levels.silent(), levels.fault_of_mean())


def read(
    where: Path | Location,
    sample_rate_hz: int,
    start_s: float = 0.0,
    duration_s: float | None = None,
    channel: int | None = None,
) -> Waveform:
    """Read a stretch of a recording as float32 [T] at `sample_rate_hz`: one channel of it, or all averaged.

    Raises:
        AudioError: as `inspect`, for what is read; it has no such channel.
    """
    with _decoding(where) as (_, stream):
        rate = stream.sample_rate_hz
        wanted = None if duration_s is None else round(duration_s * rate)
        blocks = list(_from(stream, start_s, channel, wanted))
        _check_length(sum(map(len, blocks)), wanted, start_s)
        return resampled(np.concatenate(blocks), rate, sample_rate_hz)


def read_blocks(
    where: Path | Location, sample_rate_hz: int, start_s: float, duration_s: float, channel: int | None = None
) -> Iterator[Waveform]:
    """Read a stretch of a recording as `read`, block by block, in the memory of a block.

    Raises:
        AudioError: as `read`.
    """
    with _decoding(where) as (_, stream):
        rate = stream.sample_rate_hz
        found, wanted = 0, round(duration_s * rate)
        resampler = soxr.ResampleStream(rate, sample_rate_hz, 1, "float32", "HQ")
        for block_T in _from(stream, start_s, channel, wanted):
            found += len(block_T)
            yield block_T if rate == sample_rate_hz else resampler.resample_chunk(np.ascontiguousarray(block_T))
        _check_length(found, wanted, start_s)
        if rate != sample_rate_hz:
            yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def read_joined(
    where: Path | Location, sample_rate_hz: int, stretches: Sequence[tuple[float, float]], channel: int | None = None
) -> Waveform:
    """Read stretches of a recording, each from a start to an end in seconds, in their order, and join them.

    What lies between them is decoded, and not kept.

    Raises:
        AudioError: as `read`.
    """
    with _decoding(where) as (_, stream):
        rate = stream.sample_rate_hz
        edges = [(round(start_s * rate), round(end_s * rate)) for start_s, end_s in stretches]
        first, kept = edges[0][0], []
        place, end = first, edges[-1][1]
        for block_T in _from(stream, first / rate, channel, end - first):
            after = place + len(block_T)
            inside = (edge for edge in edges if edge[0] < after and edge[1] > place)
            kept += [block_T[max(0, start - place) : stop - place].copy() for start, stop in inside]  # frees the block
            place = after
        _check_length(place - first, end - first, first / rate)
        return resampled(np.concatenate(kept), rate, sample_rate_hz)


def resampled(waveform_T: Waveform, rate_hz: int, wanted_hz: int) -> Waveform:
    """Return a waveform [T] at another rate, whatever the two: time and memory are those of the samples alone."""
    if rate_hz == wanted_hz:
        return waveform_T
    found: Waveform = soxr.resample(waveform_T, rate_hz, wanted_hz, quality="HQ")
    return found


@dataclass
class _Levels:
    """How loud the channels of a recording are, and their average."""

    channels: int
    samples: int = 0
    peak_of_mean: float = 0.0
    power_of_mean: float = 0.0
    power: float = 0.0
    peak_C: NDArray[Any] = field(init=False)
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        self.peak_C = np.zeros(self.channels)

    def add(self, block_TC: NDArray[Any]) -> None:
        mean_T = _mean(block_TC)
        self.sha256.update(np.rint(32_768 * mean_T.clip(-1, 1)).clip(-32_768, 32_767).astype("<i2").tobytes())
        self.samples += len(block_TC)
        self.peak_C = np.maximum(self.peak_C, np.abs(block_TC).max(axis=0))
        self.peak_of_mean = max(self.peak_of_mean, float(np.abs(mean_T).max()))
        if self.channels > 1:
            self.power_of_mean += float(np.vdot(mean_T, mean_T))
            self.power += float(np.vdot(block_TC, block_TC)) / self.channels

    def silent(self) -> tuple[int, ...]:
        """Return the channels in which nothing is to be heard."""
        return tuple(np.flatnonzero(self.peak_C < 10 ** (SILENCE_DBFS / 20)).tolist())

    def check(self) -> None:
        """Raise if nothing is to be heard in any channel, or if one is far outside -1..1."""
        if len(self.silent()) == self.channels:
            raise AudioError(f"is silent: its peak is below {SILENCE_DBFS:.0f} dBFS")
        peak = self.peak_C.max()
        if peak > LOUDEST:
            raise AudioError(f"has samples up to {peak:.4g}; they should lie in -1..1, so it is scaled otherwise")

    def fault_of_mean(self) -> str | None:
        """Return why the channels must not be averaged; None: they may be."""
        if self.channels == 1:
            return None
        least = 10 ** (CANCELLED_DB / 10) / self.channels
        if self.peak_of_mean >= 10 ** (SILENCE_DBFS / 20) and self.power_of_mean >= least * self.power:
            return None
        lost_db = 10 * math.log10(self.power / max(self.power_of_mean, 1e-30 * self.power))
        return (
            f"is all but silent once its {self.channels} channels are averaged, {min(lost_db, 300):.0f} dB below them: "
            "their phases cancel; name a channel in the list, or choose channels=first or channels=each"
        )


def _as_encoded(block_TC: NDArray[Any], bits: int) -> bytes:
    """Return samples in int32 as FLAC's MD5 is of them: little-endian, in whole bytes."""
    if bits == 16:
        return (block_TC >> 16).astype("<i2").tobytes()
    shifted_TC = np.ascontiguousarray(block_TC >> 32 - bits, "<i4")
    return shifted_TC.view(np.uint8).reshape(-1, 4)[:, : (bits + 7) // 8].tobytes()


def _finite(block_TC: NDArray[Any]) -> NDArray[Any]:
    if not np.isfinite(block_TC).all():
        raise AudioError("has NaN or infinite samples")
    return block_TC


def _mean(block_TC: NDArray[Any]) -> NDArray[Any]:
    """Return the average of all channels; of one, that itself, which numpy would take its time over."""
    mean_T: NDArray[Any] = block_TC[:, 0] if block_TC.shape[1] == 1 else block_TC.mean(axis=1)
    return mean_T


def _from(stream: Stream, start_s: float, channel: int | None, wanted: int | None) -> Iterator[Waveform]:
    """Yield a recording from a place on, or so many samples of it, as float32 [T]: one channel, or all averaged."""
    if channel is not None and channel >= stream.channels:
        raise AudioError(f"has {stream.channels} channels, counted from 0, and no channel {channel}")
    stream.skip(round(start_s * stream.sample_rate_hz))
    yield from _stretch(stream, channel, wanted)


def _check_length(found: int, wanted: int | None, start_s: float) -> None:
    if found == 0 or (wanted is not None and found < wanted - 1):
        of = "" if wanted is None else f" of {wanted}"
        raise AudioError(f"is cut short: {found}{of} samples from {start_s:.3f} s on")


def _stretch(stream: Stream, channel: int | None, wanted: int | None) -> Iterator[Waveform]:
    """Yield what is left of a recording, or so many samples of it, as float32 [T]: one channel, or all averaged."""
    left = math.inf if wanted is None else wanted
    if left <= 0:
        return
    for block_TC in stream.blocks(at_most=wanted):
        block_TC = _finite(block_TC if len(block_TC) <= left else block_TC[: int(left)])
        left -= len(block_TC)
        yield _mean(block_TC) if channel is None else block_TC[:, channel]
        if left <= 0:
            return


@contextmanager
def _decoding(where: Path | Location, is_thorough: bool = False) -> Iterator[tuple[Layout, Stream]]:
    """Open a recording; whatever goes wrong while it is decoded is that recording's fault and no other's.

    Raises:
        AudioError: it cannot be opened, decoded or resampled; says how that showed.
    """
    try:
        with opened(Location.of(where), is_thorough) as found:
            yield found
    except AudioError:
        raise
    except soundfile.LibsndfileError as error:
        raise AudioError(f"cannot be decoded ({error.error_string.rstrip('.')})") from error
    except Exception as error:  # damaged files fail in as many ways as there are codecs
        raise AudioError(f"cannot be decoded ({type(error).__name__}: {error})") from error
