"""The samples of a file from its beginning on, by soundfile or by FFmpeg, as what walking it has shown says.

Shapes: T samples, C channels.
"""

import math
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from reseed.stages.audio.containers.layout import Layout, Seekable, Source, Stitched
from reseed.stages.audio.containers.table import behind, layout_of
from reseed.stages.audio.location import Location
from reseed.stages.audio.opener import opened_bytes, state_of_file
from reseed.store import AudioError

Samples = NDArray[Any]  # [T, C] in float32, or in int32 scaled to all its bits

_BLOCK_SAMPLES = 1 << 20  # of all channels together: what bounds memory
_FFMPEG = {"AIFF": "aiff", "AU": "au", "CAF": "caf", "FLAC": "flac", "W64": "w64", "Ogg": "ogg",
           **dict.fromkeys(("RIFF", "RIFX", "RF64", "BW64"), "wav")}  # fmt: skip
# How much before a place is decoded, too, to hear there what the whole file holds: libsndfile 1.2.2 lands beside the
# place in Vorbis, and in the last page of Opus it does not let the decoder settle.
_PREROLL_S = {"VORBIS": math.inf, "OPUS": 2.0}


_ENCODER_LEAVES_OUT_S = 0.15  # of WMA, at the end


class Stream(Protocol):
    """Samples that are read once, from the beginning to the end.

    Attributes:
        codec: its name, as the decoder has it.
        samples: how many of each channel there must be; None: as many as come.
    """

    codec: str
    sample_rate_hz: int
    channels: int
    samples: int | None

    def skip(self, samples: int) -> None:
        """Leave out so many samples, or all."""

    def blocks(self, dtype: str = "float32", at_most: int | None = None) -> Iterator[Samples]:
        """Yield what is left, block by block, as "float32" or "int32"; more than `at_most` are not wanted."""


@contextmanager
def opened(location: Location, is_thorough: bool = False) -> Iterator[tuple[Layout, Stream]]:
    """Walk a recording and open it.

    Args:
        is_thorough: check also what decides nothing but whether the file is sound.

    Raises:
        AudioError: it is cut short or damaged, or nothing decodes it.
    """
    with opened_bytes(location) as given, ExitStack() as stack:
        layout = layout_of(given, is_thorough) if is_thorough else _layout(location, state_of_file(location))
        file = behind(Source.of(given), layout.offset).file
        given.seek(0)
        is_file = not (location.part or location.is_remote)  # by its name decoders read it faster
        whole = location.file if is_file else given
        if layout.ffmpeg is not None:
            yield layout, _by_ffmpeg(stack, _for_ffmpeg(whole, file, layout), layout.ffmpeg, layout.samples)
            return
        try:
            stream: Stream = _by_soundfile(stack, whole, file, layout)
        except soundfile.LibsndfileError:
            other = _otherwise(stack, whole, file, layout)
            if other is None:
                raise
            stream = other
        yield layout, stream


@lru_cache(maxsize=4096)
def _layout(location: Location, state: Hashable) -> Layout:
    with opened_bytes(location) as file:
        return layout_of(file, is_thorough=False)


def _otherwise(stack: ExitStack, whole: Seekable | str, file: Seekable, layout: Layout) -> Stream | None:
    """Open with FFmpeg what soundfile knows the container of, and not the codec; None: nor does FFmpeg."""
    name = _FFMPEG.get(layout.container.split()[0]) if len(layout.recordings) < 2 else None
    with suppress(AudioError):
        return None if name is None else _by_ffmpeg(stack, _for_ffmpeg(whole, file, layout), name, layout.samples)
    return None


def _by_soundfile(stack: ExitStack, whole: Seekable | str, file: Seekable, layout: Layout) -> Stream:
    """Open a file as it is where its header leads to as many samples as there are, otherwise the pieces of it."""
    least, most = (layout.samples or 0) - layout.most_trimmed, layout.samples
    if not layout.recordings or most is not None:
        try:
            found = stack.enter_context(soundfile.SoundFile(whole))
            if not layout.recordings or least <= found.frames <= (most or 0):
                return _Soundfile([found])
        except (soundfile.LibsndfileError, TypeError):
            if not layout.recordings:
                raise
    raw = {"format": "RAW", **layout.raw} if layout.raw else {}
    stitched = [Stitched(file, pieces) for pieces in layout.recordings]
    return _Soundfile([stack.enter_context(soundfile.SoundFile(piece, **raw)) for piece in stitched])


def _by_ffmpeg(stack: ExitStack, file: Seekable | str, name: str, samples: int | None) -> Stream:
    try:
        given = _Forward(file) if name == "avi" and not isinstance(file, str) else file
        container = stack.enter_context(av.open(given, "r", format=name, metadata_errors="ignore"))
        return _FFmpeg(container, samples)
    except av.error.FFmpegError as error:
        raise AudioError(f"cannot be decoded (FFmpeg: {error.strerror})") from error


def _for_ffmpeg(whole: Seekable | str, file: Seekable, layout: Layout) -> Seekable | str:
    """Return what FFmpeg is given: pieces of the file, or the file itself, whose name must not be taken for a URL."""
    if layout.recordings and not layout.raw:
        return Stitched(file, layout.recordings[0])
    return f"file:{whole}" if isinstance(whole, str) else whole


