"""Speakers against each other: who does not hold together, and which two ids sound like one person.

Shapes: K speakers, D embedding dimension.
"""

import numpy as np
from numpy.typing import NDArray

from reseed.stages.auditing.blocks import Source, hashed_ids, unit, utterance_vectors
from reseed.stages.auditing.review import FEWEST, Review, Whitened, whitening, within_scatter
from reseed.stages.auditing.survey import Survey

FALLS_APART = 0.25  # of the middle speaker's cohesion, below which a speaker does not hold together
MOST = 20_000  # speakers, up to which every pair is compared
_KEPT = 50
_BLOCK = 2048
_MOST_UTTERANCES = 20_000  # of two speakers together: more are a class, not a person


def cohesion(review: Review, speakers: Whitened) -> dict[str, float]:
    """Return the mean cosine of two different utterances of each speaker, its lengths averaged."""
    energy_K = np.array([review.energy.get(name, 0.0) for name in speakers.names])
    within_K = _within(speakers, energy_K)
    mean_K = energy_K / speakers.count_K if len(energy_K) else energy_K
    return dict(zip(speakers.names, (within_K / np.where(mean_K > 0, mean_K, 1)).tolist(), strict=True))


def alike(review: Review, speakers: Whitened, within: dict[str, float]) -> list[tuple[str, str, float, int]]:
    """Return the pairs of speakers that are most alike, compared with how alike each is to itself: 1 is one person.

    The mean product of an utterance of one and one of the other, over the geometric mean of such products within each.
    Speakers who do not hold together are like nobody.

    Args:
        within: see `cohesion`.
    """
    if not 2 <= len(speakers.names) <= MOST:
        return []
    energy_K = np.array([review.energy.get(name, 0.0) for name in speakers.names])
    within_K = _within(speakers, energy_K)
    together_K = np.array(list(within.values()))
    holds_K = together_K > FALLS_APART * max(float(np.median(together_K)), 0.0)
    scale_K = np.sqrt(np.where(holds_K & (within_K > 0), within_K, np.inf)) * speakers.count_K
    scaled_KD = speakers.sum_KD / scale_K[:, None].astype(np.float32)
    found: list[tuple[float, int, int]] = []
    for first in range(0, len(scaled_KD), _BLOCK):
        ratio = scaled_KD[first : first + _BLOCK] @ scaled_KD.T
        ratio[np.arange(len(scaled_KD)) <= first + np.arange(len(ratio))[:, None]] = -np.inf  # each pair once
        kept = np.argpartition(ratio.ravel(), -min(_KEPT, ratio.size))[-_KEPT:]
        found += [(float(ratio.ravel()[at]), first + at // len(scaled_KD), at % len(scaled_KD)) for at in kept.tolist()]
    best = sorted((pair for pair in found if np.isfinite(pair[0])), key=lambda pair: (-pair[0], *pair[1:]))[:_KEPT]
    return [(speakers.names[a], speakers.names[b], ratio, int(speakers.count_K[[a, b]].sum())) for ratio, a, b in best]


def exchanged(
    source: Source, survey: Survey, speakers: Whitened, pairs: list[tuple[str, str, float, int]]
) -> list[tuple[str, str, float]]:
    """Return, of pairs of speakers that are alike, how much better their utterances fall into two other groups.

    Where half of the utterances of two speakers are exchanged, two groups across the labels hold together better than
    the labels do. Of two persons who sound alike, or of one under two ids, no grouping does much better. The covariance
    that whitens leaves both speakers out: it would take what tells them apart for what differs within each.

    Returns:
        (speaker, other, mean cosine within groups over that within labels), where each group has `FEWEST` - 1 of both.
    """
    labels, found = survey.labels, []
    scatter_DD, freedom = within_scatter(survey), survey.spoken.count - len(survey.speakers)
    for first, second, _, count in pairs if not survey.unplaced else ():  # else not all sums are known
        marks = hashed_ids([first, second])
        rows = np.flatnonzero(np.isin(labels, marks))
        if len(rows) > _MOST_UTTERANCES or freedom - count + 2 < 1:
            continue
        vectors_UD = utterance_vectors(source, rows)
        rows, vectors_UD = rows[vectors_UD.any(axis=1)], vectors_UD[vectors_UD.any(axis=1)]
        rest_DD = scatter_DD - vectors_UD.T.astype(np.float64) @ vectors_UD
        for name in (first, second):
            own, sum_D = survey.speakers[name]
            rest_DD += np.outer(sum_D, sum_D) / own
        white_UD = unit((vectors_UD - speakers.mean_D) @ whitening(rest_DD, freedom - count + 2).astype(np.float32))
        label_U = labels[rows] == marks[0]
        group_U = _halves(white_UD)
        both = min(int((group & label).sum()) for group in (group_U, ~group_U) for label in (label_U, ~label_U))
        by_label, by_group = (_mean_within(white_UD, split) for split in (label_U, group_U))
        if both >= FEWEST - 1 and by_label > 0:
            found.append((first, second, by_group / by_label))
    return found


def _halves(vectors_UD: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Split vectors into two groups: by the main axis, then by the nearer mean until nothing changes (2-means)."""
    centred_UD = vectors_UD - vectors_UD.mean(axis=0)
    group_U = centred_UD @ np.linalg.svd(centred_UD, full_matrices=False)[2][0] > 0
    for _ in range(20):
        if not group_U.any() or group_U.all():
            break
        means_2D = np.stack([vectors_UD[group_U].mean(axis=0), vectors_UD[~group_U].mean(axis=0)])
        nearer_U = ((vectors_UD - means_2D[0]) ** 2).sum(axis=1) < ((vectors_UD - means_2D[1]) ** 2).sum(axis=1)
        if (nearer_U == group_U).all():
            break
        group_U = nearer_U
    return group_U


def _mean_within(unit_UD: NDArray[np.float32], split_U: NDArray[np.bool_]) -> float:
    """Return the mean cosine of two different vectors of one side of a split."""
    total, pairs = 0.0, 0
    for side in (unit_UD[split_U], unit_UD[~split_U]):
        total += float((side.sum(axis=0) ** 2).sum()) - len(side)
        pairs += len(side) * (len(side) - 1)
    return total / max(pairs, 1)


def _within(speakers: Whitened, energy_K: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean product of two different utterances of each speaker."""
    square_K = np.einsum("kd,kd->k", speakers.sum_KD, speakers.sum_KD, dtype=np.float64)
    within: NDArray[np.float64] = (square_K - energy_K) / np.maximum(speakers.count_K * (speakers.count_K - 1), 1)
    return within
