"""How much memory is there to take: of a GPU, or of the host, where a job may be allowed less than the machine has."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch


def free_bytes(device: torch.device | str) -> int:
    """Return the bytes that can be taken on `device` without pushing anything out."""
    device = torch.device(device)
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_host_bytes()


def free_host_bytes(root: Path = Path("/")) -> int:
    """Return what the kernel calls available, or what the control groups of a SLURM job or container still allow.

    Args:
        root: where proc/ and sys/ lie. Where they tell nothing, as outside Linux, all physical memory counts as free.
    """
    return int(min([_available(root), *map(_headroom, _control_groups(root))]))


def _available(root: Path) -> float:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def _control_groups(root: Path) -> Iterator[Path]:
    """Yield the directories of this process's own control group (version 2) and of those around it."""
    top = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    yield from (top.joinpath(*Path(own).parts[:depth]) for depth in range(len(Path(own).parts) + 1))


def _headroom(group: Path) -> float:
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or one whose limit reads "max"
        return math.inf
    return max(0, limit - used + int(stat["inactive_file"]) + int(stat["active_file"]))
