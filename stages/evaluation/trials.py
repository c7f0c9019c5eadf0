"""Scores and labels brought together: by the ids of their trials or, where scores have none, line by line.

Shapes: P trials, N names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.audio.datasets.trial_lists import UNLABELLED, published_title, read_trial_list
from reseed.stages.audio.datasets.trial_names import utterances_named
from reseed.stages.evaluation.score_lists import ScoreList, read_score_list
from reseed.stages.scoring.curves import Floats
from reseed.store import ScoringError

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Trials:
    """Labelled trials, the same for all systems.

    Attributes:
        title: the published list that this is, as far as the numbers of targets and non-targets tell.
        names: ids; empty where trials have none.
        enrolment_P, test_P: numbers into `names`; -1 where there are none.
        is_target_P: [P], bool.
        conditions, condition_P: names of conditions, and the one of each trial; one, "", where none is named.
        unlabelled: trials that were left aside.
    """

    title: str | None
    names: list[str]
    enrolment_P: Codes
    test_P: Codes
    is_target_P: NDArray[np.bool_]
    conditions: list[str]
    condition_P: Codes
    unlabelled: int


@dataclass(frozen=True)
class Scored:
    """The scores of one system, [P], in the order of the trials.

    Attributes:
        missing_P: which trials it has no score for.
    """

    name: str
    path: Path
    score_P: Floats
    missing_P: NDArray[np.bool_]
    is_llr: bool


@dataclass(frozen=True)
class _Listed:
    """A list of trials before those without a label are left out."""

    title: str | None
    names: list[str]
    enrolment_P: Codes
    test_P: Codes
    label_P: NDArray[np.int8]
    condition: pa.DictionaryArray | None


def bring_together(
    lists: Sequence[ScoreList], labels: Path | None, allow_missing: bool = False
) -> tuple[Trials, list[Scored]]:
    """Return the labelled trials and every system's scores of them.

    Args:
        labels: a trial list in any form that `reseed trials` reads; None: the first score file labels its trials.
        allow_missing: leave out trials that a system has no score for, for all systems alike.

    Raises:
        ScoringError: nothing is labelled, a trial has no score or two that differ, or numbers of lines do not fit;
            says which.
        ManifestError: the trial list cannot be read.
    """
    systems = [system for found in lists for system in found.systems()]
    listed = _listed(systems[0][1]) if labels is None else _read(labels)
    scored = [
        Scored(name, found.path, found.score_P, np.zeros(found.score_P.size, np.bool_), found.is_llr)
        if place == 0 and labels is None and _is_one_each(listed)
        else _scored(name, found, listed, labels)
        for place, (name, found) in enumerate(_told_apart(systems))
    ]
    missing_P = np.any([each.missing_P for each in scored], axis=0)
    if missing_P.any() and not allow_missing:
        _refuse_missing(scored, listed)
    kept = np.flatnonzero((listed.label_P != UNLABELLED) & ~missing_P)
    if not kept.size:
        raise ScoringError(
            f"{systems[0][1].path}: no trial is labelled; give a trial list as LABELS, or a column of labels"
        )
    sides = listed.enrolment_P[kept], listed.test_P[kept]
    is_target_P, unlabelled = listed.label_P[kept] == 1, int((listed.label_P == UNLABELLED).sum())
    trials = Trials(listed.title, listed.names, *sides, is_target_P, *_conditions(listed.condition, kept), unlabelled)
    return trials, [replace(each, score_P=each.score_P[kept]) for each in scored]


def _is_one_each(listed: _Listed) -> bool:
    """Whether no trial comes twice, so that the file that labels them has one score for each."""
    width = len(listed.names) + 1
    codes_P = listed.enrolment_P * width + listed.test_P
    if listed.condition is not None:
        codes_P = codes_P * len(listed.condition.dictionary) + listed.condition.indices.to_numpy(zero_copy_only=False)
    return not listed.names or pc.count_distinct(pa.array(codes_P)).as_py() == codes_P.size


def _told_apart(systems: Sequence[tuple[str, ScoreList]]) -> list[tuple[str, ScoreList]]:
    """Name systems of one name by their folder, too, and number what is still alike."""
    names = [name for name, _ in systems]
    named = [
        (f"{found.path.parent.name}/{name}" if names.count(name) > 1 and found.path.parent.name else name, found)
        for name, found in systems
    ]
    seen: dict[str, int] = {}
    told = []
    for name, found in named:
        seen[name] = seen.get(name, 0) + 1
        told.append((name if seen[name] == 1 else f"{name} ({seen[name]})", found))
    return told


def _read(path: Path) -> _Listed:
    """Read a trial list: one that is plain ids and labels fast, any other line by line."""
    try:
        plain = read_score_list(path, labels_alone=True)
    except ScoringError:
        found = read_trial_list(path)
    else:
        listed = _listed(plain)
        return replace(listed, title=published_title(listed.label_P))
    condition = found.conditions.cast(pa.string()).dictionary_encode() if found.conditions.null_count == 0 else None
    return _Listed(found.title, found.names, found.enrolment_P, found.test_P, found.label_P, condition)


def _listed(found: ScoreList) -> _Listed:
    if found.label_P is None:
        raise ScoringError(f"{found.path} has no labels; give a trial list as LABELS, or a column of labels")
    names, enrolment_P, test_P = _coded(found)
    return _Listed(None, names, enrolment_P, test_P, found.label_P, found.condition)


def _coded(found: ScoreList) -> tuple[list[str], Codes, Codes]:
    if found.enrolment is None or found.test is None:
        nobody = np.full(found.score_P.size, -1, np.int64)
        return [], nobody, nobody
    names = pa.concat_arrays([side.dictionary for side in (found.enrolment, found.test)]).unique()
    enrolment_P, test_P = (
        pc.index_in(side.dictionary, value_set=names)
        .to_numpy(zero_copy_only=False)
        .astype(np.int64)[side.indices.to_numpy(zero_copy_only=False)]
        for side in (found.enrolment, found.test)
    )
    return names.to_pylist(), enrolment_P, test_P


def _scored(name: str, found: ScoreList, listed: _Listed, labels: Path | None) -> Scored:
    """Return the scores of the listed trials: a trial that comes twice in the list has its one score twice."""
    count = listed.label_P.size
    if found.enrolment is None or not listed.names:
        if found.score_P.size != count:
            raise ScoringError(
                f"{found.path} has {found.score_P.size:,} scores without ids, but there are {count:,} trials"
                f"{f' in {labels}' if labels else ''}; give one score for each, in their order"
            )
        return Scored(name, found.path, found.score_P, np.zeros(count, np.bool_), found.is_llr)
    names, enrolment_Q, test_Q = _coded(found)
    number_N = numbers_of(listed.names, names)
    key_Q, key_P = _keys(
        (enrolment_Q, test_Q, found.condition),
        (number_N[listed.enrolment_P], number_N[listed.test_P], listed.condition),
    )
    order = np.argsort(key_Q, kind="stable")
    ordered = key_Q[order]
    differs = (np.diff(ordered) == 0) & (np.diff(found.score_P[order]) != 0)
    if differs.any():
        row = order[int(np.argmax(differs))]
        trial = f"{names[enrolment_Q[row]]} {names[test_Q[row]]}"
        raise ScoringError(f"{found.path} scores {trial} twice and not alike; keep one of its lines")
    place_P = np.searchsorted(ordered, key_P).clip(max=ordered.size - 1)
    missing_P = (ordered[place_P] != key_P) | (key_P < 0)
    score_P = np.where(missing_P, np.nan, found.score_P[order[place_P]])
    return Scored(name, found.path, score_P, missing_P, found.is_llr)


Sides = tuple[Codes, Codes, pa.DictionaryArray | None]


def _keys(scores: Sides, trials: Sides) -> tuple[Codes, Codes]:
    """Return a number for each trial of both: of its ids and, where both name conditions, of its condition."""
    width = int(max(scores[0].max(), scores[1].max())) + 2
    key_Q = scores[0] * width + scores[1]
    key_P = np.where((trials[0] < 0) | (trials[1] < 0), -1, trials[0] * width + trials[1])
    if scores[2] is None or trials[2] is None:
        return key_Q, key_P
    names = pa.concat_arrays([scores[2].dictionary, trials[2].dictionary]).unique()
    code_Q, code_P = (
        pc.index_in(side.cast(pa.string()), value_set=names).to_numpy(zero_copy_only=False)
        for side in (scores[2], trials[2])
    )
    return key_Q * len(names) + code_Q, np.where(key_P < 0, -1, key_P * len(names) + code_P)


def numbers_of(listed: list[str], names: list[str]) -> Codes:
    """Return for each name of the list the number of what it means among the names of the scores; -1: nothing."""
    ids = pa.array(names, pa.string())
    exact = pc.fill_null(pc.index_in(pa.array(listed, pa.string()), value_set=ids), -1)
    number_N: Codes = exact.to_numpy(zero_copy_only=False).astype(np.int64)
    if (number_N < 0).any():
        others = [listed[place] for place in np.flatnonzero(number_N < 0)]
        meant = utterances_named(others, ids)
        of_id = {name: number for number, name in enumerate(names)}
        number_N[number_N < 0] = [of_id[meant[name][0]] if len(meant[name]) == 1 else -1 for name in others]
    return number_N


def _conditions(condition: pa.DictionaryArray | None, kept: NDArray[np.intp]) -> tuple[list[str], Codes]:
    if condition is None:
        return [""], np.zeros(kept.size, np.int64)
    names = [str(name) for name in condition.dictionary.to_pylist()]
    return names, condition.indices.to_numpy(zero_copy_only=False)[kept].astype(np.int64)


def _refuse_missing(scored: Sequence[Scored], listed: _Listed) -> None:
    lacking = next(each for each in scored if each.missing_P.any())
    row = int(np.argmax(lacking.missing_P))
    trial = f"{listed.names[listed.enrolment_P[row]]} {listed.names[listed.test_P[row]]}"
    raise ScoringError(
        f"{lacking.path}: {int(lacking.missing_P.sum()):,} of {lacking.missing_P.size:,} trials have no score, e.g. "
        f"{trial}; score them too, or leave them out with --allow-missing"
    )
