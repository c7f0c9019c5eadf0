"""`calibrate`: scores of one system (or of several, fused) -> natural-log likelihood ratios, by held-out trials.

Shapes: P trials, F features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.score_files import (
    CALIBRATED,
    SCORES_SCHEMA,
    Origin,
    read_enrolments,
    read_origin,
    read_quality,
    score_batches,
    scores_schema,
)
from stages.scorers.settings import CalibrationSettings, Measure
from stages.scoring.calibration import Calibration, fit_calibration
from stages.scoring.curves import Floats
from store import ScoringError
from store.atomic import atomic_path, digest

_COLUMNS: dict[Measure, str] = {"duration": "duration_s", "norm": "norm", "snr": "snr_db"}
_BATCH_P = 262_144
_FITTED_P = 2_000_000


class Quality:
    """Quality measures of trials: of each measure the lower of the two sides, and how far apart they are."""

    def __init__(self, path: Path, measures: Sequence[Measure], enrolments: Path | None) -> None:
        self._path = path
        self._measures = measures
        table = read_quality(path)
        if enrolments is not None:
            table = pa.concat_tables([table, _of_models(table, enrolments)])
        self._key = pc.binary_join_element_wise(
            table["condition"].cast(pa.string()), table["utterance_id"].cast(pa.string()), "\t"
        ).combine_chunks()
        self._values = {measure: table[_COLUMNS[measure]].to_numpy() for measure in measures}

    @property
    def names(self) -> list[str]:
        return [f"{measure}, {what}" for measure in self._measures for what in ("the lower", "difference")]

    def of(self, trials: pa.Table, enrolment_view: str) -> list[Floats]:
        """Return the features of some trials, each [P].

        Raises:
            ScoringError: an utterance has no measures.
        """
        enrolled = self._rows(pa.scalar(enrolment_view), trials["enrolment_id"])
        tested = self._rows(trials["condition"].cast(pa.string()), trials["test_id"])
        made = []
        for measure in self._measures:
            values = self._values[measure]
            values = np.log(values.clip(min=1e-3)) if measure == "duration" else values
            made += [np.minimum(values[enrolled], values[tested]), np.abs(values[enrolled] - values[tested])]
        return made

    def _rows(self, view: Any, ids: pa.ChunkedArray) -> Any:
        keys = pc.binary_join_element_wise(view, ids.cast(pa.string()), "\t")
        rows = pc.index_in(keys, value_set=self._key)
        if rows.null_count:
            view_of, name = keys.filter(pc.is_null(rows))[0].as_py().split("\t", 1)
            raise ScoringError(
                f"{self._path} has no measures of {name} in view {view_of} (and {rows.null_count - 1} more); make it "
                "of the store that was scored, and give --enrolments where trials name models"
            )
        return rows.to_numpy()


def calibrate(
    *,
    held_out: Sequence[Path],
    scores: Sequence[Path],
    calibrated: Path,
    settings: CalibrationSettings,
    system: str | None = None,
    held_out_quality: Path | None = None,
    quality: Path | None = None,
    held_out_enrolments: Path | None = None,
    enrolments: Path | None = None,
) -> str:
    """Write calibrated scores, one scoring for each that all files hold, and return one sentence on them.

    Args:
        held_out: scores of labelled trials of other speakers, one file per system: what the map is fitted on.
        scores: scores to map, of the same systems in the same order; several are fused.
        calibrated: written, in the form of scores.parquet; scorings are called "cosine+calibrated".
        system: name of the result; default: the systems, joined by "+".
        held_out_quality, quality: quality.parquet of either, where settings ask for measures.
        held_out_enrolments, enrolments: enrolments.parquet of either, where trials name models.

    Raises:
        ScoringError: files do not match, or hold no labelled trials of both classes.
    """
    if not scores or len(held_out) != len(scores):
        raise ScoringError(f"{len(scores)} score files but {len(held_out)} held-out ones; give one of each per system")
    if settings.quality and (held_out_quality is None or quality is None):
        raise ScoringError(f"{', '.join(settings.quality)}: give --quality and --held-out-quality")
    origins = [read_origin(path) for path in scores]
    for learnt, path, origin in zip(held_out, scores, origins, strict=True):
        if read_origin(learnt).space != origin.space:
            raise ScoringError(f"{learnt} scores {read_origin(learnt).space}, {path} scores {origin.space}")
    fits = _fitted(held_out, _quality(held_out_quality, settings, held_out_enrolments), settings)
    measures = _quality(quality, settings, enrolments)
    named = system or "+".join(dict.fromkeys(_system(path) for path in scores))
    origin = _origin(origins, fits, held_out)
    written = 0
    with (
        atomic_path(calibrated) as temporary,
        pq.ParquetWriter(temporary, scores_schema(origin), compression="zstd") as writer,
    ):
        for scoring, trials, features_PF in _features(scores, measures):
            if scoring in fits:
                llr_P = fits[scoring].llr(features_PF)
                writer.write_table(_relabelled(trials, named, scoring + CALIBRATED, llr_P))
                written += len(llr_P)
    if not written:
        raise ScoringError(f"{scores[0]} and {held_out[0]} share no scoring; score both in the same ways")
    return f"{named}: {', '.join(sorted(fits))} calibrated on {held_out[0]}"


def _quality(path: Path | None, settings: CalibrationSettings, enrolments: Path | None) -> Quality | None:
    return Quality(path, settings.quality, enrolments) if settings.quality and path else None


def _fitted(held_out: Sequence[Path], quality: Quality | None, settings: CalibrationSettings) -> dict[str, Calibration]:
    """Fit one map per scoring, on at most two million trials."""
    gathered: dict[str, list[tuple[Floats, Any]]] = {}
    for scoring, trials, features_PF in _features(held_out, quality):
        labelled = pc.is_valid(trials["is_target"]).to_numpy()
        if sum(len(features) for features, _ in gathered.get(scoring, [])) < _FITTED_P and labelled.any():
            labels = trials["is_target"].filter(pa.array(labelled)).to_numpy()
            gathered.setdefault(scoring, []).append((features_PF[labelled], labels))
    if not gathered:
        raise ScoringError(f"{held_out[0]} holds no labelled trial to calibrate by")
    names = [f"score of {_system(path)}" for path in held_out] + (quality.names if quality else [])
    fits = {}
    for scoring, parts in gathered.items():
        features_PF, label_P = (np.concatenate(column) for column in zip(*parts, strict=True))
        try:
            fits[scoring] = fit_calibration(features_PF, label_P, names, settings.p_target)
        except ScoringError as error:
            raise ScoringError(f"{held_out[0]}, {scoring}: {error}") from error
    return fits


def _features(paths: Sequence[Path], quality: Quality | None) -> Iterator[tuple[str, pa.Table, Floats]]:
    """Yield (scoring, trials, features [P, F]) batch by batch; all files list the same trials in the same order.

    Raises:
        ScoringError: they do not.
    """
    view = read_origin(paths[0]).enrolment_view
    for tables in zip(*(score_batches(path, _BATCH_P) for path in paths), strict=True):
        for other, path in zip(tables[1:], paths[1:], strict=True):
            for column in ("scoring", "condition", "enrolment_id", "test_id"):
                if not pc.all(pc.equal(tables[0][column].cast(pa.string()), other[column].cast(pa.string()))).as_py():
                    raise ScoringError(
                        f"{paths[0]} and {path} score other trials, or in another order; score both anew"
                    )
        for scoring in pc.unique(tables[0]["scoring"].cast(pa.string())).to_pylist():
            mask = pc.equal(tables[0]["scoring"].cast(pa.string()), scoring)
            chosen = [table.filter(mask) for table in tables]
            columns = [table["score"].to_numpy() for table in chosen]
            columns += quality.of(chosen[0], view) if quality else []
            yield scoring, chosen[0], np.stack(columns, axis=1)


def _relabelled(trials: pa.Table, system: str, scoring: str, score_P: Floats) -> pa.Table:
    count = trials.num_rows
    replaced = {"system": [system] * count, "scoring": [scoring] * count, "score": score_P}
    columns = {**{name: trials[name] for name in SCORES_SCHEMA.names}, **replaced}
    return pa.table({name: pa.array(value) if name in replaced else value for name, value in columns.items()}).cast(
        SCORES_SCHEMA
    )


def _system(path: Path) -> str:
    return str(next(score_batches(path, 1))["system"][0].as_py())


def _origin(origins: Sequence[Origin], fits: dict[str, Calibration], held_out: Sequence[Path]) -> Origin:
    """Say what was calibrated; what is fused has a space and a fingerprint of its own."""
    first = origins[0]
    scorings = {
        scoring + CALIBRATED: first.scorings.get(scoring, {})
        | {"calibration": _facts(fit) | {"held_out": [str(path) for path in held_out]}}
        for scoring, fit in fits.items()
    }
    if len(origins) == 1:
        return replace(first, scorings=scorings)
    backbone = first.space.partition("+")[0]
    return replace(
        first,
        space=f"{backbone}+fusion:{digest([origin.space for origin in origins])[:8]}",
        fingerprint=digest([origin.fingerprint for origin in origins]),
        method="fusion",
        config={"of": [origin.space for origin in origins]},
        scorings=scorings,
    )


def _facts(fit: Calibration) -> dict[str, Any]:
    return {**asdict(fit), "weight_F": [float(weight) for weight in fit.weight_F]}


def _of_models(table: pa.Table, enrolments: Path) -> pa.Table:
    """Return the measures of enrolment models: the means of those of their utterances, by condition."""
    members = read_enrolments(enrolments)
    joined = table.cast(pa.schema([*((field.name, _plain(field.type)) for field in table.schema)])).join(
        members, "utterance_id", join_type="inner"
    )
    columns = list(_COLUMNS.values())
    means = joined.group_by(["enrolment_id", "condition"]).aggregate([(name, "mean") for name in columns])
    renamed = means.select(["enrolment_id", "condition", *(f"{name}_mean" for name in columns)])
    return renamed.rename_columns(["utterance_id", "condition", *columns]).select(table.schema.names).cast(table.schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
