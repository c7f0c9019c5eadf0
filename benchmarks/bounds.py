"""Bounds: the error rates that each kind of map could reach on cached vectors, some with what only an oracle knows.

The penalty of each ridge regression is the one that is best on the evaluation itself: no honest choice does better.

Shapes: U utterances, C crops, V views, D embedding dimension, N crops of all utterances, K training crops.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from benchmarks.cached import AllPairs, Cached, Floats, chain, mapped

PENALTIES = (0.01, 0.1, 1.0, 10.0)  # of ridge regression and of covariances, in units of the mean eigenvalue
SNR_WIDTH_DB = 3.0  # training crops count for a condition by a Gaussian of their distance from its SNR
NEAREST = 50  # training crops whose displacement is averaged
DRAWS = 2  # of halves of the speakers
ADAPTED = ({"centre": {"mean": "store"}}, "auto")
CHAINS = {
    "mean of the training speech": ["centre"],
    "own mean": [{"centre": {"mean": "store"}}],
    "own mean of each view": [{"centre": {"mean": "views"}}],
    "auto": ["auto"],
    "own mean, LDA with labels": [{"centre": {"mean": "store"}}, {"lda": 128}],
    "own mean, auto": ADAPTED,
    "own mean of each view, auto": [{"centre": {"mean": "views"}}, "auto"],
    "own mean, auto, neighbours": [*ADAPTED, "neighbours"],
}


@dataclass(frozen=True)
class Seen:
    """Clean and noisy training vectors [K, D] under the condition of a view, and how much each counts [K], in all 1."""

    clean_KD: Floats
    noisy_KD: Floats
    weight_K: Floats

    @classmethod
    def of(cls, train: Cached, evaluation: Cached, view: int, snr_known: bool = True) -> "Seen":
        """Take the training view that adds most nearly the same; of a known SNR, crops by how near theirs is."""
        wanted = {*list(evaluation.recipes.values())[view]}
        alike = [len(wanted & {*recipe}) / max(1, len(wanted | {*recipe})) for recipe in train.recipes.values()]
        place = int(np.argmax(alike))
        distance_K = (train.snr_UCV[:, :, place].ravel() - evaluation.snr_UCV[:, :, view].mean()) / SNR_WIDTH_DB
        weight_K = np.nan_to_num(np.exp(-0.5 * distance_K**2), nan=1.0) if snr_known else np.ones_like(distance_K)
        clean_KD, noisy_KD = rows(train.unit_UCVD, 0), rows(train.unit_UCVD, place)
        return cls(clean_KD, noisy_KD, weight_K / weight_K.sum())

    @classmethod
    def all(cls, train: Cached) -> "Seen":
        """Take all views alike."""
        noisy_KD = train.unit_UCVD.reshape(-1, train.unit_UCVD.shape[-1])
        clean_KD = np.broadcast_to(train.unit_UCVD[:, :, :1], train.unit_UCVD.shape).reshape(noisy_KD.shape)
        return cls(clean_KD, noisy_KD, np.full(len(noisy_KD), 1 / len(noisy_KD)))

    def ridges(self, prior: float = 1.0, forward: bool = False) -> list[Floats]:
        """Return for each penalty the map [D, D] from noisy to clean, or forward, shrunk to `prior` x identity."""
        weight_K1 = self.weight_K[:, None]
        x_KD, y_KD = (part_KD - weight_K1.T @ part_KD for part_KD in (self.noisy_KD, self.clean_KD))
        x_KD, y_KD = (y_KD, x_KD) if forward else (x_KD, y_KD)
        covariance_DD, identity_DD = x_KD.T @ (weight_K1 * x_KD), np.eye(x_KD.shape[1])
        cross_DD = x_KD.T @ (weight_K1 * (y_KD - prior * x_KD))
        scale_DD = covariance_DD.trace() / len(covariance_DD) * identity_DD
        return [
            prior * identity_DD + np.linalg.solve(covariance_DD + penalty * scale_DD, cross_DD) for penalty in PENALTIES
        ]


def bounds(train: Cached, evaluation: Cached, trials: AllPairs) -> Iterator[tuple[str, Floats]]:
    """Yield what is done to the vectors, and the EER of each view [V] in %."""
    speakers = len({*evaluation.speakers_U})
    yield "raw", trials.rates(evaluation.unit_UCVD)
    for what, steps in CHAINS.items():
        yield what, trials.rates(mapped(chain(steps, train), evaluation.unit_UCVD, speakers))
    yield "own mean of each view, of other speakers", _of_disjoint_speakers(evaluation, trials, (None,))
    adapted = chain(ADAPTED, train)
    seen = replace(train, unit_UCVD=mapped(adapted, train.unit_UCVD, len({*train.speakers_U})))
    judged = replace(evaluation, unit_UCVD=mapped(adapted, evaluation.unit_UCVD, speakers))
    views = range(1, len(judged.recipes))
    of_kind, of_condition = ([Seen.of(seen, judged, view, known) for view in views] for known in (False, True))
    yield "+ linear map", _best(trials, (judged.unit_UCVD @ map_DD for map_DD in Seen.all(seen).ridges()))
    yield "+ linear map, kind known", _best(trials, _by_view(judged, of_kind))
    yield "+ linear map, kind and SNR known", _best(trials, _by_view(judged, of_condition))
    for what, near in (
        ("", None),
        (" of the nearest noisy vectors", "noisy"),
        (" of the nearest clean vectors", "clean"),
    ):
        yield f"+ displacement{what}, kind and SNR known", trials.rates(_moved_back(judged, of_condition, near))
    yield "+ moments of the same utterances", _best(trials, (_matched(judged, judged, judged, p) for p in PENALTIES))
    yield "+ moments of other speakers", _of_disjoint_speakers(judged, trials, PENALTIES)


def _best(trials: AllPairs, candidates: Iterable[Floats]) -> Floats:
    """Return the rates of the candidate [U, C, V, D] with the lowest mean in noise."""
    return min((trials.rates(candidate_UCVD) for candidate_UCVD in candidates), key=lambda rate_V: rate_V[1:].mean())


def _by_view(judged: Cached, conditions: list[Seen]) -> Iterator[Floats]:
    """Yield for each penalty the vectors, each noisy view through its own map, from mean to mean."""
    for maps in zip(*(seen.ridges() for seen in conditions), strict=True):
        moved_UCVD = judged.unit_UCVD.copy()
        for view, (seen, map_DD) in enumerate(zip(conditions, maps, strict=True), start=1):
            noisy_D, clean_D = seen.weight_K @ seen.noisy_KD, seen.weight_K @ seen.clean_KD
            moved_UCVD[:, :, view] = (moved_UCVD[:, :, view] - noisy_D) @ map_DD + clean_D
        yield moved_UCVD


def _moved_back(judged: Cached, conditions: list[Seen], near: Literal["noisy", "clean"] | None) -> Floats:
    """Return the vectors less the mean displacement of training crops: of all, or of the nearest.

    Args:
        near: to the noisy vector, or to its clean vector, which only an oracle knows.
    """
    moved_UCVD = judged.unit_UCVD.copy()
    for view, seen in enumerate(conditions, start=1):
        displacement_KD = seen.noisy_KD - seen.clean_KD
        if near is None:
            moved_UCVD[:, :, view] -= seen.weight_K @ displacement_KD
        else:
            seen_KD, place = (seen.clean_KD, 0) if near == "clean" else (seen.noisy_KD, view)
            near_NK = np.argpartition(-(rows(judged.unit_UCVD, place) @ seen_KD.T), NEAREST, axis=1)[:, :NEAREST]
            weight_NK = seen.weight_K[near_NK] / seen.weight_K[near_NK].sum(axis=1, keepdims=True)
            local_ND = np.einsum("nk,nkd->nd", weight_NK, displacement_KD[near_NK])
            moved_UCVD[:, :, view] -= local_ND.reshape(moved_UCVD[:, :, view].shape)
    return moved_UCVD


def _of_disjoint_speakers(cached: Cached, trials: AllPairs, penalties: Sequence[float | None]) -> Floats:
    """Return the best rates [V] where clean moments are of other speakers than noisy ones, over draws of halves."""
    names, drawn = np.unique(cached.speakers_U), np.random.default_rng(0)
    rates = []
    for _ in range(DRAWS):
        first_U = np.isin(cached.speakers_U, drawn.permutation(names)[: len(names) // 2])
        first, second = cached.only(first_U), cached.only(~first_U)
        for clean_of, noisy_of in ((first, second), (second, first)):
            rates.append([trials.rates(_matched(cached, clean_of, noisy_of, penalty)) for penalty in penalties])
    return min(np.mean(rates, axis=0), key=lambda rate_V: rate_V[1:].mean())


def _matched(cached: Cached, clean_of: Cached, noisy_of: Cached, penalty: float | None) -> Floats:
    """Return the vectors, each noisy view's mean and, with a penalty, its covariance carried to those of clean ones.

    By optimal transport between Gaussians: T (S^(1/2) C S^(1/2))^(1/2) T, with T = S^(-1/2), from covariance S to C.
    """
    clean_DD, clean_D = _moments(rows(clean_of.unit_UCVD, 0), penalty or 0.0)
    moved_UCVD = cached.unit_UCVD - clean_D
    for view in range(1, len(cached.recipes)):
        noisy_DD, noisy_D = _moments(rows(noisy_of.unit_UCVD, view), penalty or 0.0)
        moved_UCVD[:, :, view] += clean_D - noisy_D
        if penalty is not None:
            root_DD = _power(noisy_DD, 0.5)
            inverse_DD = np.linalg.inv(root_DD)
            moved_UCVD[:, :, view] @= inverse_DD @ _power(root_DD @ clean_DD @ root_DD, 0.5) @ inverse_DD
    return moved_UCVD


def _moments(rows_ND: Floats, penalty: float) -> tuple[Floats, Floats]:
    """Return covariance [D, D], its diagonal loaded by a share of the mean eigenvalue, and mean [D]."""
    covariance_DD = np.cov(rows_ND.T, bias=True)
    load = penalty * covariance_DD.trace() / len(covariance_DD)
    return covariance_DD + load * np.eye(len(covariance_DD)), rows_ND.mean(axis=0)


def _power(matrix_DD: Floats, exponent: float) -> Floats:
    values_D, vectors_DD = np.linalg.eigh(matrix_DD)
    return (vectors_DD * values_D.clip(min=0) ** exponent) @ vectors_DD.T


def rows(unit_UCVD: Floats, view: int) -> Floats:
    """Return the crops of one view [N, D]."""
    return unit_UCVD[:, :, view].reshape(-1, unit_UCVD.shape[-1])
