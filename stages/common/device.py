"""Which device a process computes on. Several processes on one machine spread over its GPUs by themselves."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from reseed.store import ConfigError

if TYPE_CHECKING:
    import torch

# torch takes seconds to import, and what is told to use the CPU need not wait for it.

_claims: list[TextIO] = []  # a GPU is claimed for the life of the process


def gpu_count() -> int:
    """Return how many usable CUDA devices this machine has."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def resolved(setting: str) -> str:
    """Return "cuda" or "cpu" for "auto", else the device as given.

    Raises:
        ConfigError: a CUDA device is asked for and there is none.
    """
    if setting == "cpu":
        return setting
    count = gpu_count()
    if setting == "auto":
        return "cuda" if count else "cpu"
    number = int(setting.partition(":")[2] or 0) if setting.startswith("cuda") else 0
    if number < count:
        return setting
    if count:
        raise ConfigError(f"device {setting!r} was asked for, but this machine has {count} of them, from cuda:0 on")
    raise ConfigError(f"device {setting!r} was asked for, but this machine has no usable CUDA device; use cpu or auto")


def torch_device(name: str) -> "torch.device":
    """Return the torch device called `name`.

    Raises:
        ConfigError: torch knows no such device, or this machine has none.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"{name!r} is not a device; use cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        resolved(name)
    return device


def claimed(setting: str) -> str:
    """Return the device to compute on: of several GPUs one that no other process of this user has claimed.

    Raises:
        ConfigError: a CUDA device is asked for and there is none.
    """
    device = resolved(setting)
    several = device == "cuda" and gpu_count() > 1
    return f"cuda:{claim(gpu_count(), Path(tempfile.gettempdir()))}" if several else device


def claim(count: int, folder: Path) -> int:
    """Return the first of `count` GPUs that no living process has claimed; where all are, share by process number."""
    if _claims:
        return int(_claims[0].name.rsplit("-", 1)[1])
    for number in range(count):
        file = (folder / f"reseed-{os.getuid()}-gpu-{number}").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        _claims.append(file)
        return number
    return os.getpid() % count
