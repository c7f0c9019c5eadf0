"""Options of command lines, read and never executed, and the rates and times that they hold."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Reader:
    """Which options a program has that are understood; those of one letter may be written together (-cds, -c1).

    Attributes:
        flags, valued: letters, without and with a value.
        long_flags, long_valued: with two hyphens.
        words, valued_words: with one hyphen, as FFmpeg has them.
        others: a pattern of what else may stand there and means nothing.
    """

    flags: str = ""
    valued: str = ""
    long_flags: Sequence[str] = ()
    long_valued: Sequence[str] = ()
    words: Sequence[str] = ()
    valued_words: Sequence[str] = ()
    others: str = "(?!)"


class Options:
    """The options and operands of a command line.

    Attributes:
        given: (name, value) of each option, in order.
        rest: what follows the first operand, where that is all that was asked for.

    Raises:
        ValueError: an option that is not understood.
    """

    def __init__(self, words: Sequence[str], reader: Reader, until_operand: bool = False) -> None:
        self.given: list[tuple[str, str]] = []
        self.rest = list(words)
        self._operands: list[str] = []
        self._reader = reader
        while self.rest and not (until_operand and self._operands):
            word = self.rest.pop(0)
            if not word.startswith("-") or word == "-":
                self._operands.append(word)
            elif not re.fullmatch(reader.others, word):
                self._take(word)

    def only_operand(self) -> str:
        """Return the file that is named; raises ValueError where there is none, or more than one."""
        if len(self._operands) != 1:
            raise ValueError(f"names {', '.join(self._operands) or 'no file'}")
        return self._operands[0]

    def _take(self, word: str) -> None:
        reader, name = self._reader, word.lstrip("-")
        long, has_value, value = name.partition("=")
        if word.startswith("--") and long in reader.long_valued:
            self.given.append((long, value if has_value else self._value(word)))
        elif (word.startswith("--") and name in reader.long_flags) or name in reader.words:
            self.given.append((name, ""))
        elif name in reader.valued_words:
            self.given.append((name, self._value(word)))
        elif word.startswith("--") or name[:1] not in (*reader.flags, *reader.valued):
            raise ValueError(f"has the option {word}, which is not understood")
        elif name[0] in reader.valued:
            self.given.append((name[0], name[1:] or self._value(word)))
        else:
            self.given.append((name[0], ""))
            if name[1:]:
                self._take(f"-{name[1:]}")

    def _value(self, word: str) -> str:
        if not self.rest:
            raise ValueError(f"has nothing after {word}")
        return self.rest.pop(0)


def rate_of(text: str) -> int:
    """Return a rate in Hz: 16000, 16k, 44.1k; raises ValueError where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(k?)", text)
    rate_hz = float(found[1]) * (1000 if found[2] else 1) if found else 0
    if not 1 <= rate_hz < 1e9:
        raise ValueError(f"has the rate {text}")
    return round(rate_hz)


def samples_of(text: str, suffix: str = "") -> float:
    """Return a number of samples, behind which SoX has an s; raises ValueError where it is none."""
    if not re.fullmatch(rf"\d{{1,15}}{suffix}|0", text):
        raise ValueError(f"has the time {text}, which is not in samples from the beginning")
    return float(text.removesuffix(suffix))


def seconds_of(text: str) -> float:
    """Return a time in seconds: 1.5, 01:30, 1:02:03.5; raises ValueError where it is none, or in samples."""
    found = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)t?", text)
    if found is None:
        raise ValueError(f"has the time {text}, which is not in seconds from the beginning")
    return int(found[1] or 0) * 3600 + int(found[2] or 0) * 60 + float(found[3])
