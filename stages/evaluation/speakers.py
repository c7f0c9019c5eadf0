"""Who speaks in the utterances of a trial list, as far as it tells, and in which session: what intervals resample.

Shapes: N names, P trials.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from reseed.stages.audio.listed import read_lines
from reseed.stages.common.prose import counted, first_few
from reseed.stages.evaluation.trials import Codes, Trials
from reseed.stages.evaluation.utterances import SESSION, SPEAKER, Described
from reseed.store import ScoringError

_MARKS = {
    "/": "their first folder",
    "-": "what stands before their first hyphen",
    "_": "what stands before their first underscore",
}


@dataclass(frozen=True)
class Speakers:
    """The speaker of each name, and its session.

    Attributes:
        speaker_N: numbers from 0; None: nothing tells.
        told_by: how they are told, in words.
        session_N: numbers from 0 of sessions that speakers share, such as rooms or days; None: there are none such.
            A session of one speaker is drawn with it, and needs no draw of its own.
    """

    speaker_N: Codes | None
    told_by: str
    session_N: Codes | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return 0 if self.speaker_N is None else int(self.speaker_N.max()) + 1

    @property
    def counted(self) -> str:
        """How many are drawn, in words: "40 speakers and 12 sessions"."""
        also = f" and {counted(self.sessions, 'session')}" if self.sessions else ""
        return f"{counted(self.count, 'speaker')}{also}"

    @property
    def sessions(self) -> int:
        """How many sessions are drawn beside them."""
        return 0 if self.session_N is None else int(self.session_N.max()) + 1

    def with_sessions(self, session_N: Codes | None) -> "Speakers":
        """Add sessions, where some are shared."""
        if session_N is None or self.speaker_N is None:
            return self
        pairs = np.unique(np.stack([session_N, self.speaker_N]), axis=1)
        return replace(self, session_N=session_N if pairs.shape[1] > session_N.max() + 1 else None)


def tell_speakers(trials: Trials, table: Path | None = None, described: Described | None = None) -> Speakers:
    """Tell who speaks: by a table, by how the ids begin, or by which of them target trials join.

    The beginning of ids is believed where no label contradicts it: targets are of one speaker, non-targets of two.
    Target trials join what is of one speaker; a speaker whose utterances they do not all join counts as several, so
    that intervals come out too narrow.

    Args:
        table: "utterance speaker" per line, as Kaldi's utt2spk.
        described: a table whose columns speaker_id and session_id tell, where it has them.

    Raises:
        ScoringError: the table lacks an id, or cannot be read.
    """
    told = _told(trials, table, described)
    return told.with_sessions(described.codes(SESSION)) if described else told


def _told(trials: Trials, table: Path | None, described: Described | None) -> Speakers:
    if table is not None:
        speaker_N = _by_table(trials, table)
        return Speakers(speaker_N, f"by {table.name}")
    if described and (described_N := described.codes(SPEAKER)) is not None:
        return Speakers(described_N, f"by {described.path.name}")
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
