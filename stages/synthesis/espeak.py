"""espeak-ng through ctypes: text in, samples out.

The library is one set of global variables, and it remembers: the flutter of a voice, its echo and its random numbers
run on from one utterance to the next, even through `espeak_Terminate`. The unit that can be repeated sample for sample
is therefore a fresh process with the same utterances in the same order.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from store import AudioError

SAMPLE_RATE_HZ = 22_050

# Values of the enumerations in espeak-ng's speak_lib.h, version 1.52.
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_UTF8 = 1
_CHARACTERS = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_OK = 0

# At the default of 100 the louder variants clip inside espeak-ng.
_VOLUME_PERCENT = 50

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_blocks: list[NDArray[np.int16]] = []


def say(
    text: str, *, accent: str, variant: str, pitch: int, pitch_range: int, rate_wpm: int, seed: int
) -> NDArray[np.int16]:
    """Return `text` spoken, [T] at 22 050 Hz.

    Args:
        accent: a voice file below espeak-ng-data/lang, such as "gmw/en-US".
        variant: a file of espeak-ng-data/voices/!v, such as "f3".
        pitch, pitch_range: 0 to 99, where 50 is the variant's own.
        rate_wpm: words per minute, 80 to 450.
        seed: of espeak-ng's own random numbers (breath and aspiration).

    Raises:
        AudioError: espeak-ng cannot be started, or has no such voice.
    """
    library = _library()
    _choose_voice(library, accent, variant)
    for parameter, value in ((_RATE, rate_wpm), (_VOLUME, _VOLUME_PERCENT), (_PITCH, pitch), (_RANGE, pitch_range)):
        library.espeak_SetParameter(parameter, value, 0)
    library.espeak_ng_SetRandSeed(ctypes.c_long(seed % 2**31))
    _blocks.clear()
    encoded = text.encode()
    status = library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, _CHARACTERS, 0, _UTF8, None, None)
    if status != _OK or not _blocks:
        raise AudioError(f"espeak-ng said nothing for {text!r} as {accent}+{variant} (status {status})")
    return np.concatenate(_blocks)


def _choose_voice(library: Any, accent: str, variant: str) -> None:
    # espeak-ng takes a variant that does not exist for none at all: two voices would silently be one.
    known = (Path(espeakng_loader.get_data_path()) / "voices" / "!v" / variant).is_file()
    if not known or library.espeak_SetVoiceByName(f"{accent}+{variant}".encode()) != _OK:
        data = espeakng_loader.get_data_path()
        raise AudioError(f"espeak-ng has no voice {accent}+{variant} in {data}; reinstall espeakng-loader")


@cache
def _library() -> Any:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path()
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
    if rate_hz != SAMPLE_RATE_HZ:
        raise AudioError(f"espeak-ng cannot be started from {data} (answer {rate_hz}); reinstall espeakng-loader")
    library.espeak_SetSynthCallback(_collect)
    return library


@_Callback
def _collect(samples: Any, count: int, _events: object) -> int:
    if samples and count > 0:
        # espeak-ng writes the next block over this one.
        _blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
    return 0
