"""`score`: trials and the vectors of one store -> scores.parquet and identification.parquet.

Every view of the store is a test condition; enrolment comes from one view. No audio is opened and no model is loaded.

Shapes: U stored utterances, D embedding dimension, P trials, T test utterances.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.score_files import (
    IDENTIFICATION_SCHEMA,
    RAW,
    SCORES_SCHEMA,
    Origin,
    read_speakers,
    read_trials,
    scores_schema,
)
from stages.scoring.cosine import cosine_scores, utterance_embeddings
from stages.scoring.identification import rank_speakers
from stages.section import Section
from store import EmbeddingStore, ManifestError, ScoringError, StoreError
from store.atomic import atomic_path

SCORING = "cosine"

Indices = NDArray[np.int64]


class ScoreSettings(Section):
    """How trials are scored.

    Attributes:
        enrolment_view: the view that enrolment embeddings come from.
        allow_missing: leave out (and count) trials whose utterances are not in the store, instead of refusing them.
    """

    enrolment_view: str = "clean"
    allow_missing: bool = False


@dataclass(frozen=True)
class Catalogue:
    """The stored utterances [U] in the order of their vectors, and who speaks (null where unknown)."""

    ids: pa.DictionaryArray
    speakers: pa.DictionaryArray

    @property
    def speaker_codes(self) -> Indices:
        """Speakers as numbers, [U]; -1 where unknown."""
        codes: Indices = self.speakers.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return codes


@dataclass(frozen=True)
class Trials:
    """Trials as rows of the catalogue: enrolment and test [P, 2], labels and conditions; and how many were left out."""

    pairs_P2: Indices
    is_target: pa.Array
    condition: pa.Array
    left_out: int

    def on(self, view: str) -> "Trials":
        """Return the trials to score on one view: those bound to it and those bound to none."""
        kept = pc.fill_null(pc.equal(self.condition, view), True)
        rows = kept.to_numpy(zero_copy_only=False)
        return Trials(self.pairs_P2[rows], self.is_target.filter(kept), self.condition.filter(kept), self.left_out)


def score(
    *,
    store: Path,
    trials: Path,
    utterances: Path,
    scores: Path,
    identification: Path,
    system: str,
    settings: ScoreSettings,
) -> str:
    """Write scores.parquet and identification.parquet, and return one sentence on them.

    Args:
        store: directory of the store to score; every view of it is a condition.
        trials: trials.parquet; a trial that names a condition is scored on that view alone.
        utterances: utterances.parquet, which says who speaks.
        scores: written; one row per trial and condition.
        identification: written; rank of the true speaker per test utterance and condition, where speakers are known.
        system: how the report calls this store, e.g. "raw" or an enhancer's name.

    Raises:
        StoreError: the store, or a view that enrolment or a trial asks for, is missing.
        ManifestError: the trial list or manifest cannot be read, or names an utterance that the store lacks.
        ScoringError: a vector has no direction.
    """
    source = EmbeddingStore(store)
    catalogue = read_catalogue(source, utterances)
    listed = resolve_trials(trials, source, catalogue, settings)
    check_views(trials, source, listed, settings)
    ranked: list[pa.Table] = []
    with (
        atomic_path(scores) as temporary,
        pq.ParquetWriter(temporary, scores_schema(_origin(source, listed, settings)), compression="zstd") as writer,
    ):
        for view, enrolment_UD, test_UD in _embeddings(source, settings.enrolment_view):
            chosen = listed.on(view)
            score_P = cosine_scores(enrolment_UD, test_UD, chosen.pairs_P2)
            writer.write_table(_score_table(system, view, chosen, catalogue, score_P))
            enrolled, tested = np.unique(listed.pairs_P2[:, 0]), np.unique(chosen.pairs_P2[:, 1])
            rank_T, speakers = rank_speakers(enrolment_UD, test_UD, catalogue.speaker_codes, enrolled, tested)
            ranked.append(_rank_table(system, view, catalogue, tested[rank_T > 0], rank_T[rank_T > 0], speakers))
    with atomic_path(identification) as temporary:
        pq.write_table(pa.concat_tables(ranked), temporary, compression="zstd")
    tail = f", {listed.left_out} left out (their utterances are not in the store)" if listed.left_out else ""
    return f"{system}: {len(listed.pairs_P2)} trials scored in {len(source.views)} conditions{tail}"


def read_catalogue(source: EmbeddingStore, utterances: Path) -> Catalogue:
    """List the utterances of a store with their speakers, as the manifest names them."""
    ids_U = pa.array(source.utterance_ids(), pa.string())
    manifest = read_speakers(utterances)
    speakers_U = manifest["speaker_id"].take(pc.index_in(ids_U, value_set=manifest["utterance_id"]))
    return Catalogue(ids_U.dictionary_encode(), speakers_U.combine_chunks().dictionary_encode())


def resolve_trials(path: Path, source: EmbeddingStore, catalogue: Catalogue, settings: ScoreSettings) -> Trials:
    """Read a trial list as rows of a store's catalogue.

    Raises:
        ManifestError: the list cannot be read, is empty, or names utterances that the store lacks.
    """
    table = read_trials(path)
    ids_U = catalogue.ids.dictionary_decode()
    rows = {side: pc.index_in(table[side], value_set=ids_U) for side in ("enrolment_id", "test_id")}
    stored = pc.and_(*(pc.is_valid(row) for row in rows.values()))
    left_out = table.num_rows - (pc.sum(stored).as_py() or 0)
    if left_out and not settings.allow_missing:
        absent = {name for side, row in rows.items() for name in table[side].filter(pc.is_null(row)).to_pylist()}
        raise ManifestError(
            f"{path}: {left_out} of {table.num_rows} trials name {len(absent)} utterances that {source.path} lacks, "
            f"e.g. {', '.join(sorted(absent)[:3])}; they may have been rejected (see rejects.parquet there): "
            "correct the list, or set score.allow_missing=true to leave these trials out"
        )
    if left_out == table.num_rows:
        raise ManifestError(f"{path}: no trial to score; {left_out} of {table.num_rows} name utterances not stored")
    pairs_P2 = np.stack([row.filter(stored).to_numpy() for row in rows.values()], axis=1).astype(np.int64)
    labels, conditions = (table[name].filter(stored).combine_chunks() for name in ("is_target", "condition"))
    return Trials(pairs_P2, labels, conditions, left_out)


def check_views(path: Path, source: EmbeddingStore, trials: Trials, settings: ScoreSettings) -> None:
    """Check that a store has the views that enrolment and trials ask for.

    Raises:
        StoreError: a view is missing; names it and those there are.
    """
    there = f"{source.path} has the views {', '.join(source.views)}"
    if settings.enrolment_view not in source.views:
        raise StoreError(f"{there}, not {settings.enrolment_view!r} to enrol from; set score.enrolment_view to one")
    absent = sorted(set(pc.unique(trials.condition).to_pylist()) - {None} - set(source.views))
    if absent:
        named = ", ".join(map(repr, absent[:3]))
        raise StoreError(f"{there}, not {named} that {path} asks for; extract that view or correct the list")


def _embeddings(
    source: EmbeddingStore, enrolment_view: str
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield each view with the unit vectors of all utterances in the enrolment view and in this one: [U, D]."""
    enrolment_UD = _view_embeddings(source, enrolment_view)
    for view in source.views:
        yield view, enrolment_UD, enrolment_UD if view == enrolment_view else _view_embeddings(source, view)


