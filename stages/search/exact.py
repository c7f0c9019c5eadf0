"""Nearest neighbours by the products of all queries with all vectors, a block at a time.

Shapes: U utterances, D embedding dimension, Q queries, K neighbours.
"""

from collections.abc import Iterable

import numpy as np

from reseed.stages.search.vectors import Float32, Rows

_QUERIES = 1024  # at a time, against one block


def nearest_among(blocks: Iterable[Float32], query_QD: Float32, nearest: int) -> tuple[Rows, Float32]:
    """Return the numbers and cosines of the K nearest vectors of each query, [Q, K], the nearest first.

    Of equal cosines the lower number comes first. Memory is that of a block, its products, and the answer.

    Args:
        blocks: unit vectors, in the order in which they are numbered.
        query_QD: unit vectors.
        nearest: K; fewer where there are not so many vectors.
    """
    row_QK = np.empty((len(query_QD), 0), np.int64)
    cosine_QK = np.empty((len(query_QD), 0), np.float32)
    first = 0
    for unit_UD in blocks:
        found = [_of_block(unit_UD, query_QD[start : start + _QUERIES], nearest) for start in _starts(query_QD)]
        row_QK = np.concatenate([row_QK, np.concatenate([rows for rows, _ in found]) + first], axis=1)
        cosine_QK = np.concatenate([cosine_QK, np.concatenate([cosines for _, cosines in found])], axis=1)
        row_QK, cosine_QK = best(row_QK, cosine_QK, nearest)
        first += len(unit_UD)
    return row_QK, cosine_QK


def best(row_QK: Rows, cosine_QK: Float32, nearest: int) -> tuple[Rows, Float32]:
    """Return the columns of the highest cosines in each row, in order."""
    order_QK = np.lexsort((row_QK, -cosine_QK), axis=1)[:, :nearest]
    return np.take_along_axis(row_QK, order_QK, 1), np.take_along_axis(cosine_QK, order_QK, 1)


def _starts(query_QD: Float32) -> range:
    return range(0, max(1, len(query_QD)), _QUERIES)


def _of_block(unit_UD: Float32, query_QD: Float32, nearest: int) -> tuple[Rows, Float32]:
    cosine_QU = query_QD @ unit_UD.T
    if nearest < len(unit_UD):
        row_QK = np.argpartition(-cosine_QU, nearest - 1, axis=1)[:, :nearest].astype(np.int64)
    else:
        row_QK = np.tile(np.arange(len(unit_UD)), (len(query_QD), 1))
    return row_QK, np.take_along_axis(cosine_QU, row_QK, 1)
