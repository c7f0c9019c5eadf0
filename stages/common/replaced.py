"""Whether a command has put another result in the place of an earlier one, and what that was made from."""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reseed.store import atomic

# The file of a folder that is written last and holds, or follows from, digests of the rest.
_HEADERS = ("store.json", "model.json", "backbone.json", "frontend.json", "alignment.json", "synthesis.json")
_HASHED = 1 << 28  # bytes; of a larger file its size and time say whether it is another one
_MOST = 10_000  # files of a folder
_NAMES = {"space": "", "fingerprint": "store ", "weights_sha256": "weights "}


@dataclass(frozen=True)
class Result:
    """What lies at a path.

    Attributes:
        origin: what it says that it was made from; empty: it does not say.
    """

    path: Path
    digest: str
    made: datetime
    origin: str

    def in_words(self) -> str:
        return f"{self.path}, made {self.made:%Y-%m-%d %H:%M}{f' from {self.origin}' if self.origin else ''}"


def result_at(path: Path) -> Result | None:
    """Return the finished result at a path; None where there is none, e.g. a store that is not sealed."""
    files = _files(path)
    if not files:
        return None
    digest = atomic.digest({str(file.relative_to(path)): _state(file) for file in files})
    made = max(file.stat().st_mtime for file in files)
    return Result(path, digest, datetime.fromtimestamp(made), _origin(files[0]))


def was_replaced(before: Result) -> bool:
    """Whether another result lies now where one lay before."""
    now = result_at(before.path)
    return now is not None and now.digest != before.digest


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    headers = [path / name for name in _HEADERS if (path / name).is_file()]
    if headers or (path / "shards").is_dir() or not path.is_dir():
        return headers
    found = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return sorted(islice(found, _MOST))


def _state(file: Path) -> str:
    found = file.stat()
    return f"{found.st_size} {found.st_mtime_ns}" if found.st_size > _HASHED else atomic.sha256_file(file)


def _origin(file: Path) -> str:
    said: object = None
    with suppress(OSError, ValueError, pa.ArrowException):
        if file.suffix == ".parquet":
            said = json.loads((pq.read_metadata(file).metadata or {}).get(b"reseed", b"null"))
        elif file.name in _HEADERS:
            said = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(said, dict):
        return ""
    return ", ".join(
        f"{name}{str(said[key])[: 40 if not name else 8]}" for key, name in _NAMES.items() if said.get(key)
    )
