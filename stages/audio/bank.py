"""The recordings that views draw from: noise, music, room responses, and other speakers for babble.

Shapes: T samples.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.audio.decode import Waveform, read
from reseed.stages.audio.location import Location
from reseed.stages.audio.manifest import Manifest, check_unchanged
from reseed.store import AudioError, ManifestError

WHOLE_S = 60.0  # recordings up to this long are decoded once and kept; of longer ones, what is needed is read
CheckPath = Callable[[str, str], None]

_CACHE_BYTES = 256 << 20
_COLUMNS = ["utterance_id", "path", "speaker_id", "start_s", "duration_s", "sha256", "channel"]


@dataclass(frozen=True)
class Recording:
    """One recording of the bank: a stretch of a file whose bytes have this SHA-256."""

    kind: str
    utterance_id: str
    path: str
    speaker_id: str | None
    start_s: float
    duration_s: float
    sha256: str
    channel: int | None = None

    @property
    def speaker(self) -> str:
        """The speaker; a recording of an unknown one counts as a speaker by itself."""
        return self.speaker_id or self.utterance_id


class AudioBank:
    """Recordings of each kind ("noise", "music", "rir", "babble"), decoded once; threads may share it.

    Args:
        sources: kind -> manifest; drawn from in the order of the ids, whatever order they come in.
        sample_rate_hz: rate at which all waveforms are returned.
        check: called with kind and path before a recording is opened; raises where it may not be.
    """

    def __init__(self, sources: Mapping[str, Manifest], sample_rate_hz: int, check: CheckPath | None = None) -> None:
        self._sample_rate_hz, self._check = sample_rate_hz, check
        self._tables = {kind: _in_order(manifest.table(_COLUMNS)) for kind, manifest in sources.items()}
        self._cache: OrderedDict[Recording, Waveform] = OrderedDict()
        self._cached_bytes = 0
        self._lock = Lock()

    def draw(self, kind: str, generator: np.random.Generator, not_speaker: str | None = None) -> Recording:
        """Draw a recording, not of `not_speaker`.

        Raises:
            ManifestError: nothing of that kind, or nobody but `not_speaker`.
        """
        table = self._tables.get(kind)
        if table is None or not len(table):
            raise ManifestError(f"a view asks for {kind}, but there is no {kind} recording to draw from")
        for _ in range(1000):
            (row,) = table.slice(int(generator.integers(len(table))), 1).to_pylist()
            drawn = Recording(kind, **row)
            if drawn.speaker != not_speaker:
                return drawn
        raise ManifestError(f"a view asks for {kind}, but there is no speaker other than {not_speaker}")

    def stretch(self, recording: Recording, samples: int, generator: np.random.Generator) -> Waveform:
        """Return `samples` of a recording from a random point on, wrapping round where it is too short."""
        wanted_s = samples / self._sample_rate_hz
        if recording.duration_s > max(WHOLE_S, wanted_s):
            start_s = float(generator.random()) * (recording.duration_s - wanted_s)
            return np.resize(self._decode(recording, start_s, wanted_s), samples)
        waveform_T = self.whole(recording)
        if len(waveform_T) >= samples:
            start = int(generator.integers(len(waveform_T) - samples + 1))
            return waveform_T[start : start + samples]
        return np.resize(np.roll(waveform_T, -int(generator.integers(len(waveform_T)))), samples)

    def whole(self, recording: Recording) -> Waveform:
        """Return a whole recording [T], decoded once and kept while there is room.

        Raises:
            ManifestError: it was usable when it was prepared and is no longer (AudioError for babble).
        """
        with self._lock:
            if recording in self._cache:
                self._cache.move_to_end(recording)
                return self._cache[recording]
        waveform_T = self._decode(recording, 0.0, recording.duration_s)
        with self._lock:
            if recording not in self._cache:  # another thread may have been faster
                self._remember(recording, waveform_T)
        return waveform_T

    def _decode(self, recording: Recording, start_s: float, duration_s: float) -> Waveform:
        if self._check is not None:
            self._check(recording.kind, recording.path)
        try:
            check_unchanged(recording.path, recording.sha256)
            start_s += recording.start_s
            # Of a response to an array of microphones one is taken: their average would be no room's response.
            channel = 0 if recording.kind == "rir" and recording.channel is None else recording.channel
            return read(Location.parse(recording.path), self._sample_rate_hz, start_s, duration_s, channel)
        except AudioError as error:
            if recording.kind == "babble":  # speech: it becomes a reject in its own right, and another voice will do
                raise
            raise ManifestError(
                f"{recording.path} {error}, and a view needs it; prepare the {recording.kind} again"
            ) from error

    def _remember(self, recording: Recording, waveform_T: Waveform) -> None:
        self._cache[recording] = waveform_T
        self._cached_bytes += waveform_T.nbytes
        while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes


def _in_order(table: pa.Table) -> pa.Table:
    """Return a table in the order of its ids; `prepare` has written it so, and sorting takes twice the memory."""
    ids = table["utterance_id"]
    in_order = len(ids) < 2 or pc.all(pc.less_equal(ids.slice(0, len(ids) - 1), ids.slice(1))).as_py()
    return table if in_order else table.sort_by("utterance_id")
