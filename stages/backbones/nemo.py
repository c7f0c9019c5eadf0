"""NeMo's archives (.nemo): a tar of a model's settings and its weights, which are read without running code."""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

CONFIG, WEIGHTS = "model_config.yaml", "model_weights.ckpt"
_MOST = 4  # times the size of the file: weights are hardly smaller when compressed


def member(path: Path, name: str) -> bytes:
    """Return one file of an archive, compressed or not.

    Raises:
        ValueError: there is none of that name, or what unpacks to far more than the archive.
        OSError, tarfile.TarError: the archive is damaged.
    """
    most = _MOST * path.stat().st_size
    with tarfile.open(path) as archive:
        for entry in archive:
            if entry.offset_data + entry.size > most:
                raise ValueError(f"{entry.name} is larger than an archive of that size can hold")
            held = archive.extractfile(entry) if entry.isreg() and not entry.issparse() else None
            if held is not None and entry.name.removeprefix("./") == name:
                return held.read()
    raise ValueError(f"it holds no {name}")


def settings(path: Path) -> Mapping[str, Any]:
    """Return what an archive says of its model; nothing where that is no mapping.

    Raises:
        ValueError, yaml.YAMLError, RecursionError, OSError, tarfile.TarError: there is nothing to be read.
    """
    found = yaml.load(member(path, CONFIG), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return found if isinstance(found, Mapping) else {}
