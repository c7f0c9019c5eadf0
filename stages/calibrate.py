"""`calibrate`: scores of one system (or of several, fused) -> natural-log likelihood ratios, by held-out trials.

Shapes: P trials, F features.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.scoring.calibration import FITS, Calibration
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.files import (
    SCORES_SCHEMA,
    names_in,
    read_origin,
    rows_of,
    score_batches,
    score_count,
    scores_schema,
)
from reseed.stages.trial_scoring.origin import CALIBRATED, FUSION, CalibrationRecord, Origin, Provenance, is_calibrated
from reseed.stages.trial_scoring.quality_measures import QualityMeasures
from reseed.stages.trial_scoring.settings import CalibrationSettings
from reseed.store import ScoringError
from reseed.store.atomic import digest
from reseed.store.outputs import check_apart, check_table_output
from reseed.store.sealed import table_writer

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
    read = (held_out_quality, quality, held_out_enrolments, enrolments)
    check_apart([calibrated], [*held_out, *scores, *read], ScoringError)
    check_table_output(calibrated, "a score file", SCORES_SCHEMA, error=ScoringError)
    if settings.quality and (held_out_quality is None or quality is None):
        raise ScoringError(f"{', '.join(settings.quality)}: give --quality and --held-out-quality")
    learnt, mapped = _opened(held_out, scores)
    fits = _fitted(learnt, _quality(held_out_quality, settings, held_out_enrolments), settings)
    name = system or "+".join(dict.fromkeys(file.system for file in mapped))
    schema = scores_schema(_origin([file.origin for file in mapped], fits, held_out, settings.method))
    written = 0
    with table_writer(calibrated, schema, compression="zstd") as writer:
        for table in _calibrated(mapped, _quality(quality, settings, enrolments), fits, name):
            writer.write_table(table)
            written += table.num_rows
        if not written:
            raise ScoringError(f"{scores[0]} and {held_out[0]} share no scoring; score both in the same ways")
    return f"{name}: {', '.join(fits)} calibrated on {held_out[0]}"


@dataclass(frozen=True)
class _ScoreFile:
    """A score file, what it says it comes from, and the name of its system."""

    path: Path
    origin: Origin
    system: str

    @classmethod
    def of(cls, path: Path) -> Self:
        origin, first = read_origin(path), next(score_batches(path, 1), None)
        if first is None:
            raise ScoringError(f"{path} holds no scores; score a list that has trials")
        return cls(path, origin, str(first["system"][0].as_py()))


def _opened(held_out: Sequence[Path], scores: Sequence[Path]) -> tuple[list[_ScoreFile], list[_ScoreFile]]:
    """Open the files that a map is fitted on and those it is meant for, and check that they go together."""
    if not scores or len(held_out) != len(scores):
        raise ScoringError(f"{len(scores)} score files but {len(held_out)} held-out ones; give one of each per system")
    learnt, mapped = ([_ScoreFile.of(path) for path in paths] for paths in (held_out, scores))
    for first, second in zip(learnt, mapped, strict=True):
        _check_alike(first, second)
    _check_apart(held_out[0], scores[0])
    return learnt, mapped


def _check_alike(learnt: _ScoreFile, mapped: _ScoreFile) -> None:
    """Check that held-out scores were made as the scores to calibrate were.

    Raises:
        ScoringError: of another space, enrolment view, cohort or PLDA, or calibrated already; names both files.
    """
    first, second = learnt.origin, mapped.origin
    if first.space != second.space:
        raise ScoringError(
            f"{learnt.path} scores {first.space}, {mapped.path} scores {second.space}; give scores of one system"
        )
    if first.enrolment_view != second.enrolment_view:
        raise ScoringError(
            f"{learnt.path} enrols from the view {first.enrolment_view}, {mapped.path} from {second.enrolment_view}; "
            "score alike"
        )
    for scoring in first.scorings.keys() & second.scorings.keys():
        if is_calibrated(scoring):
            raise ScoringError(
                f"{mapped.path} holds {scoring}, which is calibrated already; give the scores it was made from"
            )
        if first.scorings[scoring] != second.scorings[scoring]:
            raise ScoringError(
                f"{scoring} of {learnt.path} was made with {first.scorings[scoring].inputs}, of {mapped.path} with "
                f"{second.scorings[scoring].inputs}; score both with one cohort"
            )


def _check_apart(learnt: Path, mapped: Path) -> None:
    """Check that nobody is in the trials a map is fitted on and in those it is meant for.

    Raises:
        ScoringError: speakers, or utterances where speakers are unknown, that are in both; counts them.
    """
    for column, noun in (("speaker_id", "speakers"), ("id", "utterances")):
        names = [names_in(path, [f"enrolment_{column}", f"test_{column}"]) for path in (learnt, mapped)]
        both = sorted(names[0] & names[1])
        if both:
            raise ScoringError(
                f"{len(both)} {noun} are in the trials of {learnt} and of {mapped}, e.g. {', '.join(both[:3])}: such a "
                "calibration flatters; hold other speakers out (`reseed divide`)"
            )


def _quality(path: Path | None, settings: CalibrationSettings, enrolments: Path | None) -> QualityMeasures | None:
    return QualityMeasures(path, settings.quality, enrolments) if settings.quality and path else None


def _fitted(
    held_out: Sequence[_ScoreFile], quality: QualityMeasures | None, settings: CalibrationSettings
) -> dict[str, Calibration]:
    """Fit one map per scoring; of more than two million scores every so many are taken, evenly over all conditions."""
    gathered: dict[str, list[tuple[Floats, Any]]] = {}
    every = max(1, -(-score_count(held_out[0].path) // _FITTED_P))
    for scoring, trials, features_PF in _features(held_out, quality):
        labelled = pc.is_valid(trials["is_target"]).to_numpy()
        if labelled.any():
            labels = trials["is_target"].filter(pa.array(labelled)).to_numpy()
            gathered.setdefault(scoring, []).append((features_PF[labelled][::every], labels[::every]))
    if not gathered:
        raise ScoringError(f"{held_out[0].path} holds no labelled trial to calibrate by")
    names = [f"score of {file.system}" for file in held_out] + (quality.names if quality else [])
    fits = {}
    for scoring, parts in gathered.items():
        features_PF, label_P = (np.concatenate(column) for column in zip(*parts, strict=True))
        try:
            fits[scoring] = FITS[settings.method](features_PF, label_P, names, settings.p_target)
        except ScoringError as error:
            raise ScoringError(f"{held_out[0].path}, {scoring}: {error}") from error
    return fits


def _calibrated(
    files: Sequence[_ScoreFile], quality: QualityMeasures | None, fits: Mapping[str, Calibration], system: str
) -> Iterator[pa.Table]:
    """Yield the scores mapped, batch by batch, of each scoring that a map was fitted for."""
    for scoring, trials, features_PF in _features(files, quality):
        if scoring in fits:
            bad = int((~np.isfinite(features_PF)).any(axis=1).sum())
            if bad:
                raise ScoringError(
                    f"{files[0].path}: {bad} trials of {scoring} have a score that is not finite; score them anew"
                )
            kept = [trials[name].combine_chunks() for name in SCORES_SCHEMA.names[2:-1]]
            llr_P = pa.array(fits[scoring].llr(features_PF))
            yield rows_of(SCORES_SCHEMA, (system, scoring + CALIBRATED), [*kept, llr_P])


def _features(files: Sequence[_ScoreFile], quality: QualityMeasures | None) -> Iterator[tuple[str, pa.Table, Floats]]:
    """Yield (scoring, trials, features [P, F]) batch by batch; all files list the same trials in the same order.

    Raises:
        ScoringError: they do not.
    """
    view = files[0].origin.enrolment_view
    for tables in _in_step([file.path for file in files]):
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
    readers, nothing = [score_batches(path, _BATCH_P) for path in paths], SCORES_SCHEMA.empty_table()
    waiting = [next(reader, nothing) for reader in readers]
    while all(map(len, waiting)):
        rows = min(map(len, waiting))
        taken = [table.slice(0, rows) for table in waiting]
        for other, path in zip(taken[1:], paths[1:], strict=True):
            for column in ("scoring", "condition", "enrolment_id", "test_id"):
                if not pc.all(pc.equal(taken[0][column].cast(pa.string()), other[column].cast(pa.string()))).as_py():
                    raise ScoringError(f"{paths[0]} and {path} {_OTHERWISE}")
        yield taken
        rest = [table.slice(rows) for table in waiting]
        waiting = [table if len(table) else next(reader, nothing) for table, reader in zip(rest, readers, strict=True)]
    if any(map(len, waiting)):
        raise ScoringError(f"{' and '.join(map(str, paths))} {_OTHERWISE}")


def _origin(
    origins: Sequence[Origin], fits: Mapping[str, Calibration], held_out: Sequence[Path], method: str
) -> Origin:
    """Say what was calibrated; what is fused has a space and a fingerprint of its own."""
    first, fused = origins[0], len(origins) > 1
    scorings = {}
    for scoring, fit in fits.items():
        inputs = {origin.space: origin.scorings.get(scoring, Provenance()).inputs for origin in origins}
        record = CalibrationRecord(
            fit.features, tuple(fit.weight_F.tolist()), fit.offset, fit.p_target, tuple(map(str, held_out)), method
        )
        scorings[scoring + CALIBRATED] = Provenance(
            {} if fused else inputs[first.space], inputs if fused else {}, calibration=record
        )
    if not fused:
        return replace(first, scorings=scorings)
    backbone = first.space.partition("+")[0]
    return replace(
        first,
        space=f"{backbone}+fusion:{digest([origin.space for origin in origins])[:8]}",
        fingerprint=digest([origin.fingerprint for origin in origins]),
        method=FUSION,
        config={"of": [origin.space for origin in origins]},
        scorings=scorings,
    )
