"""Sources that are several: globs, braces {0000..0099}, and NeMo's _OP_0..99_CL_."""

import glob
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from reseed.stages.audio.remote_listing import files_below
from reseed.store import ManifestError
from reseed.store.url import AnyPath, Url

_OPEN, _CLOSE = "_OP_", "_CL_"  # as NeMo writes braces, where shells or YAML would read them
_BRACES = re.compile(r"\{([^{}]*)\}")
_SPAN = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 1_000_000


def is_pattern(source: AnyPath) -> bool:
    """Whether a source stands for several; what exists is itself, whatever it looks like."""
    text = str(source)
    if isinstance(source, Url):  # whether it exists is not asked: no name of a store has these
        return _OPEN in text or _BRACES.search(text) is not None or "*" in text
    return not source.exists() and (_OPEN in text or _BRACES.search(text) is not None or glob.has_magic(text))


def expanded(source: AnyPath, kept: Path | None = None) -> Sequence[AnyPath]:
    """Return what a source stands for: braces in their order, globs by name.

    Args:
        kept: what a store lists is read from this file, or written to it; see `files_below`.

    Raises:
        ManifestError: a part of it does not exist, or nothing fits.
    """
    if not is_pattern(source):
        return [source]
    text = str(source).replace(_OPEN, "{").replace(_CLOSE, "}")
    if isinstance(source, Url):
        return _expanded_urls(source, kept)
    paths = [Path(each) for braced in islice(_braced(text), _MOST) for each in _globbed(braced)]
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise ManifestError(f"{source} stands for {missing} too, which does not exist")
    if not paths:
        raise ManifestError(f"{source} fits no file")
    return paths


def _expanded_urls(source: Url, kept: Path | None) -> list[Url]:
    """Return what braces stand for, unasked, and the files that globs fit."""
    text = str(source).replace(_OPEN, "{").replace(_CLOSE, "}")
    urls: list[Url] = []
    for each in map(Url, islice(_braced(text), _MOST)):
        urls += [Url(entry.url) for entry in files_below(each, kept)] if "*" in str(each) else [each]
    if not urls:
        raise ManifestError(f"{source} fits no file")
    return urls


def _globbed(text: str) -> list[str]:
    if Path(text).exists() or not glob.has_magic(text):
        return [text]
    return sorted(glob.glob(text, recursive=True))  # noqa: PTH207  (of a path that may be absolute)


def _braced(text: str) -> Iterator[str]:
    """Yield what the first braces of a text stand for: numbers of a span, as wide as they are written, or words."""
    match = _BRACES.search(text)
    if match is None:
        yield text
        return
    span = _SPAN.fullmatch(match[1])
    if span:
        first, last = int(span[1]), int(span[2])
        width = len(span[1]) if span[1].startswith("0") else 0
        words: Iterator[str] = (f"{number:0{width}}" for number in range(first, last + 1))
    else:
        words = iter(match[1].split(","))
    for word in words:
        yield from _braced(text[: match.start()] + word + text[match.end() :])
