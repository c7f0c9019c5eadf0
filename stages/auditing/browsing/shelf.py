"""The stores of a run, opened as they are asked for; only what stands on the shelf can be asked for.

Shapes: U utterances, C crops, D embedding dimension.
"""

import tempfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reseed.stages.auditing.arrays import unit
from reseed.stages.auditing.blocks import AuditedStore
from reseed.stages.extraction.lineage import extracted_store, lineage_graph
from reseed.stages.extraction.replayer import Replayer
from reseed.store import ConfigError, EmbeddingStore, StoreError
from reseed.store.format import HEADER_NAME

_LISTED = 50
_SKIPPED = ("utterance_id", "speaker_id", "view", "crop", "seed")  # said elsewhere, or said to nobody
_NEAREST = 10
_SCORED = 10  # of either kind


@dataclass(frozen=True)
class Heard:
    """One row of an utterance: a view of a crop, and its cosine with the clean one."""

    view: str
    crop: int
    facts: dict[str, str]
    cosine: float | None


@dataclass(frozen=True)
class Neighbour:
    """Another utterance, by cosine."""

    utterance_id: str
    speaker_id: str | None
    cosine: float


class Shelf:
    """The stores below a run's folder (or one store alone), by their path in it.

    Raises:
        ConfigError: there is no finished store.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        if not self.names:
            raise ConfigError(f"{run} holds no finished store; give the folder of a run, such as runs/demo, or a store")

    @property
    def names(self) -> dict[str, Path]:
        """The stores that stand there now, by their path in the run."""
        found = sorted(self.run.rglob(HEADER_NAME)) if self.run.is_dir() else []
        return {str(path.parent.relative_to(self.run)): path.parent for path in found}

    def shown(self, name: str) -> "Shown":
        """Open a store.

        Raises:
            StoreError: none of that name stands here, or it is damaged.
        """
        names = self.names
        if name not in names:
            raise StoreError(f"no store {name!r} in this run")
        return _opened(names[name], (names[name] / HEADER_NAME).stat().st_mtime_ns)


class Shown:
    """One store, and what is asked of it."""

    def __init__(self, path: Path) -> None:
        self.path, self.store = path, EmbeddingStore(path)
        self.reference = AuditedStore(path, self.store.header).reference
        self._rendering = Lock()

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
        return len(found), found[:_LISTED]

    def rows(self, utterance_id: str) -> list[Heard]:
        """Return all rows of an utterance.

        Raises:
            StoreError: it is not stored.
        """
        self._known(utterance_id)
        table = self.store.rows(filters=[("utterance_id", "==", utterance_id)]).to_pylist()
        vectors = {
            (view, crop): unit(np.asarray(self.store.get(utterance_id, view=view, crop=crop), np.float32))
            for view in self.store.views
            for crop in range(self.store.crops)
        }
        clean = self.store.views[self.reference]
        heard = []
        for row in table:
            view, crop = row["view"], row["crop"]
            cosine = None if view == clean else float(vectors[view, crop] @ vectors[clean, crop])
            facts = {key: _text(value) for key, value in row.items() if key not in _SKIPPED and value not in (None, [])}
            heard.append(Heard(view, crop, facts, cosine))
        return heard

    def neighbours(self, utterance_id: str) -> list[Neighbour]:
        """Return the utterances nearest to one, by the mean of their crops on clean speech; one pass over the store."""
        self._known(utterance_id)
        view = self.store.views[self.reference]
        own_CD = np.stack([self.store.get(utterance_id, view=view, crop=crop) for crop in range(self.store.crops)])
        own_D = unit(unit(own_CD.astype(np.float32)).mean(axis=0))
        parts = []
        for crops_UCVD in self.store.utterance_blocks():
            crops_UCD = crops_UCVD[:, :, self.reference].astype(np.float32)
            parts.append(unit(unit(crops_UCD).mean(axis=1)) @ own_D)
        cosine_U = np.concatenate(parts)
        order = np.argsort(-cosine_U, kind="stable")[: _NEAREST + 1].tolist()
        names = list(self.speakers.items())
        return [Neighbour(*names[row], float(cosine_U[row])) for row in order if names[row][0] != utterance_id][
            :_NEAREST
        ]

    def scores(self, utterance_id: str) -> dict[str, list[dict[str, Any]]]:
        """Return the hardest trials of the utterance by file of scores: the lowest targets, the highest others."""
        self._known(utterance_id)
        found = {}
        for path in self._score_files:
            either = (pc.field("enrolment_id") == utterance_id) | (pc.field("test_id") == utterance_id)
            rows = pq.read_table(path, filters=either).to_pylist()
            targets = sorted((row for row in rows if row["is_target"]), key=lambda row: row["score"])
            others = sorted((row for row in rows if not row["is_target"]), key=lambda row: -row["score"])
            if rows:
                found[Path(path).name] = [*targets[:_SCORED], *others[:_SCORED]]
        return found

    def audio(self, utterance_id: str, view: str, crop: int) -> bytes:
        """Render what is behind a row: a WAV file.

        Raises:
            ReseedError: it is not stored, or cannot be rendered here, and why.
        """
        self._known(utterance_id)
        with self._rendering, tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "heard.wav"
            self._replayer.replay(utterance_id, view, crop, out)
            return out.read_bytes()

    @cached_property
    def _replayer(self) -> Replayer:
        return Replayer(extracted_store(self.path).path)

    @property
    def _score_files(self) -> list[str]:
        return [made.path for _, made in lineage_graph(self.path, self.store.header)[1] if made.kind == "scores"]

    def _known(self, utterance_id: str) -> None:
        if utterance_id not in self.speakers:
            raise StoreError(f"no utterance {utterance_id!r} in this store")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value + 0.0:.4g}" if isinstance(value, float) else str(value)  # no -0


@lru_cache(maxsize=8)
def _opened(path: Path, state: int) -> Shown:
    """Keep the last stores; one that is written anew is opened anew."""
    return Shown(path)