def _view_embeddings(source: EmbeddingStore, view: str) -> NDArray[np.float64]:
    index = source.views.index(view)
    blocks = (block[:, index].reshape(-1, source.crops, source.dim) for block in source.blocks())
    try:
        return np.concatenate([utterance_embeddings(vectors_UCD) for vectors_UCD in blocks])
    except ScoringError as error:
        raise ScoringError(f"{source.path}, view {view}: {error}") from error


def _origin(source: EmbeddingStore, trials: Trials, settings: ScoreSettings) -> Origin:
    inputs = source.header.declaration.inputs
    return Origin(
        space=source.space,
        fingerprint=source.fingerprint,
        conditions=source.recipes,
        enrolment_view=settings.enrolment_view,
        crops=source.crops,
        crop_s=_crop_s(source),
        method=inputs.get("enhancer", RAW),
        config=inputs.get("config", {}),
        left_out=trials.left_out,
    )


def _crop_s(source: EmbeddingStore) -> float | None:
    """Return the length of the crops in seconds, as the catalogue of the first shard has it."""
    catalogue = source.shard_rows(0) if source.shards else pa.table({})
    lengths_s = pc.unique(catalogue["duration_s"]).to_pylist() if "duration_s" in catalogue.column_names else []
    return lengths_s[0] if len(lengths_s) == 1 else None


def _score_table(
    system: str, view: str, trials: Trials, catalogue: Catalogue, score_P: NDArray[np.float64]
) -> pa.Table:
    enrolment, test = pa.array(trials.pairs_P2[:, 0]), pa.array(trials.pairs_P2[:, 1])
    columns = [
        *(_constant(name, score_P.size) for name in (system, SCORING, view)),
        catalogue.ids.take(enrolment),
        catalogue.ids.take(test),
        trials.is_target,
        catalogue.speakers.take(enrolment),
        catalogue.speakers.take(test),
        pa.array(score_P),
    ]
    return pa.table(columns, schema=SCORES_SCHEMA)


def _rank_table(
    system: str, view: str, catalogue: Catalogue, test_T: Indices, rank_T: Indices, speakers: int
) -> pa.Table:
    tested = pa.array(test_T)
    columns = [
        *(_constant(name, test_T.size) for name in (system, view)),
        catalogue.ids.take(tested),
        catalogue.speakers.take(tested),
        pa.array(rank_T, pa.int32()),
        pa.array(np.full(test_T.size, speakers), pa.int32()),
    ]
    return pa.table(columns, schema=IDENTIFICATION_SCHEMA)


def _constant(name: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([name], pa.string()))
