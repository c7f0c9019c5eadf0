"""What is printed: names come from files of others, and a terminal obeys control characters."""

import json
import sys
from collections.abc import Iterable

from reseed.stages.common.terms import SPEECH, Wording

_spoken = [SPEECH]  # the words of this process: it works for one run


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with everything that is not seen written out, e.g. `\x1b` or `\u202e`.

    That is control and format characters, those that reverse the direction of writing among them, separators of lines,
    spaces that are not the usual one, and halves of characters that are no UTF-8.

    Args:
        keep: characters that may stay, e.g. the end of a line.
    """
    if text.isprintable():
        return text
    shown = (each if each.isprintable() or each in keep else each.encode("unicode_escape").decode() for each in text)
    return "".join(shown)


def speak(words: Wording) -> None:
    """Let all that is said from now on be said in these words."""
    _spoken[0] = words


def said(text: str) -> str:
    """Return a sentence on speech in the words of this process."""
    return _spoken[0].say(text)


def lines(texts: Iterable[str]) -> str:
    """Return texts as lines, each of which stays one."""
    return "\n".join(printable(said(text)) for text in texts)


def as_json(found: object, indent: int | None = None) -> str:
    """Return JSON of characters that are seen."""
    return json.dumps(found, indent=indent).replace("\x7f", "\\u007f")


def log(line: str) -> None:
    """Print a line to the standard error stream."""
    print(printable(said(line)), file=sys.stderr, flush=True)
