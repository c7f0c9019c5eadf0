"""Rules on who speaks: the utterances of a speaker are alike, and two speakers are two persons.

Thresholds were set on real recordings: sound stores stay well clear of them, faults that were put in do not.

Shapes: U utterances, D embedding dimension, H bins.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from reseed.stages.auditing.arrays import Counts, Float32, Float64, Indices, hashed_ids, unit
from reseed.stages.auditing.blocks import AuditedBlock, RowKey
from reseed.stages.auditing.evidence import Evidence, RuleGroup
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Finding
from reseed.stages.auditing.speaker_space import (
    FALLS_APART,
    MOST,
    AlikePair,
    SpeakerSpace,
    SpeakerSums,
    regrouping,
    whitening,
)
from reseed.stages.auditing.tally import COSINE_EDGES, Accumulator, Least, quantile
from reseed.stages.auditing.utterances import Utterances
from reseed.stages.auditing.workspace import read
from reseed.stages.common.prose import counted, first_few

MARGIN_EDGES = np.linspace(-2, 2, 801)

_ALL_PRODUCTS = 4e10  # of all utterances with all speakers; beyond, only the doubtful of each block are compared
_DOUBTFUL = 256
_NAMED = 200  # of the utterances nearest to other speakers
_EXAMPLES = 20  # of the speakers that hold together least, and of the pairs most alike
_MOST_UTTERANCES = 20_000  # of two speakers together: more are a class, not a person
_WRONG_SIDE = 1.5  # times the middle margin, on the other speaker's side
_TENTH = 1.2816  # standard deviations from the middle of a normal distribution to its lowest tenth
_UNLIKELY = 6.5  # standard deviations of the margin below the middle, and nearer to the other speaker
_ONE_PERSON = 0.95
_EXCHANGED = 1.3  # times better than by their labels do the utterances of two speakers hold together otherwise

_NO_LABELS = "There are no two speakers with three utterances or more."


@dataclass(frozen=True, order=True)
class Doubtful:
    """An utterance that lies nearer to another speaker than to its own: cosines with both, and their difference."""

    margin: float
    utterance_id: str
    speaker_id: str
    other_id: str
    cosine: float
    other_cosine: float


@dataclass
class Margins(Accumulator):
    """Each utterance against its own speaker and the nearest other one, whitened; from the second pass.

    Attributes:
        own_H: cosine with the rest of the own speaker, between `COSINE_EDGES`.
        margin_H: that less the cosine with the nearest other speaker, between `MARGIN_EDGES`; empty where not every
            utterance was compared with every speaker.
        doubtful: the utterances of the lowest margins.
        energy: speaker -> sum of the squared lengths of its whitened vectors.
    """

    own_H: Counts = field(default_factory=lambda: np.zeros(len(COSINE_EDGES) - 1, np.int64))
    margin_H: Counts = field(default_factory=lambda: np.zeros(len(MARGIN_EDGES) - 1, np.int64))
    doubtful: Least[Doubtful] = field(default_factory=lambda: Least(most=_NAMED))
    energy: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MarginReview:
    """Gathers margins, in the space that lies in a file.

    Attributes:
        exhaustive: every utterance is compared with every speaker, not only the least like its own.
    """

    file: Path
    exhaustive: bool

    def __call__(self, block: AuditedBlock) -> Margins:
        space = _space(self.file)
        code_U = np.array([-1 if name is None else space.number.get(name, -1) for name in block.speakers], np.int64)
        rows = np.flatnonzero((code_U >= 0) & block.usable_U)
        if not rows.size:
            return Margins()
        white_UD: Float32 = np.matmul(block.utterance_UD - space.mean_D, space.whiten_DD)
        code_U, vector_UD = code_U[rows], white_UD[rows]
        own_U = _cosines(vector_UD, space.sum_KD[code_U] - vector_UD)
        energy_K = np.bincount(code_U, np.einsum("ud,ud->u", vector_UD, vector_UD))
        found = Margins(
            own_H=np.histogram(own_U.clip(-1, 1), COSINE_EDGES)[0],
            energy={space.names[code]: float(energy_K[code]) for code in np.unique(code_U).tolist()},
        )
        if len(space.names) > 1:
            self._compare(found, [block.ids[row] for row in rows], code_U, vector_UD, own_U)
        return found

    def _compare(self, found: Margins, ids: list[str], code_U: Indices, vector_UD: Float32, own_U: Float32) -> None:
        """Compare utterances with the speakers who are not their own."""
        space = _space(self.file)
        least = np.arange(len(ids)) if self.exhaustive else np.sort(np.argsort(own_U, kind="stable")[:_DOUBTFUL])
        other_U, nearest_U = space.nearest_others(vector_UD[least], code_U[least])
        margin_U = own_U[least] - other_U
        if self.exhaustive:
            found.margin_H = np.histogram(margin_U.clip(-2, 2), MARGIN_EDGES)[0]
        for place in np.argsort(margin_U, kind="stable")[:_NAMED].tolist():
            if margin_U[place] < 0:
                row, other = least[place], space.names[nearest_U[place]]
                cosines = float(own_U[row]), float(other_U[place])
                margin = cosines[0] - cosines[1]
                found.doubtful.items.append(Doubtful(margin, ids[row], space.names[code_U[row]], other, *cosines))


def review(evidence: Evidence) -> MarginReview:
    """Return what gathers `Margins`."""
    space = evidence.conclude(whitened)
    arrays = {**vars(space), "names": np.array(space.names, dtype=np.str_)}
    exhaustive = evidence.store.utterances * len(space.names) <= _ALL_PRODUCTS
    return MarginReview(evidence.workspace.write(**arrays), exhaustive)


def whitened(evidence: Evidence) -> SpeakerSpace:
    """Conclude from the first pass in which space speakers are compared."""
    return evidence[SpeakerSums].space(evidence[Utterances].moments.mean_D)


def cohesion(evidence: Evidence) -> dict[str, float]:
    """Conclude how alike two utterances of each speaker are: mean cosines."""
    return evidence.conclude(whitened).cohesion(evidence[Margins].energy)


def alike(evidence: Evidence) -> list[AlikePair]:
    """Conclude which speakers are most alike."""
    return evidence.conclude(whitened).alike(evidence[Margins].energy)


def examples(evidence: Evidence) -> dict[str, RowKey]:
    """Return a row of each speaker that findings may name."""
    within = evidence.conclude(cohesion)
    pairs = evidence.conclude(alike)[:_EXAMPLES]
    loosest = sorted(within, key=lambda name: within[name])[:_EXAMPLES]
    names = list(dict.fromkeys([*loosest, *(name for pair in pairs for name in (pair.first, pair.second))]))
    hashes = evidence[Utterances].speakers
    rows = [int(np.argmax(hashes == wanted)) for wanted in hashed_ids(names)]
    found = evidence.store.names(np.array(rows, np.int64))
    return {name: evidence.store.key(utterance) for name, (utterance, _) in zip(names, found, strict=True)}


def exchanged(evidence: Evidence) -> list[str]:
    """Conclude which pairs of speakers have utterances exchanged."""
    known = evidence[SpeakerSums]
    if known.left_out:
        return []
    scatter_DD = known.within_scatter
    ratios = [(pair, _regrouping(evidence, pair, scatter_DD)) for pair in evidence.conclude(alike)]
    return [f"{pair.first} and {pair.second}" for pair, ratio in ratios if ratio is not None and ratio >= _EXCHANGED]


def _regrouping(evidence: Evidence, pair: AlikePair, scatter_DD: Float64) -> float | None:
    """Return the `regrouping` of two speakers.

    The covariance that whitens leaves both out: it would take what tells them apart for what differs within each.
    """
    hashes, wanted = evidence[Utterances].speakers, hashed_ids([pair.first, pair.second])
    rows = np.flatnonzero(np.isin(hashes, wanted))
    freedom = evidence[SpeakerSums].freedom - pair.utterances + 2
    if len(rows) > _MOST_UTTERANCES or freedom < 1:
        return None
    vectors_UD = evidence.store.utterance_vectors(rows)
    usable_U = vectors_UD.any(axis=1)
    rows, vectors_UD = rows[usable_U], vectors_UD[usable_U]
    rest_DD = scatter_DD - vectors_UD.T.astype(np.float64) @ vectors_UD
    for name in (pair.first, pair.second):
        count, sum_D = evidence[SpeakerSums].sums[name]
        rest_DD += np.outer(sum_D, sum_D) / count
    centred_UD = vectors_UD - evidence.conclude(whitened).mean_D
    return regrouping(unit(centred_UD @ whitening(rest_DD, freedom).astype(np.float32)), hashes[rows] == wanted[0])


def speakers(evidence: Evidence) -> Finding:
    """The utterances of each speaker are alike."""
    within = evidence.conclude(cohesion)
    if not within:
        return Finding(SKIPPED, _NO_LABELS)
    middle = float(np.median(list(within.values())))
    loose = sorted((value, name) for name, value in within.items() if value < FALLS_APART * middle)
    usual = f"the middle cosine of two utterances of one speaker is {middle:.2f}"
    if loose:
        rows = [
            evidence.with_replay(
                {"speaker": name, "mean cosine within": round(value, 3)}, evidence.conclude(examples).get(name)
            )
            for value, name in loose[:LISTED]
        ]
        says = f"{counted(len(loose), 'speaker')} falling apart: {first_few(name for _, name in loose)}; {usual}."
        return Finding(FAILED, says, rows)
    lowest = min(within, key=lambda name: (within[name], name))
    says = f"{counted(len(within), 'speaker')} judged; {usual}, the lowest {within[lowest]:.2f} ({lowest})."
    return Finding(PASSED, says)


def labels(evidence: Evidence) -> Finding:
    """No utterance is far nearer to another speaker than to its own."""
    if len(evidence.conclude(whitened).names) < 2:
        return Finding(SKIPPED, _NO_LABELS)
    least, usual = _least_margin(evidence[Margins].margin_H)
    doubtful = evidence[Margins].doubtful.items
    wrong = [found.utterance_id for found in doubtful if found.margin < least]
    most = "at least " if len(wrong) == _NAMED else ""
    pairs = evidence.conclude(exchanged)
    parts = [
        f"{most}{counted(len(wrong), 'utterance')} far on another's side: {first_few(wrong)}" if wrong else "",
        f"speakers exchanged in part: {first_few(pairs)}" if pairs else "",
    ]
    rows = [
        evidence.with_replay(
            {
                "utterance": found.utterance_id,
                "speaker": found.speaker_id,
                "cosine": round(found.cosine, 3),
                "nearer to": found.other_id,
                "cosine there": round(found.other_cosine, 3),
            },
            evidence.store.key(found.utterance_id),
        )
        for found in doubtful[:LISTED]
    ]
    if any(parts):
        return Finding(FAILED, f"{'; '.join(filter(None, parts))} ({usual}).", rows)
    return Finding(PASSED, f"{usual[0].upper()}{usual[1:]}; none lies far.", rows)


def identities(evidence: Evidence) -> Finding:
    """No two speaker ids sound like one person."""
    pairs = evidence.conclude(alike)
    if not pairs:
        many = len(evidence.conclude(whitened).names) > MOST
        return Finding(SKIPPED, f"More than {MOST:,} speakers are not compared." if many else _NO_LABELS)
    rows = [
        evidence.with_replay(
            {
                "speaker": pair.first,
                "sounds like": pair.second,
                "as like as to itself": f"{pair.ratio:.0%}",
                "utterances": pair.utterances,
            },
            evidence.conclude(examples).get(pair.second),
        )
        for pair in pairs[:LISTED]
    ]
    same = [f"{pair.first} and {pair.second}" for pair in pairs if pair.ratio >= _ONE_PERSON]
    if same:
        says = f"{counted(len(same), 'pair')} of ids like one person: {'; '.join(same[:LISTED])}."
        return Finding(FAILED, says, rows)
    nearest = pairs[0]
    says = f"{nearest.first} and {nearest.second} come nearest, {nearest.ratio:.0%} as alike as each to itself."
    return Finding(PASSED, says, rows)


def _least_margin(margin_H: Counts) -> tuple[float, str]:
    """Return the margin below which a label is taken for wrong, and what is usual."""
    middle, low = (quantile(margin_H, MARGIN_EDGES, share) for share in (0.5, 0.1))
    if middle is None or low is None:
        return -np.inf, "only the utterances least like their own speakers were compared with others"
    spread = (middle - low) / _TENTH  # by the lower half, so that a few wrong labels do not widen it
    nearer = int(margin_H[MARGIN_EDGES[1:] <= 0].sum())
    usual = f"{nearer:,} of {int(margin_H.sum()):,} utterances lie nearer to another speaker"
    return min(0.0, max(-_WRONG_SIDE * middle, middle - _UNLIKELY * spread)), usual


def _cosines(first_UD: Float32, second_UD: Float32) -> Float32:
    lengths = np.linalg.norm(first_UD, axis=1) * np.linalg.norm(second_UD, axis=1)
    cosines: Float32 = np.einsum("ud,ud->u", first_UD, second_UD) / np.where(lengths > 0, lengths, 1)
    return cosines


@lru_cache(maxsize=1)
def _space(file: Path) -> SpeakerSpace:
    """Keep the space of a pass: every block of it needs it."""
    arrays = read(file)
    return SpeakerSpace(**{**arrays, "names": arrays["names"].tolist()})


GROUP = RuleGroup((speakers, labels, identities), SpeakerSums.of, review)
