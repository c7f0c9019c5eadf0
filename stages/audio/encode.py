"""Write recordings through soundfile, whole or not at all.

Shapes: T samples.
"""

import io
from pathlib import Path
from typing import Any

import soundfile
from numpy.typing import NDArray

from reseed.store import ConfigError
from reseed.store.atomic import write_bytes
from reseed.store.outputs import check_file

_MARK = "made by reseed"


def check_writable(path: Path) -> None:
    """Check that a recording may be written at `path`: nothing is there, or one that was made here.

    Raises:
        ConfigError: something else is there.
    """
    check_file(path, "a recording made by reseed", _is_ours)


def write_audio(path: Path, waveform_T: NDArray[Any], rate_hz: int, subtype: str | None = None) -> None:
    """Write a waveform in the format that the suffix of `path` names.

    Raises:
        ConfigError: libsndfile has no such format, or not with that subtype.
        WriteError: the file cannot be written.
    """
    try:
        data = encoded(waveform_T, rate_hz, path.suffix[1:].upper(), subtype)
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} cannot be written ({error}); give a name that ends in .wav or .flac") from error
    write_bytes(path, data)


def encoded(waveform_T: NDArray[Any], rate_hz: int, container: str, subtype: str | None = None) -> bytes:
    """Return a waveform as an audio file, made in memory: writing to a disk, libsndfile hides that it is full."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate_hz, 1, subtype, format=container) as written:
        written.comment = _MARK
        written.write(waveform_T)
    return file.getvalue()


def _is_ours(path: Path) -> bool:
    try:
        with soundfile.SoundFile(path) as file:
            return bool(file.comment == _MARK)
    except soundfile.LibsndfileError:
        return False
