"""Arrays that all workers of a pass need: written to a file once, read once by each process."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from reseed.store.atomic import directory_of, writing

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Workspace:
    """A folder that all workers see, for as long as an audit lasts."""

    folder: Path

    def write(self, **arrays: NDArray[Any]) -> Path:
        """Write arrays where `read` finds them."""
        path = self.folder / f"{uuid4().hex}.npz"
        np.savez(path, allow_pickle=False, **arrays)
        return path


@contextmanager
def workspace(beside: Path | None) -> Iterator[Workspace]:
    """Make a workspace in a folder that all workers see; None: in the system's folder for temporary files."""
    place = (beside or Path(tempfile.gettempdir())) / "arrays of an audit"  # a name for messages
    with (
        writing(place),
        directory_of(place),
        tempfile.TemporaryDirectory(dir=place.parent, prefix=".audit-") as folder,
    ):
        yield Workspace(Path(folder).resolve())


@lru_cache(maxsize=1)
def read(path: Path) -> Arrays:
    """Return the arrays of a file; its name is never used twice."""
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
