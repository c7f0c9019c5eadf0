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
    soundfile.write(file, waveform_T, rate_hz, subtype=subtype, format=container)
    return file.getvalue()
