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

from reseed.stages.scoring.calibration import Calibration, fit_calibration
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.files import (
    CALIBRATED,
    SCORES_SCHEMA,
    Origin,
    is_calibrated,
    names_in,
    read_origin,
    score_batches,
    score_count,
    scores_schema,
)
from reseed.stages.trial_scoring.quality_measures import QualityMeasures
from reseed.stages.trial_scoring.settings import CalibrationSettings
from reseed.store import ScoringError
from reseed.store.atomic import atomic_path, digest

_BATCH_P = 262_144
_FITTED_P = 2_000_000
_OTHERWISE = "score other trials, or in another order; score both anew"


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
    for learnt, path in zip(held_out, scores, strict=True):
        _check_alike(learnt, path)
    _check_apart(held_out[0], scores[0])
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
                _check_finite(features_PF, scoring, scores)
                llr_P = fits[scoring].llr(features_PF)
                writer.write_table(_relabelled(trials, named, scoring + CALIBRATED, llr_P))
                written += len(llr_P)
    if not written:
        raise ScoringError(f"{scores[0]} and {held_out[0]} share no scoring; score both in the same ways")
    return f"{named}: {', '.join(fits)} calibrated on {held_out[0]}"


def _check_alike(learnt: Path, path: Path) -> None:
    """Check that held-out scores were made as the scores to calibrate were.

    Raises:
        ScoringError: of another space, enrolment view, cohort or PLDA, or calibrated already; names both files.
    """
    held, origin = read_origin(learnt), read_origin(path)
    if held.space != origin.space:
        raise ScoringError(f"{learnt} scores {held.space}, {path} scores {origin.space}; give scores of one system")
    if held.enrolment_view != origin.enrolment_view:
        raise ScoringError(
            f"{learnt} enrols from the view {held.enrolment_view}, {path} from {origin.enrolment_view}; score alike"
        )
    for scoring in held.scorings.keys() & origin.scorings.keys():
        if is_calibrated(scoring):
            raise ScoringError(f"{path} holds {scoring}, which is calibrated already; give the scores it was made from")
        if held.scorings[scoring] != origin.scorings[scoring]:
            raise ScoringError(
                f"{scoring} of {learnt} was made with {held.scorings[scoring]}, of {path} with "
                f"{origin.scorings[scoring]}; score both with one cohort"
            )


def _check_apart(learnt: Path, path: Path) -> None:
    """Check that nobody is in the trials a map is fitted on and in those it is meant for.

    Raises:
        ScoringError: speakers, or utterances where speakers are unknown, that are in both; counts them.
    """
    for what in ("speaker_id", "id"):
        held, here = (names_in(file, [f"enrolment_{what}", f"test_{what}"]) for file in (learnt, path))
        both = sorted(held & here)
        if both:
            noun = "speakers" if what == "speaker_id" else "utterances"
            raise ScoringError(
                f"{len(both)} {noun} are in the trials of {learnt} and of {path}, e.g. {', '.join(both[:3])}: such a "
                "calibration flatters; hold other speakers out (`reseed divide`)"
            )


def _check_finite(features_PF: Floats, scoring: str, scores: Sequence[Path]) -> None:
    bad = int((~np.isfinite(features_PF)).any(axis=1).sum())
    if bad:
        raise ScoringError(f"{scores[0]}: {bad} trials of {scoring} have a score that is not finite; score them anew")


def _quality(path: Path | None, settings: CalibrationSettings, enrolments: Path | None) -> QualityMeasures | None:
    return QualityMeasures(path, settings.quality, enrolments) if settings.quality and path else None


def _fitted(
    held_out: Sequence[Path], quality: QualityMeasures | None, settings: CalibrationSettings
) -> dict[str, Calibration]:
    """Fit one map per scoring; of more than two million scores every so many are taken, evenly over all conditions."""
    gathered: dict[str, list[tuple[Floats, Any]]] = {}
    every = max(1, -(-score_count(held_out[0]) // _FITTED_P))
    for scoring, trials, features_PF in _features(held_out, quality):
        labelled = pc.is_valid(trials["is_target"]).to_numpy()
        if labelled.any():
            labels = trials["is_target"].filter(pa.array(labelled)).to_numpy()
            gathered.setdefault(scoring, []).append((features_PF[labelled][::every], labels[::every]))
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


def _features(paths: Sequence[Path], quality: QualityMeasures | None) -> Iterator[tuple[str, pa.Table, Floats]]:
    """Yield (scoring, trials, features [P, F]) batch by batch; all files list the same trials in the same order.

    Raises:
        ScoringError: they do not.
    """
    view = read_origin(paths[0]).enrolment_view
    for tables in _in_step(paths):
        for scoring in pc.unique(tables[0]["scoring"].cast(pa.string())).to_pylist():
            mask = pc.equal(tables[0]["scoring"].cast(pa.string()), scoring)
            chosen = [table.filter(mask) for table in tables]
            columns = [table["score"].to_numpy() for table in chosen]
            columns += quality.of(chosen[0], view) if quality else []
            yield scoring, chosen[0], np.stack(columns, axis=1)


def _in_step(paths: Sequence[Path]) -> Iterator[list[pa.Table]]:
    """Yield the same trials of all files at a time, whatever row groups these have.

    Raises:
        ScoringError: they list other trials, or in another order.
    """
    readers = [score_batches(path, _BATCH_P) for path in paths]
    waiting = [next(reader, None) for reader in readers]
    while all(table is not None for table in waiting):
        rows = min(len(table) for table in waiting)
        taken = [table.slice(0, rows) for table in waiting]
        for other, path in zip(taken[1:], paths[1:], strict=True):
            for column in ("scoring", "condition", "enrolment_id", "test_id"):
                if not pc.all(pc.equal(taken[0][column].cast(pa.string()), other[column].cast(pa.string()))).as_py():
                    raise ScoringError(f"{paths[0]} and {path} {_OTHERWISE}")
        yield taken
        rest = [table.slice(rows) for table in waiting]
        waiting = [table if len(table) else next(reader, None) for table, reader in zip(rest, readers, strict=True)]
    if any(table is not None for table in waiting):
        raise ScoringError(f"{' and '.join(map(str, paths))} {_OTHERWISE}")


def _relabelled(trials: pa.Table, system: str, scoring: str, score_P: Floats) -> pa.Table:
    count = trials.num_rows
    replaced = {"system": [system] * count, "scoring": [scoring] * count, "score": score_P}
    columns = {**{name: trials[name] for name in SCORES_SCHEMA.names}, **replaced}
    return pa.table({name: pa.array(value) if name in replaced else value for name, value in columns.items()}).cast(
        SCORES_SCHEMA
    )


def _system(path: Path) -> str:
    first = next(score_batches(path, 1), None)
    if first is None:
        raise ScoringError(f"{path} holds no scores; score a list that has trials")
    return str(first["system"][0].as_py())


def _origin(origins: Sequence[Origin], fits: dict[str, Calibration], held_out: Sequence[Path]) -> Origin:
    """Say what was calibrated; what is fused has a space and a fingerprint of its own."""
    first = origins[0]
    scorings = {}
    for scoring, fit in fits.items():
        made = {origin.space: origin.scorings.get(scoring, {}) for origin in origins}
        own = made[first.space] if len(origins) == 1 else {"members": made}
        facts = _facts(fit) | {"held_out": [str(path) for path in held_out]}
        scorings[scoring + CALIBRATED] = own | {"calibration": facts}
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
