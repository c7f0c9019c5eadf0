"""The recordings that views draw from: noise, music, room responses, and other speakers for babble.

Shapes: T samples.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stages.audio.decode import Waveform, read
from stages.audio.manifest import Utterance, check_unchanged
from store import AudioError, ManifestError

_CACHE_BYTES = 256 << 20


class AudioBank:
    """Decoded-once access to the recordings of each kind ("noise", "music", "rir", "babble").

    Args:
        sources: kind -> manifest rows; drawn from in the order of their ids, whatever order they come in.
        sample_rate_hz: rate at which all waveforms are returned.
    """

    def __init__(self, sources: Mapping[str, Sequence[Utterance]], sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._ids = {kind: sorted(row.utterance_id for row in rows) for kind, rows in sources.items()}
        self._rows = {kind: {row.utterance_id: row for row in rows} for kind, rows in sources.items()}
        self._cache: OrderedDict[tuple[str, str], Waveform] = OrderedDict()
        self._cached_bytes = 0

    def draw(self, kind: str, generator: np.random.Generator, not_speaker: str | None = None) -> str:
        """Draw the id of one recording, not of `not_speaker` (an utterance without a speaker is its own speaker).

        Raises:
            ManifestError: nothing of that kind, or nobody but `not_speaker`.
        """
        ids = self._ids.get(kind, [])
        if not ids:
            raise ManifestError(f"a view asks for {kind}, but there is no {kind} recording to draw from")
        for _ in range(1000):
            chosen = ids[int(generator.integers(len(ids)))]
            if not_speaker is None or self._speaker(kind, chosen) != not_speaker:
                return chosen
        raise ManifestError(f"a view asks for {kind}, but there is no speaker other than {not_speaker}")

    def stretch(self, kind: str, chosen: str, samples: int, generator: np.random.Generator) -> Waveform:
        """Return `samples` of a recording from a random point on, wrapping round where it is too short."""
        waveform_T = self.whole(kind, chosen)
        if len(waveform_T) >= samples:
            start = int(generator.integers(len(waveform_T) - samples + 1))
            return waveform_T[start : start + samples]
        return np.resize(np.roll(waveform_T, -int(generator.integers(len(waveform_T)))), samples)

    def whole(self, kind: str, chosen: str) -> Waveform:
        """Return a whole recording [T], decoded once and kept while there is room.

        Raises:
            ManifestError: it was usable when it was prepared and is no longer (AudioError for babble).
        """
        key = (kind, chosen)
        if key not in self._cache:
            self._remember(key, self._decode(kind, self._rows[kind][chosen]))
        self._cache.move_to_end(key)
        return self._cache[key]

    def _decode(self, kind: str, row: Utterance) -> Waveform:
        try:
            check_unchanged(row.path, row.sha256)
            return read(Path(row.path), self._sample_rate_hz, row.start_s, row.duration_s)
        except AudioError as error:
            if kind == "babble":  # speech: it becomes a reject in its own right, and another voice will do
                raise
            raise ManifestError(f"{row.path} {error}, and a view needs it; prepare the {kind} again") from error

    def _remember(self, key: tuple[str, str], waveform_T: Waveform) -> None:
        self._cache[key] = waveform_T
        self._cached_bytes += waveform_T.nbytes
        while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes

    def _speaker(self, kind: str, chosen: str) -> str:
        return self._rows[kind][chosen].speaker_id or chosen
