"""One name for one vector, in formats that know only names: `UTTERANCE-cropN-VIEW`, escaped so that it can be undone.

Letters and digits of ASCII, `_`, `-`, `~` and what a format allows stay; any other character becomes %XX for each byte
of its UTF-8, as in addresses. In the view `-` is escaped too, so that the last two dashes always part the three.
"""

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

import pyarrow as pa

_KEY = re.compile(r"(.*)-crop(\d+)-([^-]*)", re.DOTALL)


def escape(text: str, allowed: str = "") -> str:
    """Return `text` in printable ASCII without spaces; of the punctuation, `allowed` stays."""
    escaped = quote(text, safe=allowed)
    return escaped if "." in allowed else escaped.replace(".", "%2E")


def unescape(text: str) -> str:
    """Undo `escape`.

    Raises:
        ValueError: percent signs that stand for no UTF-8.
    """
    return unquote(text, errors="strict")


def key_of(utterance_id: str, crop: int, view: str, allowed: str = "") -> str:
    """Return the key of one vector, e.g. `a%20b-crop0-clean`."""
    return f"{escape(utterance_id, allowed)}-crop{crop}-{escape(view).replace('-', '%2D')}"


def keys_of(rows: pa.Table, allowed: str = "") -> Iterator[str]:
    """Yield the keys of the rows of a catalogue."""
    names = (rows[name].to_pylist() for name in ("utterance_id", "crop", "view"))
    for utterance_id, crop, view in zip(*names, strict=True):
        yield key_of(utterance_id, crop, view, allowed)


def parse_key(key: str) -> tuple[str, int, str]:
    """Return (utterance_id, crop, view) of a key.

    Raises:
        ValueError: not a key that `key_of` makes.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"{key[:80]!r} is not UTTERANCE-cropN-VIEW")
    return unescape(match[1]), int(match[2]), unescape(match[3])
