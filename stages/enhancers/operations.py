"""Enhancers in closed form as operations of numpy: divide by the length, subtract a mean, multiply by a matrix.

Those between two divisions become one affine map, (x - mean) matrix - offset: the mean is subtracted first, as floats
lose less that way.

Shapes: D embedding dimension, K dimensions of what comes out, M rows.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reseed.store.errors import ModelError

Floats = NDArray[np.float32]
Exact = NDArray[np.float64]

# What each enhancer does, in this order: None divides by the length, a tensor of one dimension is subtracted, a tensor
# of two is multiplied by; of one after a minus the columns are directions that are removed. A single vector has no
# neighbours.
OPERATIONS: dict[str, tuple[str | None, ...]] = {
    "centre": (None, "unit_mean_D", None),
    "length_norm": (None,),
    "whiten": ("mean_D", "whitening_DD"),
    "lda": ("mean_D", "projection_DK"),
    "nda": ("mean_D", "projection_DK"),
    "wccn": ("mean_D", "whitening_DD", None),
    "nap": (None, "mean_D", "-nuisance_DK", None),
    **dict.fromkeys(("vire", "mmse", "imap", "auto"), (None, "mean_D", "map_DD", None)),
    "neighbours": (None,),
}
_CHUNK_BYTES = 1 << 18  # stays in the cache of a core from one operation to the next
_SHORTEST = 1e-12  # as torch divides by it


class Affine(NamedTuple):
    """x -> (x - mean) matrix - offset; None: without."""

    mean_D: Floats
    matrix_DK: Floats | None = None
    offset_K: Floats | None = None


Steps = tuple[Affine | None, ...]  # None divides by the length


def operations_of(name: str, tensors: Mapping[str, NDArray[Any]], prefix: str = "") -> list[Exact | None]:
    """Return what an enhancer does.

    Args:
        prefix: what the names of its tensors begin with.

    Raises:
        KeyError: there is no such tensor.
    """
    return [None if tensor is None else _operation(tensor, tensors, prefix) for tensor in OPERATIONS[name]]


def _operation(tensor: str, tensors: Mapping[str, NDArray[Any]], prefix: str) -> Exact:
    found = tensors[prefix + tensor.removeprefix("-")].astype(np.float64)
    return np.eye(len(found)) - found @ found.T if tensor.startswith("-") else found


def folded(operations: Sequence[Exact | None]) -> Steps:
    """Return operations (None divides by the length) with one step where several follow each other."""
    runs = groupby(operations, lambda operation: operation is None)
    return tuple(None if divides else _as_affine([each for each in run if each is not None]) for divides, run in runs)


def _as_affine(operations: Sequence[Exact]) -> Affine:
    """Return means and matrices, one after the other, as one map."""
    mean_D, matrix_DK, offset_K = np.zeros(len(operations[0])), None, None
    for each in operations:
        if each.ndim == 2:
            offset_K = None if offset_K is None else offset_K @ each
            matrix_DK = each if matrix_DK is None else matrix_DK @ each
        elif matrix_DK is None:
            mean_D = mean_D + each
        else:
            offset_K = each if offset_K is None else offset_K + each
    further = (None if each is None else each.astype(np.float32) for each in (matrix_DK, offset_K))
    return Affine(mean_D.astype(np.float32), *further)


def checked_dim_out(operations: Sequence[Exact | None], dim: int) -> int:
    """Return the dimension of what comes out.

    Raises:
        ValueError: an operation does not fit what comes before it.
    """
    for each in operations:
        if each is not None:
            if each.ndim not in (1, 2) or len(each) != dim:
                raise ValueError(f"a tensor of shape {list(each.shape)} for {dim} dimensions")
            dim = each.shape[-1]
    return dim


def chunks(rows_MD: NDArray[Any]) -> Iterator[slice]:
    """Yield the rows in parts that are mapped one by one."""
    step = max(1, _CHUNK_BYTES // (4 * rows_MD.shape[1]))
    yield from (slice(start, min(start + step, len(rows_MD))) for start in range(0, len(rows_MD), step))


def mapped(given: NDArray[Any], steps: Steps, first: int = 0) -> Floats:
    """Return a vector [D], or rows [M, D], after the steps: [K] or [M, K].

    Args:
        first: number of the first row.

    Raises:
        ModelError: values that are not finite.
    """
    x = np.array(given, np.float32)
    flat = x.reshape(-1)
    if not math.isfinite(flat.dot(flat)):  # or too large to be squared
        check_finite(np.atleast_2d(x), first)
    for step in steps:
        if step is None:
            x /= max(math.sqrt(x.dot(x)), _SHORTEST) if x.ndim == 1 else _lengths(x)
            continue
        x -= step.mean_D
        if step.matrix_DK is not None:
            x = x @ step.matrix_DK
        if step.offset_K is not None:
            x -= step.offset_K
    return x


def _lengths(rows_MD: Floats) -> Floats:
    return np.maximum(np.sqrt(np.vecdot(rows_MD, rows_MD)), np.float32(_SHORTEST))[:, None]


def check_dimension(given: NDArray[Any], dim: int) -> None:
    """Refuse an array that is not [..., D].

    Raises:
        ModelError: says which shape it has.
    """
    if given.ndim == 0 or given.shape[-1] != dim:
        raise ModelError(f"the model takes embeddings [..., {dim}], not an array of shape {given.shape}")


def check_finite(rows_MD: NDArray[Any], first: int = 0) -> None:
    """Refuse values that are not finite.

    Args:
        first: number of the first row.

    Raises:
        ModelError: names the first such row.
    """
    bad_M = ~np.isfinite(rows_MD).all(axis=-1)
    if bad_M.any():
        row = first + bad_M.argmax()
        raise ModelError(f"{bad_M.sum()} embeddings are not finite, the first is row {row}; leave them out")
