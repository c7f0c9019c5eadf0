"""Whether the workers of a Dask cluster can take part: asked by code that needs nothing of this package there."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reseed.store import ConfigError

_SEEN_S = 10.0  # network file systems may show another machine's file later
_ROOT = Path(__file__).resolve().parents[1]


def check_workers(run: Callable[..., Mapping[str, Any]], sees: Path | None) -> None:
    """Ask every worker whether it has the same reseed and sees the files.

    Args:
        run: calls a function on every worker and returns what it gave, or raised, by the worker's address.
        sees: what will be written; the workers must see the folder that it is in, if that is on a disk.

    Raises:
        ConfigError: one cannot take part; names it, its host and the reason.
    """
    look, digest = _look(), _digest_of()(_ROOT)
    if sees is None:
        problems = run(look, digest, None, _SEEN_S)
    else:
        where = next(each for each in (sees.resolve(), *sees.resolve().parents) if each.is_dir())
        with tempfile.NamedTemporaryFile(prefix=".dask-sees-", dir=where) as marker:
            problems = run(look, digest, marker.name, _SEEN_S)
    for worker, problem in problems.items():
        if problem:
            host, _, reason = problem.partition("\n") if isinstance(problem, str) else ("an unknown host", "", problem)
            raise ConfigError(f"the Dask worker {worker} on {host} cannot take part: {reason}")


def _look() -> Callable[[str, str | None, float], str | None]:
    """Return a function that Dask carries over by its code, since a worker without this package cannot look it up."""
    digest_of = _digest_of()

    def look(digest: str, marker: str | None, wait_s: float) -> str | None:
        import importlib
        import pathlib
        import socket
        import time

        host = socket.gethostname()
        try:
            root = pathlib.Path(str(importlib.import_module("reseed").__file__)).parent
            importlib.import_module("reseed.stages.extraction.extraction")
        except ImportError as error:
            return f"{host}\nit cannot import reseed ({error}); install the same reseed in its environment"
        if digest_of(root) != digest:
            return f"{host}\nthe reseed in {root} is another version; install the same there and start it anew"
        end = time.monotonic() + wait_s
        while marker and not pathlib.Path(marker).exists():
            if time.monotonic() > end:
                return f"{host}\nit does not see {pathlib.Path(marker).parent}; all must share that disk, by one path"
            time.sleep(0.1)
        return None

    return look


def _digest_of() -> Callable[[Path], str]:
    """Return what digests the code that decides what is computed; it is carried over like `_look`."""

    def digest_of(root: Path) -> str:
        import hashlib

        hasher = hashlib.sha256()
        for folder in ("pipeline", "stages", "store"):
            for path in sorted((root / folder).rglob("*.py")):
                hasher.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
        return hasher.hexdigest()

    return digest_of
