"""What lists of recordings share: a recording as listed, and text files read line by line."""

import csv
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from reseed.stages.audio.location import Location
from reseed.store import ManifestError
from reseed.store.bounded import lines
from reseed.store.url import AnyPath

# What the numbers of a stretch are in; untold: to be told from the length of the file.
SECONDS, SAMPLES, UNTOLD = "s", "samples", "?"
MEAN = -1  # in the place of a channel
_SIDES = {"a": 0, "b": 1, "left": 0, "right": 1}


@dataclass(frozen=True)
class ListedRecording:
    """One recording as listed, not yet opened.

    Attributes:
        problem: why it cannot be opened at all.
        channel: the one that is meant, counted from 0, or MEAN of all; None: the list names none.
        units: of `start_s` and `duration_s`, where these are no seconds yet.
        has_id: whether the list names `utterance_id`; it is the path otherwise.
        overshoot_s: by how much the stretch may end behind the recording, and is cut there.
        rate_hz: the least that the sound is to have been brought to; None: that of the file.
        language: that is spoken, as the list names it.
        gender: of the speaker: "female", "male", or another word of the list.
        age: of the speaker, in years.
    """

    utterance_id: str
    path: AnyPath | Location
    speaker_id: str | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    split: str | None = None
    problem: str | None = None
    channel: int | None = None
    units: tuple[str, str] = (SECONDS, SECONDS)
    has_id: bool = True
    overshoot_s: float = 0.01
    rate_hz: int | None = None
    language: str | None = None
    gender: str | None = None
    age: float | None = None


@contextmanager
def file_errors(path: AnyPath) -> Iterator[None]:
    """Raise what prevents a file from being read as a ManifestError that names the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} cannot be read: it is not {error.encoding.upper()} text ({error})") from error
    except (EOFError, zlib.error) as error:
        raise ManifestError(f"{path} cannot be read: what gzip compressed is cut short or damaged") from error
    except (OSError, csv.Error) as error:
        raise ManifestError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    except ValueError as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error


def read_lines(path: AnyPath) -> Iterator[tuple[int, str]]:
    """Yield (number, line) for each line of a text file that is not blank.

    Raises:
        ManifestError: it cannot be read.
    """
    with file_errors(path):
        for number, line in enumerate(lines(path, "utf-8-sig", newline=None), start=1):
            if line.strip():
                yield number, line.strip()


def channel_of(named: object) -> int | None:
    """Return the channel that a list names: a number counted from 0, A or B, left or right; None: it names none.

    Raises:
        ValueError: it is none of these.
    """
    if named is None or named == "":
        return None
    text = str(named).strip().lower()
    channel = _SIDES[text] if text in _SIDES else float(text)
    if not 0 <= channel < 2**15 or channel != int(channel):
        raise ValueError(f"{named!r} is no channel")
    return int(channel)
