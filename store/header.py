"""Read and write store.json, which carries a digest of its own bytes.

The field "digest" is the SHA-256 of the file with that field's 64 characters replaced by zeros, so that a reader in
any language can check the header without agreeing on a canonical form of JSON.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reseed.store.atomic import write_text
from reseed.store.errors import StoreError
from reseed.store.format import FORMAT_NAME, FORMAT_VERSION, HEADER_NAME, Declaration, Header, Shard, StoredFile
from reseed.store.inputs import Parent, parse_inputs

_UNSIGNED = "0" * 64
_KEYS = (
    *("format", "version", "digest", "fingerprint", "utterances", "rejects", "shards"),
    *("dim", "dtype", "views", "crops", "space", "inputs", "lineage", "vectors"),
)


def write_header(store: Path, header: Header) -> None:
    """Write store.json atomically: from this moment on the directory is this store."""
    views = [{"name": name, "recipe": recipe} for name, recipe in header.declaration.views.items()]
    raw = {
        "format": FORMAT_NAME,
        "version": FORMAT_VERSION,
        "digest": _UNSIGNED,
        "fingerprint": header.fingerprint,
        "utterances": {"expected": header.expected, "stored": header.stored, "rejected": header.rejected},
        "rejects": asdict(header.rejects),
        "shards": [asdict(shard) for shard in header.shards],
        **header.declaration.to_json(),
        "views": views,
        **header.declaration.further,
    }
    text = json.dumps(raw, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(store / HEADER_NAME, text.replace(_UNSIGNED, _sha256(text), 1))


def read_header(store: Path) -> Header:
    """Parse and check STORE/store.json.

    Raises:
        StoreError: no store there, another format or version, or a file that is not as it was written.
    """
    path = store / HEADER_NAME
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text)
    except FileNotFoundError:
        raise StoreError(f"{store} is not a finished store: it has no {HEADER_NAME}; run `reseed extract`") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); extract the store again") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT_NAME:
        raise StoreError(f"{path} is not a reseed store header")
    if raw.get("version") != FORMAT_VERSION:
        raise StoreError(f"{path} has format version {raw.get('version')!r}; this reseed reads {FORMAT_VERSION}")
    if raw.get("digest") != _sha256(text.replace(str(raw.get("digest")), _UNSIGNED, 1)):
        raise StoreError(f"{path} was altered: its digest does not match; restore it or extract the store again")
    return _parsed(raw)


def _parsed(raw: dict[str, Any]) -> Header:
    counts = raw["utterances"]
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
        shards=[_parsed_shard(shard) for shard in raw["shards"]],
        rejects=StoredFile(**raw["rejects"]),
    )


def _parsed_shard(raw: dict[str, Any]) -> Shard:
    return Shard(**{**raw, "files": tuple(StoredFile(**file) for file in raw["files"])})


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
