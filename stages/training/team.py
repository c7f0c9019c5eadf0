"""Several processes that train one network, one per GPU: what each does of a batch, and how they agree.

Shapes: B batch.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

from reseed.store import ConfigError, errors

_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Team:
    """The place of this process among those that train together; `ALONE` where there is one."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process speaks for all: it tells, saves and validates."""
        return self.rank == 0

    def share(self, pairs: Any) -> tuple[Any, float]:
        """Return this process's rows of a batch and how many of its rows they stand for.

        Fewer rows than processes are computed by all of them, and count once.
        """
        rows = len(pairs)
        if self.size == 1 or rows < self.size:
            return pairs, rows / self.size
        mine = on_tensors(pairs, lambda tensor: tensor.tensor_split(self.size)[self.rank])
        return mine, len(mine)

    def agreed(self, value: Any) -> Any:
        """Return the leader's value."""
        if self.size > 1:
            box = [value]
            distributed.broadcast_object_list(box)
            value = box[0]
        return value

    def gathered(self, value: Any) -> list[Any]:
        """Return everybody's value, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values


ALONE = Team()


def on_tensors(pairs: Any, function: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return a batch with `function` applied to every tensor they have."""
    held = {field.name: getattr(pairs, field.name) for field in fields(pairs)}
    return replace(pairs, **{name: function(value) for name, value in held.items() if value is not None})


def check_processes(processes: int, device: str) -> None:
    """Check that there is a device for each process.

    Raises:
        ConfigError: fewer GPUs than processes.
    """
    if torch.device(device).type == "cuda" and processes > torch.cuda.device_count():
        raise ConfigError(f"processes={processes}, but there are {torch.cuda.device_count()} GPUs; use at most as many")


def together(processes: int, device: str, work: Callable[..., None], arguments: dict[str, Any]) -> None:
    """Call `work(team=..., device=..., **arguments)` in new processes: on a GPU of its own each, or all on the CPU.

    Raises:
        ReseedError: what the work raised in any of them.
    """
    with tempfile.TemporaryDirectory(prefix="reseed-team-") as name:
        folder = Path(name)
        try:
            multiprocessing.spawn(_member, (processes, device, folder, work, arguments), nprocs=processes)
        except (multiprocessing.ProcessExitedException, multiprocessing.ProcessRaisedException):
            for failure in sorted(folder.glob("failed-*")):
                kind, message = json.loads(failure.read_text())
                raise getattr(errors, kind)(message) from None
            raise


def _member(
    rank: int, processes: int, device: str, folder: Path, work: Callable[..., None], arguments: dict[str, Any]
) -> None:
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // processes))
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=f"file://{folder / 'rendezvous'}",
        rank=rank,
        world_size=processes,
        timeout=_PATIENCE,
    )
    try:
        work(team=Team(rank, processes), device=f"cuda:{rank}" if on_gpu else device, **arguments)
    except errors.ReseedError as error:
        (folder / f"failed-{rank}").write_text(json.dumps([type(error).__name__, str(error)]))
        raise
    finally:
        distributed.destroy_process_group()
