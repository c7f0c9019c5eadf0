"""Who speaks in the utterances of a trial list, as far as it tells: intervals resample speakers, not trials.

Shapes: N names, P trials.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from reseed.stages.audio.listed import read_lines
from reseed.stages.common.prose import first_few
from reseed.stages.evaluation.trials import Codes, Trials
from reseed.store import ScoringError

_MARKS = {
    "/": "their first folder",
    "-": "what stands before their first hyphen",
    "_": "what stands before their first underscore",
}


@dataclass(frozen=True)
class Speakers:
    """The speaker of each name.

    Attributes:
        speaker_N: numbers from 0; None: nothing tells.
        told_by: how they are told, in words.
    """

    speaker_N: Codes | None
    told_by: str

    @property
    def count(self) -> int:
        """How many there are."""
        return 0 if self.speaker_N is None else int(self.speaker_N.max()) + 1


def tell_speakers(trials: Trials, table: Path | None = None) -> Speakers:
    """Tell who speaks: by a table, by how the ids begin, or by which of them target trials join.

    The beginning of ids is believed where no label contradicts it: targets are of one speaker, non-targets of two.
    Target trials join what is of one speaker; a speaker whose utterances they do not all join counts as several, so
    that intervals come out too narrow.

    Args:
        table: "utterance speaker" per line, as Kaldi's utt2spk.

    Raises:
        ScoringError: the table lacks an id, or cannot be read.
    """
    if table is not None:
        speaker_N = _by_table(trials, table)
        return Speakers(speaker_N, f"by {table.name}")
    if not trials.names:
        return Speakers(None, "not told, since trials have no ids")
    for mark, words in _MARKS.items():
        if all(mark in name for name in trials.names):
            speaker_N = np.unique([name.partition(mark)[0] for name in trials.names], return_inverse=True)[1]
            if not _contradict(trials, speaker_N):
                return Speakers(speaker_N, f"by the ids: {words}")
    joined = trials.enrolment_P[trials.is_target_P], trials.test_P[trials.is_target_P]
    count = len(trials.names)
    graph = coo_array((np.ones(joined[0].size), joined), shape=(count, count))
    speaker_N = connected_components(graph, directed=False)[1].astype(np.int64)
    return Speakers(speaker_N, "by which ids target trials join")


def _contradict(trials: Trials, speaker_N: Codes) -> bool:
    """Say whether some label is against these speakers."""
    is_same_P = speaker_N[trials.enrolment_P] == speaker_N[trials.test_P]
    return bool((is_same_P != trials.is_target_P).any())


def _by_table(trials: Trials, table: Path) -> Codes:
    speaker_of: dict[str, str] = {}
    for number, line in read_lines(table):
        fields = line.replace(",", " ").split()
        if len(fields) != 2:
            raise ScoringError(f'{table}, line {number}: is no "utterance speaker"')
        speaker_of[fields[0]] = fields[1]
    unknown = [name for name in trials.names if name not in speaker_of]
    if unknown:
        raise ScoringError(f"{table} does not say who speaks in {first_few(unknown)}; add a line for each")
    found: Codes = np.unique([speaker_of[name] for name in trials.names], return_inverse=True)[1]
    return found
