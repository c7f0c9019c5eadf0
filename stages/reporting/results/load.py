"""Score files to arrays: every system's trials by condition, labelled ones apart from unlabelled.

Shapes: P trials.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.audio.conditions import Condition, describe
from reseed.stages.reporting.metrics.base import Identified
from reseed.stages.reporting.results.files import RunFiles
from reseed.stages.reporting.results.groups import Grouper
from reseed.stages.reporting.results.systems import Loaded, ScoredSystem, System, TrialScores
from reseed.stages.scoring.labelled import Mask
from reseed.stages.trial_scoring.files import labels_of, read_identification, read_scores, speakers_of
from reseed.store import ScoringError
from reseed.store.atomic import digest


def load(runs: Sequence[RunFiles]) -> Loaded:
    """Read the score files of one run or several, and the identification that comes with them.

    Trials are grouped by the first run's manifest.

    Raises:
        ScoringError: no score file, an unreadable or empty one, one system twice, or lists of files that do not match.
        ManifestError: the manifest cannot be read.
    """
    files = [(run, path) for run in runs for path in run.scores]
    stores = {path: store for run in runs for path, store in zip(run.scores, run.stores, strict=False)}
    if not files:
        raise ScoringError("no score files to report on; run `reseed score` first")
    read = [read_scores(path) for _, path in files]
    speakers = sorted(set[str]().union(*(_labelled_speakers(table) for table, _ in read)))
    tested = {name for table, _ in read for name in pc.unique(table["test_id"]).to_pylist()}
    grouper = Grouper(runs[0].utterances, tested)
    recipes = [dict.fromkeys(pc.unique(table["condition"]).to_pylist()) | origin.conditions for table, origin in read]
    systems = [
        ScoredSystem(System(name, origin.space, scoring, run.name), path, origin, trials, stores.get(path))
        for (run, path), (table, origin), conditions in zip(files, read, describe(*recipes), strict=True)
        for name, scoring, trials in _Columns(path, table, speakers, grouper).systems(conditions)
    ]
    _check_once(systems)
    for run in runs:
        _check_lengths(run, systems)
    return Loaded(runs, systems, _identified(systems, runs, speakers), speakers, grouper.groupings)


def _check_once(systems: Sequence[ScoredSystem]) -> None:
    seen: dict[tuple[str, ...], Path] = {}
    for scored in systems:
        system = scored.system
        key = (*filter(None, [system.run]), system.name, system.backbone_space, system.scoring)
        if key in seen:
            raise ScoringError(f"{scored.path} and {seen[key]} both score {' · '.join(key)}; give it once")
        seen[key] = scored.path


def _check_lengths(run: RunFiles, systems: Sequence[ScoredSystem]) -> None:
    """Check that what lacks an identification file or a store is fused or calibrated, so that it has none."""
    for name, given in (("identification files", run.identification), ("stores", run.stores)):
        bare = {s.path for s in systems if not s.system.is_calibrated} & set(run.scores[len(given) :])
        if given and (bare or len(given) > len(run.scores)):
            raise ScoringError(
                f"{len(run.scores)} score files but {len(given)} {name}; give one for each, in the same order, with "
                "fused systems, which have none, last"
            )


def _identified(
    systems: Sequence[ScoredSystem], runs: Sequence[RunFiles], speakers: Sequence[str]
) -> dict[tuple[System, str], Identified]:
    """Return identification by system and view: of vectors, hence with the first scoring of each system alone."""
    files = {path: ranks for run in runs for path, ranks in zip(run.scores, run.identification, strict=False)}
    read = {path: _identification(ranks, speakers) for path, ranks in files.items()}
    found: dict[tuple[System, str], Identified] = {}
    done = set()
    for scored in systems:
        system, of_file = scored.system, read.get(scored.path, {})
        named = {name for name, _ in of_file}
        if named and system.name not in named:
            raise ScoringError(
                f"{files[scored.path]} identifies by {', '.join(sorted(named))}, {scored.path} scores {system.name}; "
                "give the identification files in the order of the scores"
            )
        if system.embeddings not in done:
            done.add(system.embeddings)
            found |= {(system, view): ranks for (name, view), ranks in of_file.items() if name == system.name}
    return found


def _identification(path: Path, speakers: Sequence[str]) -> dict[tuple[str, str], Identified]:
    """Return how well speakers are identified, by name of the system and view."""
    table = read_identification(path)
    table = table.take(pc.sort_indices(table["test_id"].cast(pa.string())))
    known = pa.array(speakers, pa.string())
    columns = table.append_column("place", pc.index_in(table["speaker_id"].cast(pa.string()), known))
    return {
        (name, view): _identified_by_speaker(columns.filter(pa.array(in_system_T & in_view_T)), len(speakers))
        for name, in_system_T in _rows_by_value(table["system"]).items()
        for view, in_view_T in _rows_by_value(table["condition"]).items()
        if (in_system_T & in_view_T).any()
    }


def _identified_by_speaker(table: pa.Table, speakers: int) -> Identified:
    """Sum up the ranks of one system in one view, in the order of the ids."""
    rank_T, place_T = table["rank"].to_numpy(), pc.fill_null(table["place"], -1).to_numpy()
    ones_T, first_T, top5_T = np.ones(rank_T.size), rank_T <= 1, rank_T <= 5
    counts = None
    if (place_T >= 0).all():
        counts = np.stack([np.bincount(place_T, each, speakers) for each in (ones_T, first_T, top5_T)]).astype(
            np.float64
        )
    tests = digest(table["test_id"].cast(pa.string()).to_pylist())
    among = int(table["speakers"].to_numpy().max())
    return Identified(float(first_T.mean()), float(top5_T.mean()), among, counts, first_T, tests)


def _labelled_speakers(table: pa.Table) -> set[str]:
    labelled = table.filter(pc.is_valid(table["is_target"]))
    names = (pc.unique(labelled[f"{side}_speaker_id"]).to_pylist() for side in ("enrolment", "test"))
    return set[str]().union(*names) - {None}


class _Columns:
    """The columns of a score file as arrays [P]."""

    def __init__(self, path: Path, table: pa.Table, speakers: list[str], grouper: Grouper) -> None:
        if not table.num_rows:
            raise ScoringError(f"{path} holds no scores; run `reseed score` on a list that has trials")
        self.score_P = table["score"].to_numpy()
        self.label_P = labels_of(table)
        self.speakers_P2 = speakers_of(table, pa.array(speakers, pa.string()))
        self.groups_PG = grouper.codes(
            *(_encoded(table[name]) for name in ("enrolment_id", "enrolment_speaker_id", "test_id"))
        )
        self._names, self._scorings, self._views = (
            _rows_by_value(table[name]) for name in ("system", "scoring", "condition")
        )

    def systems(self, conditions: Mapping[str, Condition]) -> Iterator[tuple[str, str, dict[Condition, TrialScores]]]:
        """Yield name, scoring and trials by condition of every system, in order of appearance."""
        for name, in_system_P in self._names.items():
            for scoring, in_scoring_P in self._scorings.items():
                of_system_P = in_system_P & in_scoring_P
                rows = {conditions[view]: np.flatnonzero(of_system_P & in_P) for view, in_P in self._views.items()}
                ordered = sorted(rows, key=lambda condition: condition.reading_order)
                if of_system_P.any():
                    yield name, scoring, {found: self._trials(rows[found]) for found in ordered if rows[found].size}

    def _trials(self, rows: NDArray[np.intp]) -> TrialScores:
        label = self.label_P[rows]
        target, nontarget = rows[label == 1], rows[label == 0]
        return TrialScores(
            self.score_P[target],
            self.score_P[nontarget],
            self.speakers_P2[target],
            self.speakers_P2[nontarget],
            int((label == -1).sum()),
            self.groups_PG[target],
            self.groups_PG[nontarget],
        )


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return column.cast(pa.string()).combine_chunks().dictionary_encode()


def _rows_by_value(column: pa.ChunkedArray) -> dict[str, Mask]:
    """Return each value of a column, in order of appearance, with a mask [P] of the rows that hold it."""
    encoded = _encoded(column)
    code_P = encoded.indices.to_numpy(zero_copy_only=False)
    return {value: code_P == code for code, value in enumerate(encoded.dictionary.to_pylist())}
