"""Where the parts of a stage are computed: in this process, or by the workers of a Dask cluster."""

import os
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from reseed.pipeline.sections import DASK
from reseed.stages.common.device import gpu_count
from reseed.stages.common.execution import Execute, in_process
from reseed.stages.common.terminal import log
from reseed.stages.common.threads import compute_with, given_cores
from reseed.store import ConfigError, ReseedError

if typing.TYPE_CHECKING:  # Dask takes a second to import, and most extractions do without
    from dask.distributed import Client, LocalCluster

_CONNECT_S = 20


def checked(dask: str | None) -> str | None:
    """Return what was given for `--dask`.

    Raises:
        ConfigError: it is none of the forms that `executor` takes.
    """
    if dask is not None and not re.fullmatch(DASK, dask):
        raise ConfigError(f"--dask {dask!r} is neither local, local:4 (workers) nor an address such as tcp://host:8786")
    return dask


@contextmanager
def executor(dask: str | None) -> Iterator[Execute]:
    """Yield what computes parts; a cluster is reached or started once there is one to compute.

    Args:
        dask: None: this process; "local" or "local:4": so many workers on this machine (default: one per GPU, or one);
            else the address of a scheduler, e.g. "tcp://host:8786".

    Raises:
        ConfigError: no scheduler answers there, or a worker cannot import this package.
        ReseedError: a part could not be computed; nothing that was written is lost.
    """
    if dask is None:
        yield in_process
        return
    with ExitStack() as stack:
        client: Client | None = None

        def execute(function: Callable[[int], Any], numbers: Sequence[int]) -> Iterator[Any]:
            nonlocal client
            if numbers:
                client = client or stack.enter_context(_client(dask))
                yield from _spread(client, function, numbers)

        yield execute


@contextmanager
def _client(dask: str) -> Iterator["Client"]:
    from dask.distributed import Client

    kind, _, workers = dask.partition(":")
    if kind == "local":
        with _local_cluster(int(workers or gpu_count() or 1)) as cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(dask, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no Dask scheduler answers at {dask} ({error}); start one or give local:4") from error
    with client:
        _check_workers(client)
        yield client


@dataclass(frozen=True)
class OneThread:
    """Calls a function as this process would: what computes has one thread, whatever a worker was started with."""

    function: Callable[[int], Any]

    def __call__(self, number: int) -> Any:
        compute_with(1)
        return self.function(number)


def _spread(client: "Client", function: Callable[[int], Any], numbers: Sequence[int]) -> Iterator[Any]:
    """Yield each result as it is done. Dask itself repeats what a lost worker was at."""
    from dask.distributed import KilledWorker, as_completed

    futures = client.map(OneThread(function), numbers, pure=False)
    try:
        for future in as_completed(futures):
            yield future.result()
            future.release()  # a worker would keep the result for as long as this process may ask for it
    except KilledWorker as error:
        raise ReseedError(
            f"Dask workers died again and again while at one shard ({error}); look at their logs: memory?"
        ) from error
    finally:
        client.cancel(futures)


def _local_cluster(workers: int) -> "LocalCluster":
    """Start processes of one Dask thread each, which share the cores evenly."""
    from dask.distributed import LocalCluster

    os.environ["OMP_NUM_THREADS"] = str(max(1, given_cores() // workers))  # said to the workers, which inherit it
    # Port 0 is any free one: even without a dashboard Dask warns where its usual port is taken, e.g. by another run.
    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", memory_limit=0)


def _check_workers(client: "Client") -> None:
    """Say which workers cannot take part, before any work is handed out."""
    if not client.scheduler_info()["workers"]:
        log("the Dask cluster has no workers yet; waiting for one")
        client.wait_for_workers(1)
    for worker, problem in client.run(_import_problem).items():
        if problem:
            raise ConfigError(f"the Dask worker {worker} cannot take part: {problem}; install reseed there")


def _import_problem() -> str | None:
    try:
        import reseed.stages.extraction.extraction  # noqa: F401
    except ImportError as error:
        return str(error)
    return None
