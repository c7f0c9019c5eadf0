"""A store against what it says it was made from: the manifest, and the very recordings."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reseed.stages.audio.manifest import Manifest as Utterances
from reseed.stages.audio.manifest import manifest_digest
from reseed.stages.auditing.blocks import Source, hashed_ids, identities
from reseed.stages.auditing.survey import Survey
from reseed.stages.extraction.lineage import located
from reseed.store import EmbeddingStore, Reject, ReseedError, StoreError, read_rejects
from reseed.store.format import REJECTS_NAME

_BATCH = 65_536
_LISTED = 20
_NAMED = ("utterance_id", "speaker_id")
_SOUND = ("sha256", "start_s", "duration_s")

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Manifest:
    """What the manifest of a store says that the store does not.

    Attributes:
        is_as_then: it is what the store was made from, and the store was not edited since; else nothing is said of
            what is missing or unlisted.
        missing: utterances it lists that are neither stored nor rejected: how many, and the first of them.
        unlisted: stored ones it does not list.
        relabelled: (utterance, speaker here, speaker there), and how many in all.
        twins: pairs of stored utterances that are one stretch of one recording, and how many.
    """

    path: Path
    is_as_then: bool
    missing: tuple[int, list[str]]
    unlisted: tuple[int, list[str]]
    relabelled: tuple[int, list[tuple[str, str, str]]]
    twins: tuple[int, list[tuple[str, str]]]


@dataclass(frozen=True)
class Remade:
    """One row of a shard made again from its recording: how well it agrees, or why it could not be made."""

    shard: str
    utterance_id: str
    view: str
    crop: int
    cosine: float | None
    problem: str = ""


def manifest_path(origin: EmbeddingStore) -> Path | None:
    """Return where the manifest of an extracted store lies; none where the store names none, or none that is there."""
    parent = origin.header.declaration.parent("utterances")
    path = None if parent is None else located(parent["path"], origin.path)
    return path if path is not None and path.exists() else None


def is_as_then(path: Path, origin: EmbeddingStore) -> bool:
    """Whether a manifest lists what it did when the store was made, and the store is as it was made."""
    declared = origin.header.declaration
    then = declared.parent("utterances")
    return "edits" not in declared.inputs and then is not None and manifest_digest(Utterances(path)) == then["digest"]


def check_manifest(
    path: Path, origin: EmbeddingStore, source: Source, survey: Survey, rejects: list[Reject], is_whole: bool
) -> Manifest:
    """Compare the ids, speakers and recordings that a manifest lists with what is stored.

    Args:
        origin: the store that was extracted by this manifest: `source` itself, or what it was derived from.
        is_whole: no shard is damaged, so that what is not there is missing.
    """
    same = is_as_then(path, origin)
    ids, speakers, sounds = _hashed(path)
    stored, labels = survey.ids, survey.labels
    left_out = hashed_ids([reject.utterance_id for reject in rejects])
    missing = np.flatnonzero(~np.isin(ids, stored) & ~np.isin(ids, left_out) & (same and is_whole))
    unlisted = np.flatnonzero(~np.isin(stored, ids) & same)
    _, here, there = np.intersect1d(stored, ids, return_indices=True)
    differ = np.flatnonzero((labels[here] != speakers[there]) & (labels[here] != 0) & (speakers[there] != 0))
    listed = np.isin(ids, stored)
    order = np.flatnonzero(listed)[np.argsort(sounds[listed], kind="stable")]
    again = np.flatnonzero(sounds[order][1:] == sounds[order][:-1])
    pairs = np.stack([order[again], order[again + 1]], axis=1)[:_LISTED]
    names = _names(path, [*missing[:_LISTED], *there[differ[:_LISTED]], *pairs.ravel()])
    stored_names = _stored_names(source, [*unlisted[:_LISTED], *here[differ[:_LISTED]]])
    return Manifest(
        path,
        same,
        (len(missing), [names[row][0] for row in missing[:_LISTED].tolist()]),
        (len(unlisted), [stored_names[row][0] for row in unlisted[:_LISTED].tolist()]),
        (
            len(differ),
            [
                (*stored_names[h], names[t][1])
                for h, t in zip(here[differ[:_LISTED]].tolist(), there[differ[:_LISTED]].tolist(), strict=True)
            ],
        ),
        (len(again), [(names[first][0], names[second][0]) for first, second in pairs.tolist()]),
    )


def remake(source: Source, origin: EmbeddingStore, shards: int) -> Iterator[Remade]:
    """Make one row of each of some shards again, evenly over the store.

    Raises:
        ReseedError: nothing of this store can be made again here, and why.
    """
    from reseed.stages.extraction.replayer import Replayer  # torch takes seconds

    if origin.path.resolve() != source.path:
        raise StoreError(f"it was made from {origin.path}; audit that")
    replayer = Replayer(origin.path)
    positions = np.unique(np.linspace(0, len(source.header.shards) - 1, max(shards, 1)).astype(int)).tolist()
    for position in positions if source.header.shards else ():
        block = next((number for number, found in enumerate(source.blocks) if found.shard == position), None)
        if block is None:
            continue
        rows = source.read(block)
        utterance = len(rows.ids) // 2
        view = position % len(source.views)
        place = rows.place((utterance * source.crops) * len(source.views) + view)
        name = source.header.shards[position].name
        cosine, problem = None, ""
        try:
            cosine = replayer.replay(place.utterance_id, place.view, place.crop).cosine
        except ReseedError as error:
            problem = str(error)
        yield Remade(name, place.utterance_id, place.view, place.crop, cosine, problem)


def rejects_of(store: Path) -> list[Reject]:
    """Return what a store has left out; nothing where the file cannot be read, which the audit says elsewhere."""
    try:
        return list(read_rejects(store / REJECTS_NAME))
    except (ReseedError, OSError, pa.ArrowException):
        return []


def _hashed(path: Path) -> tuple[Hashes, Hashes, Hashes]:
    """Return 64 bits of each row's id, speaker (0: none) and stretch of recording."""
    parts: list[tuple[Hashes, Hashes, Hashes]] = []
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH, columns=[*_NAMED, *_SOUND]):
            columns = batch.to_pydict()
            sounds = [f"{a} {b} {c}" for a, b, c in zip(*(columns[name] for name in _SOUND), strict=True)]
            parts.append((hashed_ids(columns[_NAMED[0]]), hashed_ids(columns[_NAMED[1]]), hashed_ids(sounds)))
    if not parts:
        return np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.uint64)
    ids, speakers, sounds_all = (np.concatenate(found) for found in zip(*parts, strict=True))
    return ids, speakers, sounds_all


def _names(path: Path, rows: list[int]) -> dict[int, tuple[str, str]]:
    """Return id and speaker of some rows of a manifest."""
    if not rows:
        return {}
    table = pq.read_table(path, columns=list(_NAMED)).take(pa.array(rows, pa.int64()))
    found = zip(rows, table["utterance_id"].to_pylist(), table["speaker_id"].to_pylist(), strict=True)
    return {int(row): (name, speaker or "") for row, name, speaker in found}


def _stored_names(source: Source, rows: list[int]) -> dict[int, tuple[str, str]]:
    found = identities(source, np.array(rows, np.int64))
    return {int(row): (name, speaker or "") for row, (name, speaker) in zip(rows, found, strict=True)}
