"""Read and write store.json, a record that carries the digest of its own bytes (see store.sealed)."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from reseed.store.atomic import write_text
from reseed.store.bounded import MOST_BYTES, parse_json, read_text
from reseed.store.checks import check_regular
from reseed.store.errors import StoreError
from reseed.store.format import (
    FORMAT_NAME,
    FORMAT_VERSION,
    HEADER_NAME,
    REJECTS_NAME,
    SHARD_NAME,
    Declaration,
    Header,
    Shard,
    StoredFile,
    file_suffixes,
    header_path,
)
from reseed.store.inputs import Parent, parse_inputs
from reseed.store.remote import fetch
from reseed.store.remote_file import state_of_url
from reseed.store.sealed import is_sound, sealed_text
from reseed.store.url import AnyPath, Url

_MOST_NAMED = 12
_IN_WORDS = {str: "text", int: "a count", list: "a list", dict: "an object"}
_KEYS = (
    *("format", "version", "digest", "fingerprint", "utterances", "rejects", "shards"),
    *("dim", "dtype", "views", "crops", "space", "inputs", "lineage", "vectors"),
)


def write_header(store: Path, header: Header, text: str | None = None) -> None:
    """Write store.json atomically: from this moment on the directory is this store.

    Args:
        text: what it is to say, where another program or version may have written it.
    """
    write_text(store / HEADER_NAME, header_text(header) if text is None else text)


def header_text(header: Header) -> str:
    """Return what store.json says of a store."""
    views = [{"name": name, "recipe": recipe} for name, recipe in header.declaration.views.items()]
    raw = {
        "format": FORMAT_NAME,
        "version": FORMAT_VERSION,
        "digest": "",
        "fingerprint": header.fingerprint,
        "utterances": {"expected": header.expected, "stored": header.stored, "rejected": header.rejected},
        "rejects": asdict(header.rejects),
        "shards": [asdict(shard) for shard in header.shards],
        **header.declaration.to_json(),
        "views": views,
        **header.declaration.further,
    }
    return sealed_text(raw, sort_keys=False)


def read_header(store: AnyPath, version: int | None = None) -> Header:
    """Parse and check STORE/store.json, or that of an earlier state.

    Raises:
        StoreError: no store there, another format or version, or a file that is not as it was written.
    """
    return parse_header(read_text_of(store, version), header_path(store, version))


def parse_header(text: str, path: AnyPath) -> Header:
    """Parse and check the text of a store.json.

    Args:
        path: where it lies, for messages.

    Raises:
        StoreError: as `read_header`.
    """
    try:
        raw = parse_json(text)
    except ValueError as error:
        raise StoreError(f"{path} cannot be read ({error}); extract the store again") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT_NAME:
        raise StoreError(f"{path} is not a reseed store header")
    if raw.get("version") != FORMAT_VERSION:
        raise StoreError(f"{path} has format version {raw.get('version')!r}; this reseed reads {FORMAT_VERSION}")
    if not is_sound(text, raw.get("digest")):
        raise StoreError(f"{path} was altered: its digest does not match; restore it or extract the store again")
    try:
        return _parsed(raw)
    except KeyError as error:
        raise StoreError(f"{path} lacks the key {error}; it is no header of format {FORMAT_VERSION}") from error
    except (TypeError, ValueError, AttributeError, RecursionError, StoreError) as error:
        raise StoreError(f"{path} is no header of format {FORMAT_VERSION}: {error}") from error


def read_text_of(store: AnyPath, version: int | None = None) -> str:
    """Return the text of STORE/store.json, as it is now, or of that of an earlier state.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    path = header_path(store, version)
    try:
        return text_at(path)
    except FileNotFoundError:
        gone = _no_store(store) if version is None else f"{store}: version {version} is expired; read another"
        raise StoreError(gone) from None
    except (OSError, ValueError) as error:
        if isinstance(path, Url) and isinstance(error, OSError):
            raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
        raise StoreError(f"{path} cannot be read ({error}); extract the store again") from error


