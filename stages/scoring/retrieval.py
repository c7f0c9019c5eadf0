"""Retrieval and classification by vectors: what is found among a gallery of items whose classes are known.

Shapes: U items, Q queries, G items of the gallery, D embedding dimension, K classes.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from reseed.stages.scoring.curves import Floats

Codes = NDArray[np.integer[Any]]

NEIGHBOURS = 5
MOST = 5_000  # items of either side: the linear probe takes a minute with so many
_BLOCK_Q = 1024
_STEPS = 500  # of the solver of the linear probe, at most


class Retrieved(NamedTuple):
    """How well the classes of queries are found; shares from 0 to 1, higher is better.

    Attributes:
        recall_at_1, recall_at_5, recall_at_10: queries with an item of their own class among so many nearest.
        mean_average_precision: mean over the queries of the average precision of the whole gallery in its order.
    """

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mean_average_precision: float


class Classified(NamedTuple):
    """Shares of the queries that are given their own class, from 0 to 1.

    Attributes:
        class_mean_accuracy: by the nearest mean of a class.
        knn_accuracy: by most of the `NEIGHBOURS` nearest items.
        probe_accuracy: by logistic regression on the vectors.
    """

    class_mean_accuracy: float
    knn_accuracy: float
    probe_accuracy: float


def gallery_and_queries(class_U: Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of a gallery [G] and of the queries [Q]: of each class every other item, in the order given.

    Classes of one item, and items of unknown class (negative), are in neither. Of more than `MOST` on a side, so many
    are kept, evenly spread over the classes' order.
    """
    order_U = np.argsort(class_U, kind="stable")
    ordered_U = class_U[order_U]
    turn_U = np.arange(ordered_U.size) - np.searchsorted(ordered_U, ordered_U)
    known = np.flatnonzero(ordered_U >= 0)
    several = known[np.bincount(ordered_U[known])[ordered_U[known]] > 1] if known.size else known
    sides = (order_U[several[turn_U[several] % 2 == side]] for side in (0, 1))
    gallery, queries = (np.sort(side[:: -(-side.size // MOST)] if side.size else side) for side in sides)
    return gallery, queries[np.isin(class_U[queries], class_U[gallery])]


def retrieved(query_QD: Floats, gallery_GD: Floats, query_class_Q: Codes, gallery_class_G: Codes) -> Retrieved:
    """Rank a gallery by cosine for each query; of equal cosines the earlier item comes first.

    Args:
        query_QD, gallery_GD: unit rows; each query's class is in the gallery.

    Source: of the average precision, Manning, Raghavan and Schütze, Introduction to Information Retrieval (2008), 8.4.
    """
    hits, precisions = np.zeros(3), 0.0
    rank_G = np.arange(1, len(gallery_GD) + 1)
    for start in range(0, len(query_QD), _BLOCK_Q):
        block = slice(start, start + _BLOCK_Q)
        order_QG = np.argsort(-(query_QD[block] @ gallery_GD.T), axis=1, kind="stable")
        is_own_QG = gallery_class_G[order_QG] == query_class_Q[block, None]
        hits += [is_own_QG[:, :first].any(axis=1).sum() for first in (1, 5, 10)]
        precision_QG = is_own_QG.cumsum(axis=1) / rank_G
        precisions += float(((precision_QG * is_own_QG).sum(axis=1) / is_own_QG.sum(axis=1)).sum())
    first, five, ten = (hits / len(query_QD)).tolist()
    return Retrieved(first, five, ten, precisions / len(query_QD))


class Classifiers:
    """Three classifiers of vectors, fitted on a gallery of unit rows [G, D] and its classes [G], of two or more."""

    def __init__(self, gallery_GD: Floats, class_G: Codes) -> None:
        self._classes_K, code_G = np.unique(class_G, return_inverse=True)
        self._mean_KD = np.zeros((self._classes_K.size, gallery_GD.shape[1]))
        np.add.at(self._mean_KD, code_G, gallery_GD)
        self._mean_KD /= np.bincount(code_G)[:, None]
        nearest = min(NEIGHBOURS, len(gallery_GD))
        self._knn = KNeighborsClassifier(nearest, algorithm="brute").fit(gallery_GD, class_G)
        self._probe = LogisticRegression(max_iter=_STEPS).fit(gallery_GD, class_G)

    def classified(self, query_QD: Floats, class_Q: Codes) -> Classified:
        """Return how many of the queries are given their own class."""
        distance_QK = (self._mean_KD**2).sum(axis=1) - 2 * query_QD @ self._mean_KD.T
        answers = (
            self._classes_K[distance_QK.argmin(axis=1)],
            self._knn.predict(query_QD),
            self._probe.predict(query_QD),
        )
        return Classified(*(float((answer_Q == class_Q).mean()) for answer_Q in answers))
