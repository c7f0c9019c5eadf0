"""Earlier states of a store: an edit keeps the one that it replaces, until `reseed expire` or a drop of utterances.

STORE/versions/log.json               of every state when it was made, by what, and what it holds
STORE/versions/0003.json              store.json of version 3, as it was
STORE/versions/0003.rejects.parquet   its rejects
STORE/versions/shards/NAME            files of shards that store.json no longer names
"""

import hashlib
import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from reseed.store import atomic
from reseed.store.errors import StoreError
from reseed.store.format import HEADER_NAME, OF_SHARDS, VERSIONS, Place, header_path
from reseed.store.header import parse_header, read_text_of, text_at
from reseed.store.sealed import parse_sealed, sealed_text
from reseed.store.url import AnyPath

_LOG = f"{VERSIONS}/log.json"
_OF_VERSIONS = re.compile(rf"{VERSIONS}/(\d{{4,9}}\.json|\d{{4,9}}\.rejects\.parquet|shards/{OF_SHARDS.pattern})")


@dataclass(frozen=True)
class Change:
    """What an edit does to a finished store.

    Attributes:
        by: the edit in words, for the log; they name no utterance and no speaker.
        forgets: no earlier state may stay, for what was dropped is in them.
    """

    by: str
    forgets: bool = False


@dataclass(frozen=True)
class Version:
    """One state of a store.

    Attributes:
        number: 1 for the first.
        made: when, in UTC, as ISO 8601 has it; empty: unknown.
        by: what made it: "drop view noise"; empty: unknown.
        rows, utterances: how many it holds.
        header: SHA-256 of its store.json.
        state: "present", "kept", or "expired": it can be read no more.
    """

    number: int
    made: str
    by: str
    rows: int
    utterances: int
    header: str
    state: str = "present"


def versions(store: AnyPath) -> list[Version]:
    """Return the states of a store, the present one last.

    Raises:
        StoreError: no store, or a damaged log.
    """
    text = read_text_of(store)
    sha256, logged = _sha256(text), _logged(store)
    matching = [place for place, each in enumerate(logged) if each.header == sha256]
    if matching:
        del logged[matching[-1] + 1 :]  # of an edit that did not come to replace store.json
    else:
        logged.append(_version(len(logged) + 1, _made(store), "", text, store))
    return [*(replace(each, state=_state(store, each.number)) for each in logged[:-1]), logged[-1]]


def earlier(store: AnyPath, version: int | None) -> int | None:
    """Return the number of an earlier state to be read; None: the present one is meant.

    Raises:
        StoreError: there is no such state, or it can be read no more; names those that can.
    """
    if version is None:
        return None
    known = versions(store)
    if version == known[-1].number:
        return None
    readable = [each.number for each in known if each.state != "expired"]
    if version not in readable:
        is_expired = 0 < version < known[-1].number
        what = f"version {version} is expired" if is_expired else f"there is no version {version}"
        raise StoreError(f"{store}: {what}; there are {', '.join(map(str, readable))} (`reseed info --versions`)")
    return version


def log_change(store: Path, text: str, rejects: Path, change: Change) -> None:
    """Keep the present state, unless it is to be forgotten, and log the one to come.

    Args:
        text: of the store.json to come.
        rejects: where the rejects of the present state lie.
    """
    try:
        known = versions(store)
    except StoreError:
        if not change.forgets:
            raise
        known = [_version(1, _made(store), "", read_text_of(store), store)]
    number = known[-1].number
    if not change.forgets:
        atomic.write_bytes(rejects_path(store, number), rejects.read_bytes())
        atomic.write_text(header_path(store, number), read_text_of(store))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    log = [*known, _version(number + 1, now, change.by, text, store)]
    record = {"versions": [{key: value for key, value in asdict(each).items() if key != "state"} for each in log]}
    atomic.write_text(store / _LOG, sealed_text(record))


def files_of_versions(store: Path, *, log: bool = False) -> set[str]:
    """Return the names, relative to a store, of what is kept of earlier states, and of their log."""
    paths = [path for pattern in ("*", "shards/*") for path in (store / VERSIONS).glob(pattern) if path.is_file()]
    names = {str(path.relative_to(store)) for path in paths}
    return {name for name in names if is_of_versions(name) and (log or name != _LOG)}


def is_of_versions(name: str) -> bool:
    """Whether a file, by its name relative to a store, belongs to its earlier states."""
    return name == _LOG or _OF_VERSIONS.fullmatch(name) is not None


def rejects_path(store: Place, version: int) -> Place:
    """Return where the rejects of an earlier state lie."""
    return cast(Place, store / VERSIONS / f"{version:04d}.rejects.parquet")


def _logged(store: AnyPath) -> list[Version]:
    path = store / _LOG
    try:
        return [_parsed(raw) for raw in parse_sealed(text_at(path))["versions"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        again = f"remove the folder {VERSIONS}, which holds earlier states alone, or restore it"
        raise StoreError(f"{path} is damaged ({error}); {again}") from error


def _parsed(raw: dict[str, Any]) -> Version:
    """Make a version of JSON that anybody may have written; raises TypeError or ValueError where it is none."""
    version = Version(**raw)
    for name, kind in {"number": int, "made": str, "by": str, "rows": int, "utterances": int, "header": str}.items():
        if type(raw[name]) is not kind:
            raise TypeError(f"{name} is {str(raw[name])[:80]!r}")
    if version.made and datetime.fromisoformat(version.made).tzinfo is None:
        raise ValueError(f"made is {version.made!r}, without a time zone")
    return version


def _version(number: int, made: str, by: str, text: str, store: AnyPath) -> Version:
    header = parse_header(text, store / HEADER_NAME)
    return Version(number, made, by, sum(shard.rows for shard in header.shards), header.stored, _sha256(text))


def _made(store: AnyPath) -> str:
    """Return when store.json was written; of a place that may not say so, nothing."""
    if not isinstance(store, Path):
        return ""
    return datetime.fromtimestamp((store / HEADER_NAME).stat().st_mtime, UTC).isoformat(timespec="seconds")


def _state(store: AnyPath, number: int) -> str:
    return "kept" if header_path(store, number).is_file() else "expired"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
