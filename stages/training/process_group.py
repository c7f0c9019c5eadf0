"""Several processes that train one network, one per GPU: what each computes of a batch, and how they agree.

Shapes: B batch.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn

from reseed.stages.training.cache.reader import Batch
from reseed.stages.training.order import TrainingOrder
from reseed.store import ConfigError, errors

_TIMEOUT = timedelta(minutes=10)

Order = TypeVar("Order", bound=TrainingOrder)
Value = TypeVar("Value")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train one network together, as one of them sees them: `rank` of `size`; by default one."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that logs, validates and saves for all."""
        return self.rank == 0

    def share(self, batch: Batch) -> tuple[Batch, float]:
        """Return this process's rows of a batch and how many of its rows they stand for.

        Fewer rows than processes are computed by all of them, and count once.
        """
        rows = len(batch)
        if self.size == 1 or rows < self.size:
            return batch, rows / self.size
        given = {field.name: getattr(batch, field.name) for field in fields(batch)}
        tensors = {name: tensor for name, tensor in given.items() if tensor is not None}
        mine = replace(batch, **{name: tensor.tensor_split(self.size)[self.rank] for name, tensor in tensors.items()})
        return mine, len(mine)

    def broadcast(self, value: Value) -> Value:
        """Return the main process's value."""
        values = [value]
        if self.size > 1:
            distributed.broadcast_object_list(values)
        return values[0]

    def gather(self, value: Value) -> list[Value]:
        """Return the value of every process, by rank."""
        values = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value)
        return values


ONE_PROCESS = ProcessGroup()


def run_in_processes(work: Callable[[Order, ProcessGroup], object], order: Order, processes: int) -> None:
    """Carry out an order in new processes: on a GPU of its own each, or all on the CPU.

    Raises:
        ConfigError: fewer GPUs than processes.
        ReseedError: what the work raised in any of them.
    """
    gpus = torch.cuda.device_count()
    if torch.device(order.device).type == "cuda" and processes > gpus:
        raise ConfigError(f"processes={processes}, but there are {gpus} GPUs; use at most as many")
    with tempfile.TemporaryDirectory(prefix="reseed-processes-") as name:
        folder = Path(name)
        try:
            spawn(_run, (work, order, processes, folder), nprocs=processes)
        except (ProcessExitedException, ProcessRaisedException):
            for failure in sorted(folder.glob("failed-*")):
                kind, message = json.loads(failure.read_text())
                raise getattr(errors, kind)(message) from None
            raise


def _run(rank: int, work: Callable[[Order, ProcessGroup], object], order: Order, processes: int, folder: Path) -> None:
    on_gpu = torch.device(order.device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=f"file://{folder / 'rendezvous'}",
        rank=rank,
        world_size=processes,
        timeout=_TIMEOUT,
    )
    try:
        work(replace(order, device=f"cuda:{rank}") if on_gpu else order, ProcessGroup(rank, processes))
    except errors.ReseedError as error:
        (folder / f"failed-{rank}").write_text(json.dumps([type(error).__name__, str(error)]))
        raise
    finally:
        distributed.destroy_process_group()
