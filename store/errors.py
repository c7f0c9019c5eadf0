"""The one exception tree of the project.

    ReseedError              every error a user can cause; the command line prints it as one line
    ├── ConfigError          a setting is unknown, missing or out of range
    ├── ManifestError        a corpus manifest or trial list cannot be used
    ├── AudioError           a recording cannot be used (becomes a row of rejects.parquet where the rest can go on)
    ├── StoreError           a store is missing, damaged, or does not fit
    │   ├── StoreBusyError   somebody else is changing it
    │   └── StoreChangedError  somebody else has changed it since it was opened
    ├── ModelError           a model is missing, damaged, or was made for other embeddings
    ├── ScoringError         scores or labels from which no metric can be computed
    └── WriteError           a file cannot be written: the disk is full or read-only, or it is not allowed

Messages say what is wrong, where, and what to do.
"""

import signal


class ReseedError(Exception):
    """Base of every error that reseed raises on purpose.

    Attributes:
        lines: what is said; nearly always one.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class ConfigError(ReseedError):
    """A setting is unknown, missing or out of range."""


class ManifestError(ReseedError):
    """A corpus manifest or a trial list cannot be used."""


class AudioError(ReseedError):
    """A recording cannot be used."""


class StoreError(ReseedError):
    """A store is missing, damaged, or does not fit what it is used with."""


class StoreBusyError(StoreError):
    """A store is being changed by another process or thread."""


class StoreChangedError(StoreError):
    """A store was changed since it was opened: what is to be read is no longer there. Opened again, it is whole."""


class ModelError(ReseedError):
    """A model is missing, damaged, or was made for other embeddings."""


class ScoringError(ReseedError):
    """Scores or labels from which no metric can be computed."""


class WriteError(ReseedError):
    """A file cannot be written: the disk is full or read-only, a quota is used up, or it is not allowed."""


class Interrupted(KeyboardInterrupt):
    """SIGINT ended the work. A class of its own: Python ends otherwise once KeyboardInterrupt passed `exec`."""

    number = signal.SIGINT


class Terminated(Interrupted):
    """SIGTERM ended the work: like Ctrl-C it is nobody's error, and nothing that mends errors may catch it."""

    number = signal.SIGTERM


class HungUp(Terminated):
    """SIGHUP did: the terminal is gone."""

    number = signal.SIGHUP


def ended_by(error: KeyboardInterrupt) -> tuple[int, str]:
    """Return the exit status of what a signal ended, 128 and its number, and the word for it."""
    number = error.number if isinstance(error, Interrupted) else signal.SIGINT
    return 128 + number, {signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}.get(number, "interrupted")
