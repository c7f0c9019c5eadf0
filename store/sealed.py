"""Files that carry the digest of their own bytes: JSON records and Parquet tables.

The digest is the SHA-256 of the file with the 64 characters that hold it replaced by zeros, so that a program in any
language can check a file without agreeing on a canonical form. Both stay ordinary files of their format. One without a
digest, of an older version or another program, is read as it is.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reseed.store.atomic import FileState, atomic_path, sha256_once, state_of, write_text
from reseed.store.bounded import check_regular, parse_json, read_text

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# Arrow takes a while to import, and who reads JSON need not wait for it.

Record = dict[str, Any]

RECORD_KEY, TABLE_KEY = "digest", "reseed.digest"
_BLANK = "0" * 64
_MARK = TABLE_KEY.encode() + b"\x18\x40"  # in the footer, by Thrift: a text of 64 bytes follows
_TAIL, _LONGEST_FOOTER = 1 << 16, 1 << 26
_CHUNK = 1 << 17


class DamagedError(ValueError):
    """A file is not what was written."""

    def __init__(self) -> None:
        super().__init__("its bytes are not those that were written")


def sealed_text(record: Record, *, sort_keys: bool = True) -> str:
    """Return a record as JSON with its digest; where keys are not sorted, the digest comes where the record has it."""
    blank = {**record, RECORD_KEY: _BLANK}
    text = json.dumps(blank, indent=1, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False) + "\n"
    line = f'\n "{RECORD_KEY}": "'  # of the record itself, not of one inside it
    return text.replace(line + _BLANK, line + _sha256(text), 1)


def parse_sealed(text: str) -> Any:
    """Return the value of a JSON text; of a record without its digest.

    Raises:
        ValueError: no JSON, beyond the bounds of `parse_json`, or a record that is not what was written.
    """
    value = parse_json(text)
    found = value.pop(RECORD_KEY, None) if isinstance(value, dict) else None
    if found is not None and not is_sound(text, found):
        raise DamagedError
    return value


def is_sound(text: str, digest: object) -> bool:
    """Say whether a JSON text is what was written with the digest that it carries."""
    return digest == _sha256(text.replace(str(digest), _BLANK, 1))


def write_record(path: Path, record: Record) -> None:
    """Write a record as indented JSON with sorted keys and its digest, atomically."""
    write_text(path, sealed_text(record))


def read_record(path: Path) -> Any:
    """Read what `write_record` wrote.

    Raises:
        OSError: missing, or no regular file.
        ValueError: as `parse_sealed` does.
    """
    return parse_sealed(read_text(path))


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the files below a folder by their names in it: for a record that vouches for them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): sha256_once(path) for path in files}


def check_listed(folder: Path, name: str, digests: Mapping[str, str]) -> None:
    """Compare a file with the digest that a record beside it lists for it, where it lists one.

    Raises:
        DamagedError: it is not what was written.
        OSError: it cannot be read.
    """
    if name in digests and sha256_once(folder / name) != digests[name]:
        raise DamagedError


@contextmanager
def table_writer(path: Path, schema: "pa.Schema", **options: Any) -> Iterator["pq.ParquetWriter"]:
    """Yield what writes a Parquet file with checksums of its pages and a digest; the file is whole or absent.

    Args:
        options: of `pyarrow.parquet.ParquetWriter`.
    """
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        with pq.ParquetWriter(temporary, schema, write_page_checksum=True, **options) as writer:
            yield writer
            writer.add_key_value_metadata({TABLE_KEY: _BLANK})
        place, _ = _digest_in(temporary) or (0, "")
        digest = _sha256_blanked(temporary, place)
        with temporary.open("r+b") as file:
            file.seek(place)
            file.write(digest.encode())


def write_table(path: Path, table: "pa.Table", *, row_group_size: int | None = None, **options: Any) -> None:
    """Write a table as `table_writer` does."""
    with table_writer(path, table.schema, **options) as writer:
        writer.write_table(table, row_group_size)


def check_table(path: Path) -> None:
    """Hash a Parquet file that carries a digest, once as long as it is the same file.

    Raises:
        DamagedError: it is not what was written.
        OSError: it cannot be read, or is no regular file.
    """
    check_regular(path)
    _check_table(path, state_of(path))


@lru_cache(maxsize=4096)
def _check_table(path: Path, state: FileState) -> None:
    found = _digest_in(path)
    if found is not None and _sha256_blanked(path, found[0]) != found[1]:
        raise DamagedError


def _digest_in(path: Path) -> tuple[int, str] | None:
    """Return where in a Parquet file its digest lies, and the digest; None where it carries none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        footer = int.from_bytes(file.read(4), "little")
        start = max(0, size - 8 - min(max(footer, _TAIL), _LONGEST_FOOTER))
        file.seek(start)
        tail = file.read()
    at = tail.rfind(_MARK)
    if at < 0:
        return None
    first = at + len(_MARK)
    return start + first, tail[first : first + 64].decode("ascii", "replace")


def _sha256_blanked(path: Path, place: int) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(min(_CHUNK, place - file.tell())):
            hasher.update(chunk)
        hasher.update(_BLANK.encode())
        file.seek(place + len(_BLANK))
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
