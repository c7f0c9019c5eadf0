"""The configuration that a new user begins with."""

from pathlib import Path

from reseed.pipeline.layout import project_file
from reseed.store import ConfigError
from reseed.store.atomic import write_text

NAME = "mine.yaml"


def write_starter(folder: Path) -> Path:
    """Write a commented configuration of a run into `folder`, which is made if need be; returns its path.

    Raises:
        ConfigError: there is one already.
    """
    path = folder / NAME
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path} exists already; edit it, or give another folder")
    write_text(path, (project_file("configs") / "starter.yaml").read_text(encoding="utf-8"))
    return path
