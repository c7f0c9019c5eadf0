"""Tables that come with data sets: tab-separated, a header first, as NIST and the LDC write them."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

from reseed.stages.audio.listed import file_errors
from reseed.store import ManifestError
from reseed.store.bounded import lines

_NOBODY = ("", "na", "n/a", "unknown", "unlabeled", "unlabelled")


def tab_rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield (number, column -> value) for each row; columns are in lower case, those that a row lacks are "".

    Raises:
        ManifestError: it cannot be read, or a row has more fields than the header.
    """
    header: list[str] = []
    with file_errors(path):
        for number, line in enumerate(lines(path, "utf-8-sig", newline=None), start=1):
            fields = [field.strip() for field in line.rstrip("\n").split("\t")]
            if not header:
                header = [name.lower() for name in fields]
            elif len(fields) > len(header):
                raise ManifestError(f"{path}, line {number}: has {len(fields)} fields, the header {len(header)}")
            elif any(fields):
                yield number, dict(zip_longest(header, fields, fillvalue=""))


def named(row: Mapping[str, str], *columns: str) -> str | None:
    """Return the first of some columns that says something."""
    return next((row[name] for name in columns if row.get(name, "").lower() not in _NOBODY), None)