def text_at(path: AnyPath) -> str:
    """Return the text of a file as it is now, here or elsewhere.

    Raises:
        OSError, ValueError: there is none, it is too long, or it cannot be read.
    """
    if isinstance(path, Path):
        if not path.exists():
            raise FileNotFoundError
        check_regular(path)
        return read_text(path)
    size = state_of_url(str(path), is_fresh=True).size or 0
    if size > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
    return (fetch(str(path), 0, size, size) or b"").decode()


def _no_store(folder: AnyPath) -> str:
    """Say that a folder is no finished store; of one that has the shape of a run, which stores it holds."""
    if isinstance(folder, Url):
        return f"{folder} is not a finished store: it has no {HEADER_NAME}; bring one there with `reseed copy`"
    if not folder.exists():
        return f"{folder} is not a finished store: there is no such folder; `reseed extract` makes one"
    held = [str(path.parent) for path in sorted(folder.glob(f"stores/*/*/{HEADER_NAME}"))]
    if not held and (inside := sorted(folder.glob(f"*/{HEADER_NAME}"))):
        return f"{folder} holds stores and is none; name one of them: {', '.join(str(path.parent) for path in inside)}"
    if not held:
        return f"{folder} is not a finished store: it has no {HEADER_NAME}; run `reseed extract`"
    more = f" and {len(held) - _MOST_NAMED} more" if len(held) > _MOST_NAMED else ""
    return f"{folder} is a run; its stores are {', '.join(held[:_MOST_NAMED])}{more}: name one of them"


def _parsed(raw: dict[str, Any]) -> Header:
    _check_types("the header", raw, {"fingerprint": str, "dim": int, "dtype": str, "crops": int, "space": str})
    _check_types("the header", raw, {"vectors": str, "views": list, "inputs": dict, "lineage": list, "shards": list})
    counts = raw["utterances"]
    _check_types("utterances", counts, dict.fromkeys(("expected", "stored", "rejected"), int))
    if raw["rejects"]["name"] != REJECTS_NAME:
        raise ValueError(f"its rejects are not {REJECTS_NAME} but {raw['rejects']['name']!r}")
    return Header(
        declaration=Declaration(
            **{key: raw[key] for key in ("dim", "dtype", "crops", "space", "vectors")},
            views={view["name"]: view["recipe"] for view in raw["views"]},
            inputs=parse_inputs(raw["inputs"]),
            lineage=tuple(map(Parent.parse, raw["lineage"])),
            further={key: value for key, value in raw.items() if key not in _KEYS},
        ),
        fingerprint=raw["fingerprint"],
        expected=counts["expected"],
        stored=counts["stored"],
        rejected=counts["rejected"],
        shards=[_parsed_shard(shard, raw["vectors"]) for shard in raw["shards"]],
        rejects=_parsed_file(raw["rejects"]),
    )


def _parsed_shard(raw: dict[str, Any], layout: str) -> Shard:
    _check_types("a shard", raw, {"name": str, "rows": int, "utterances": int, "files": list})
    shard = Shard(**{**raw, "files": tuple(map(_parsed_file, raw["files"]))})
    names = [f"shards/{shard.name}.{suffix}" for suffix in file_suffixes(layout)]
    if not SHARD_NAME.fullmatch(shard.name) or [file.name for file in shard.files] != names:
        found = ", ".join(file.name for file in shard.files)
        raise ValueError(f"shard {shard.name!r} has the files {found}, not {', '.join(names)}")
    return shard


def _parsed_file(raw: dict[str, Any]) -> StoredFile:
    _check_types("a file", raw, {"name": str, "bytes": int, "sha256": str})
    return StoredFile(**raw)


def _check_types(what: str, raw: dict[str, Any], types: dict[str, type]) -> None:
    for key, kind in types.items():
        value = raw[key]
        if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
            raise TypeError(f"{key} of {what} is {str(value)[:80]!r}, not {_IN_WORDS[kind]}")
