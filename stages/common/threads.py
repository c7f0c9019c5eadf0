"""A map in threads, bounded and in order; and how many threads.

How many threads share one computation decides the last bits of its result, so that is a setting, or one. How many
computations run side by side changes nothing but the time: that follows the machine.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TypeVar

from threadpoolctl import threadpool_limits

from reseed.stages.common.device import gpu_count

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_LANES = 16  # each holds a batch and what a network makes of it
_LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@cache
def given_cores() -> int:
    """Return how many cores this process was started with: OMP_NUM_THREADS, as Snakemake says it, or all there are."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else len(os.sched_getaffinity(0))


def compute_with(threads: int) -> None:
    """Let so many threads share each computation from now on, here and in processes started from here.

    The environment of whoever started this process has no say in it, nor has the number of cores.
    """
    given_cores()  # before what says it is overwritten
    os.environ.update(dict.fromkeys(_LIBRARIES, str(threads)))  # for libraries that are loaded later
    threadpool_limits(threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


def lanes() -> int:
    """Return how many batches to compute side by side on the CPU."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or given_cores())
    return max(1, min(given_cores() // threads, _MOST_LANES))


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
