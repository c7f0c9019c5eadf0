"""The stores of a run, opened as they are asked for; nothing else can be asked for.

Shapes: U utterances, C crops, V views, D embedding dimension.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.auditing.arrays import Float32, unit
from reseed.stages.auditing.blocks import AuditedStore
from reseed.stages.auditing.browsing.trials import ScoredTrial, ScoreFile, may_hold_scores, read_score_file
from reseed.stages.common.terminal import printable
from reseed.stages.extraction.lineage import extracted_store, score_files
from reseed.stages.extraction.replayer import Replayer
from reseed.stages.search.search import Neighbour, Search, search_in
from reseed.stages.trial_scoring.files import SCORES
from reseed.store import ConfigError, EmbeddingStore, ReseedError, ScoringError, StoreError
from reseed.store.format import HEADER_NAME, Header
from reseed.store.header import read_header
from reseed.store.opening import check_sizes
from reseed.store.url import Url

_FOUND = 50  # utterances, of a search
_SKIPPED = ("utterance_id", "speaker_id", "view", "crop", "seed")  # shown elsewhere, or of no use to a reader
_NEAREST = 10
_HARDEST = 10  # trials, of targets and of non-targets


@dataclass(frozen=True)
class UtteranceRow:
    """One row of an utterance: a view of a crop, what the catalogue says of it, and its cosine with the clean one."""

    view: str
    crop: int
    catalogue: Mapping[str, str]
    cosine: float | None


@dataclass(frozen=True)
class Neighbourhood:
    """The utterances of a store that are nearest to one, or the problem why they cannot be told."""

    store: str
    neighbours: Sequence[Neighbour] = ()
    problem: str = ""


@dataclass(frozen=True)
class Sound:
    """A WAV file, and a quoted digest of it."""

    wav: bytes
    digest: str


class RunStores:
    """The stores below a run's folder (or one store alone), by their path in it.

    Raises:
        ConfigError: there is no finished store.
    """

    def __init__(self, run: Path, recordings: Sequence[Path | Url] = ()) -> None:
        self.run, self.recordings = run, tuple(recordings)
        self._hearing, self._scoring = Lock(), Lock()
        self._heard: tuple[object, Sound] | None = None
        if not self.paths:
            raise ConfigError(f"{run} holds no finished store; give the folder of a run, such as runs/demo, or a store")

    @property
    def paths(self) -> dict[str, Path]:
        """Where the stores lie that are there now."""
        found = sorted(self.run.rglob(HEADER_NAME)) if self.run.is_dir() else []
        return {printable(str(path.parent.relative_to(self.run))): path.parent for path in found}

    def open(self, name: str) -> "BrowsedStore":
        """Open a store.

        Raises:
            StoreError: there is none of that name, or it is damaged.
        """
        path = self.paths.get(name)
        if path is None:
            raise StoreError(f"no store {name!r} in this run")
        browsed = _opened(path, (path / HEADER_NAME).stat().st_mtime_ns, self.recordings)
        check_sizes(path, browsed.store.header)  # a mapped file that was cut meanwhile would end the process
        return browsed

    @property
    def score_paths(self) -> dict[str, Path]:
        """Where the score files lie that are there now, by their path in the run without its ending."""
        found = filter(may_hold_scores, sorted(self.run.glob("**/scores/**/*.parquet")))
        return {printable(str(path.relative_to(self.run).with_suffix(""))): path for path in found}

    def scores(self, name: str) -> ScoreFile:
        """Read a score file; the last is kept.

        Raises:
            ScoringError: there is none of that name, or it is damaged.
        """
        path = self.score_paths.get(name)
        if path is None:
            raise ScoringError(f"no scores {name!r} in this run")
        with self._scoring:
            return read_score_file(path, path.stat().st_mtime_ns)

    def holding(self, fingerprint: str) -> tuple[str, "BrowsedStore"] | None:
        """Return the store of a fingerprint and its name; None where it is not in this run."""
        found = (name for name, header in self._headers().items() if header.fingerprint == fingerprint)
        return next(((name, self.open(name)) for name in found), None)

    def related(self, name: str) -> list[str]:
        """Return the stores that hold the same utterances otherwise: the one that a store was made from comes first."""
        headers = self._headers()
        made_from = {
            header.fingerprint: parent.digest
            for header in headers.values()
            if (parent := header.declaration.parent("parent")) is not None
        }
        own = headers[name].fingerprint
        others = {other: header.fingerprint for other, header in headers.items() if header.fingerprint != own}
        family = [other for other in others if _origin(others[other], made_from) == _origin(own, made_from)]
        return sorted(family, key=lambda other: others[other] != made_from.get(own))

    def neighbours(self, name: str, utterance_id: str, view: str) -> Neighbourhood:
        """Return the neighbours of an utterance in a store, see `BrowsedStore.neighbours`."""
        try:
            return Neighbourhood(name, self.open(name).neighbours(utterance_id, view))
        except (ReseedError, OSError, ValueError) as error:
            return Neighbourhood(name, problem=str(error))

    def _headers(self) -> dict[str, Header]:
        """Return the headers of the stores; the list of stores says what is wrong with those that are damaged."""
        found = {}
        for name, path in self.paths.items():
            with suppress(ReseedError, OSError, ValueError):
                found[name] = read_header(path)
        return found

    def sound(self, browsed: "BrowsedStore", utterance_id: str, view: str, crop: int) -> Sound:
        """Render what is behind a row of a store, one at a time; the last is kept, since browsers ask for it in parts.

        Raises:
            ReseedError: it is not stored, or cannot be rendered here, and why.
        """
        with self._hearing:
            asked = (browsed, utterance_id, view, crop)
            if self._heard is None or self._heard[0] != asked:
                wav = browsed.audio(utterance_id, view, crop)
                self._heard = asked, Sound(wav, f'"{hashlib.sha256(wav).hexdigest()}"')
            return self._heard[1]


class BrowsedStore:
    """One store, and what is asked of it by the ids of its utterances.

    Raises:
        StoreError: such an utterance is not stored.
    """

    def __init__(self, path: Path, recordings: Sequence[Path | Url] = ()) -> None:
        self.path, self.store, self.recordings = path, EmbeddingStore(path), recordings
        self._reference = AuditedStore(path, self.store.header).reference
        self.clean = self.store.views[self._reference]

    @cached_property
    def speakers(self) -> dict[str, str | None]:
        """Utterance -> speaker, in the order of the store."""
        return dict(zip(self.store.utterance_ids(), self.store.speaker_ids(), strict=True))

    def search(self, text: str) -> tuple[int, list[tuple[str, str | None]]]:
        """Return how many utterances have a text in their id or speaker, and the first of them."""
        wanted = text.casefold()
        found = [
            (name, speaker)
            for name, speaker in self.speakers.items()
            if wanted in name.casefold() or wanted in (speaker or "").casefold()
        ]
        return len(found), found[:_FOUND]

    def rows(self, utterance_id: str) -> list[UtteranceRow]:
        """Return all rows of an utterance."""
        unit_CVD = unit(self._vectors(utterance_id))
        cosine_CV = np.einsum("cvd,cd->cv", unit_CVD, unit_CVD[:, self._reference])
        views, found = self.store.views, []
        for row in self.store.rows(filters=[("utterance_id", "==", utterance_id)]).to_pylist():
            view, crop = views.index(row["view"]), row["crop"]
            shown = {name: value for name, value in row.items() if name not in _SKIPPED and value not in (None, [])}
            cosine = None if view == self._reference else float(cosine_CV[crop, view])
            found.append(UtteranceRow(row["view"], crop, {name: _text(value) for name, value in shown.items()}, cosine))
        return found

    def neighbours(self, utterance_id: str, view: str) -> list[Neighbour]:
        """Return the utterances of which clean speech is nearest to a view of one, by the mean of their crops.

        It is one pass over the store, or one question to the index that is kept of it.
        """
        return self._search.nearest_to(utterance_id, self.speakers, _NEAREST, view=view)

    def scores(self, utterance_id: str) -> dict[str, list[ScoredTrial]]:
        """Return the hardest trials of the utterance by score file: the lowest targets, the highest others."""
        self._check(utterance_id)
        either = (pc.field("enrolment_id") == utterance_id) | (pc.field("test_id") == utterance_id)
        columns = list(ScoredTrial.__annotations__)
        found = {}
        for path in score_files(self.path, self.store.header):
            with SCORES.open(path) as file:
                batches = (pa.table(batch).filter(either) for batch in file.iter_batches(columns=columns))
                trials = [ScoredTrial(**row) for batch in batches for row in batch.to_pylist()]
            targets = sorted((trial for trial in trials if trial.is_target), key=lambda trial: trial.score)
            others = sorted((trial for trial in trials if not trial.is_target), key=lambda trial: -trial.score)
            if trials:
                found[path.name] = [*targets[:_HARDEST], *others[:_HARDEST]]
        return found

    def audio(self, utterance_id: str, view: str, crop: int) -> bytes:
        """Render what is behind a row: a WAV file.

        Raises:
            ReseedError: it is not stored, or cannot be rendered here, and why.
        """
        self._check(utterance_id)
        return self._replayer.wav(utterance_id, view, crop)

    @cached_property
    def _search(self) -> Search:
        return search_in(self.store, self.clean)

    @cached_property
    def _replayer(self) -> Replayer:
        return Replayer(extracted_store(self.path).path, recordings=self.recordings)

    def _vectors(self, utterance_id: str) -> Float32:
        """Return the vectors of an utterance, [C, V, D]."""
        self._check(utterance_id)
        shape = (self.store.crops, len(self.store.views), self.store.dim)
        rows = [
            self.store.get(utterance_id, view=view, crop=crop)
            for crop in range(self.store.crops)
            for view in self.store.views
        ]
        return np.array(rows, np.float32).reshape(shape)

    def _check(self, utterance_id: str) -> None:
        if utterance_id not in self.speakers:
            raise StoreError(f"no utterance {utterance_id!r} in this store")


def _origin(fingerprint: str, made_from: Mapping[str, str]) -> str:
    """Return the fingerprint of what a store was made from in the end."""
    seen = set[str]()
    while fingerprint in made_from and fingerprint not in seen:  # a header may name any store, its own too
        seen.add(fingerprint)
        fingerprint = made_from[fingerprint]
    return fingerprint


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value + 0.0:.4g}" if isinstance(value, float) else str(value)  # no -0


@lru_cache(maxsize=8)
def _opened(path: Path, state: int, recordings: tuple[Path | Url, ...]) -> BrowsedStore:
    """Keep the last stores; one that is written anew is opened anew."""
    return BrowsedStore(path, recordings)
