"""A map in threads, bounded and in order; and how many threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from reseed.stages.common.device import gpu_count

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, window: int
) -> Iterator[Result]:
    """Yield `function(item)` in the order of `items`; at most `window` results wait to be taken.

    An exception is raised where its result would have been yielded; what was not begun by then never is.
    """
    waiting: deque[Future[Result]] = deque()
    rest = iter(items)
    pool = ThreadPoolExecutor(threads)
    try:
        waiting.extend(pool.submit(function, item) for item in islice(rest, window))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def default_decoders(device_type: str) -> int:
    """Return how many threads decode: a GPU's share of the cores; one beside a backbone that needs the cores itself."""
    return max(1, len(os.sched_getaffinity(0)) // gpu_count()) if device_type == "cuda" else 1
