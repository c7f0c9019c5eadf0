"""Where the parts of a stage are computed: in this process, or by the workers of a Dask cluster."""

import logging
import os
import re
import socket
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from reseed.pipeline.sections import DASK
from reseed.pipeline.workers import check_workers
from reseed.stages.common.device import gpu_count
from reseed.stages.common.execution import Execute, in_process
from reseed.stages.common.terminal import log
from reseed.stages.common.threads import compute_with, given_cores
from reseed.store import ConfigError, ReseedError

if typing.TYPE_CHECKING:  # Dask takes a second to import, and most extractions do without
    from dask.distributed import Client, LocalCluster

_CONNECT_S = 20
_PER_THREAD, _LEAST_IN_FLIGHT = 2, 8  # parts that are sent and not yet fetched


def checked(dask: str | None) -> str | None:
    """Return what was given for `--dask`.

    Raises:
        ConfigError: it is none of the forms that `executor` takes.
    """
    if dask is not None and not re.fullmatch(DASK, dask):
        raise ConfigError(f"--dask {dask!r} is neither local, local:4 (workers) nor an address such as tcp://host:8786")
    return dask


@contextmanager
def executor(dask: str | None, sees: Path | None = None) -> Iterator[Execute]:
    """Yield what computes parts; a cluster is reached or started once there is one to compute.

    Args:
        dask: None: this process; "local" or "local:4": so many workers on this machine (default: one per GPU, or one);
            else the address of a scheduler, e.g. "tcp://host:8786".
        sees: what will be written, which all workers of such a scheduler must reach by the same path.

    Raises:
        ConfigError: no scheduler answers there, or a worker lacks this package, has another version, or not the files.
        ReseedError: a part could not be computed, or the scheduler is gone; nothing that was written is lost.
    """
    if dask is None:
        yield in_process
        return
    with ExitStack() as stack:
        client: Client | None = None

        def execute(function: Callable[[int], Any], numbers: Sequence[int]) -> Iterator[Any]:
            nonlocal client
            if numbers:
                client = client or stack.enter_context(_client(dask, sees))
                yield from _spread(client, function, numbers)

        yield execute


@contextmanager
def _client(dask: str, sees: Path | None) -> Iterator["Client"]:
    from dask.distributed import Client

    _silence("distributed")  # what goes wrong is said here, in one line
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
        if not client.scheduler_info()["workers"]:
            log("the Dask cluster has no workers yet; waiting for one")
            client.wait_for_workers(1)
        check_workers(partial(client.run, on_error="return"), sees)
        yield client


def _silence(package: str) -> None:
    """Let a package that has been imported log nothing: its modules have levels of their own, which Dask sets."""
    for name in (package, *(each for each in logging.root.manager.loggerDict if each.startswith(f"{package}."))):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class OneThread:
    """Calls a function as this process would: what computes has one thread, whatever a worker was started with."""

    function: Callable[[int], Any]

    def __call__(self, number: int) -> Any:
        compute_with(1)
        try:
            return self.function(number)
        except OSError as error:
            from dask.distributed import get_worker

            raise ReseedError(f"the Dask worker {get_worker().address} on {socket.gethostname()}: {error}") from error


def _spread(client: "Client", function: Callable[[int], Any], numbers: Sequence[int]) -> Iterator[Any]:
    """Yield each result as it is done. Dask itself repeats what a lost worker was at.

    No more are sent than keep all workers busy: each result stays with its worker until it is fetched.
    """
    from dask.distributed import CancelledError, KilledWorker, as_completed
    from distributed.comm.core import CommClosedError

    left = iter(numbers)
    sent, call = as_completed([]), OneThread(function)

    def send(count: int) -> None:
        for number in islice(left, count):
            sent.add(client.submit(call, number, pure=False))

    try:
        send(max(_LEAST_IN_FLIGHT, _PER_THREAD * sum(client.nthreads().values())))
        for future in sent:
            result = future.result()
            future.release()  # a worker would keep the result for as long as this process may ask for it
            send(1)
            yield result
    except KilledWorker as error:
        raise ReseedError(
            f"Dask workers died again and again while at one shard, the last was {error.last_worker.address}; "
            "look at their logs: memory?"
        ) from error
    except (CancelledError, CommClosedError, TimeoutError) as error:
        raise ReseedError(
            f"the Dask scheduler {_address(client)} is gone; what is written is kept: start it and its workers, "
            "and run again"
        ) from error
    except ImportError as error:  # of a worker that came later
        check_workers(partial(client.run, on_error="return"), None)
        raise ReseedError(f"a Dask worker that is gone again could not import reseed ({error})") from error
    finally:
        if client.status == "running":
            client.cancel(list(sent.futures))


def _address(client: "Client") -> str:
    return str(client.scheduler.address) if client.scheduler else "that was connected to"


def _local_cluster(workers: int) -> "LocalCluster":
    """Start processes of one Dask thread each, which share the cores evenly."""
    from dask.distributed import LocalCluster

    os.environ["OMP_NUM_THREADS"] = str(max(1, given_cores() // workers))  # said to the workers, which inherit it
    # Port 0 is any free one: even without a dashboard Dask warns where its usual port is taken, e.g. by another run.
    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", memory_limit=0)
