"""Where the parts of a stage are computed: here, or wherever the caller sends them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

# Calls a function for each of some numbers, here or on other machines, and yields each result as it is done.
Execute = Callable[[Callable[[int], Any], Sequence[int]], Iterator[Any]]


def in_process(function: Callable[[int], Any], numbers: Sequence[int]) -> Iterator[Any]:
    """Compute one after the other, here."""
    return map(function, numbers)