class _Soundfile:
    """Recordings behind one another, by soundfile."""

    def __init__(self, files: list[soundfile.SoundFile]) -> None:
        self._files = files
        first = files[0]
        self.codec, self.sample_rate_hz, self.channels = first.subtype, first.samplerate, first.channels
        if any((file.samplerate, file.channels) != (first.samplerate, first.channels) for file in files):
            raise AudioError("chains recordings of several rates or numbers of channels; take them apart")
        self.samples: int | None = sum(file.frames for file in files)

    def skip(self, samples: int) -> None:
        while self._files and samples >= self._files[0].frames and len(self._files) > 1:
            samples -= self._files.pop(0).frames
        file = self._files[0]
        samples = min(samples, file.frames)
        preroll_s = _PREROLL_S.get(file.subtype, 0.0) if file.seekable() else math.inf
        left = round(min(samples, preroll_s * self.sample_rate_hz))
        if left < samples:
            file.seek(samples - left)
        while left > 0 and (skipped := len(file.read(min(left, self._step), dtype="float32"))):
            left -= skipped

    def blocks(self, dtype: str = "float32", at_most: int | None = None) -> Iterator[Samples]:
        """Yield what is left; not by `file.blocks`: where a file is cut short it gives what its buffer held before."""
        step = self._step if at_most is None else min(self._step, at_most)
        for file in self._files:
            while len(block_TC := file.read(step, dtype=dtype, always_2d=True)):
                yield block_TC

    @property
    def _step(self) -> int:
        return max(1, _BLOCK_SAMPLES // self.channels)


class _Forward:
    """A file in which one cannot seek: what the index of an AVI lacks, FFmpeg leaves out where it can look there."""

    def __init__(self, file: Seekable) -> None:
        self.read = file.read


class _FFmpeg:
    """The first sound of a file, by FFmpeg; from the beginning, which alone tells where a sample lies."""

    def __init__(self, container: av.container.InputContainer, samples: int | None) -> None:
        if not container.streams.audio:
            raise AudioError("holds no sound")
        self._container, self._stream = container, container.streams.audio[0]
        context = self._stream.codec_context
        if context is None:
            raise AudioError("is of a codec that FFmpeg does not know")
        self.codec, self.samples = context.name, samples
        self._first: av.AudioFrame | None = None
        self._frames = self._decoded()
        self._first = next(self._frames, None)
        if self._first is None:
            raise AudioError("has no samples")
        self.sample_rate_hz, self.channels = _kind(self._first)
        self._left = 0  # of what is to be skipped
        self._least = 0  # samples that there must be
        if container.format.name == "asf" and len(container.streams) == 1:  # else it may be the length of the video
            announced_s = float((self._stream.duration or 0) * (self._stream.time_base or 0))
            self._least = round((announced_s - _ENCODER_LEAVES_OUT_S) * self.sample_rate_hz)

    def skip(self, samples: int) -> None:
        self._left = samples

    def blocks(self, dtype: str = "float32", at_most: int | None = None) -> Iterator[Samples]:
        for frame, count in self._counted():
            left, self._left = self._left, max(0, self._left - count)
            if left < count:
                yield _scaled(_array(frame)[left:count], dtype)

    def _counted(self) -> Iterator[tuple[av.AudioFrame, int]]:
        """Yield frames, and how many samples of each count: of the last, what its container says."""
        frame, found = self._first, 0
        while frame is not None:
            following = next(self._frames, None)
            count = frame.samples
            if following is None and frame.time_base == Fraction(1, frame.sample_rate) and 0 < frame.duration < count:
                count = frame.duration
            yield frame, count
            found += count
            frame = following
        if found < self._least:
            raise AudioError(f"is damaged: {found} of {self._least} samples or more can be decoded")

    def _decoded(self) -> Iterator[av.AudioFrame]:
        for packet in self._container.demux(self._stream):
            if packet.is_corrupt:
                raise AudioError("is cut short or damaged: a packet of it is incomplete")
            for frame in packet.decode():
                if self._first is not None and _kind(frame) != _kind(self._first):
                    raise AudioError("changes its rate or channels on the way; take apart what was joined")
                yield frame


def _kind(frame: av.AudioFrame) -> tuple[int, int]:
    return frame.sample_rate, len(frame.layout.channels)


def _array(frame: av.AudioFrame) -> Samples:
    """Return the samples of a frame, [T, C]."""
    array = frame.to_ndarray()
    return array.T if frame.format.is_planar else array.reshape(-1, len(frame.layout.channels))


def _scaled(block_TC: Samples, dtype: str) -> Samples:
    if block_TC.dtype.kind == "u":
        block_TC = block_TC.astype(np.int16) - 128 << 8
    if block_TC.dtype.kind == "i":
        block_TC = block_TC.astype(np.int32) << 32 - 8 * block_TC.dtype.itemsize
        return block_TC if dtype == "int32" else block_TC.astype(np.float32) * np.float32(2**-31)
    return block_TC.astype(dtype)
