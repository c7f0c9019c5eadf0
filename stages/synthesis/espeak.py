"""espeak-ng through ctypes: lines in, samples out.

The library is one set of global variables, and it remembers: the flutter of a voice, its echo and its random numbers
run on from one line to the next, even through `espeak_Terminate`. What can be repeated sample for sample is therefore
the whole list of lines, spoken in order by a fresh process; and where espeak-ng crashes, only that process dies.
"""

import ctypes
import multiprocessing
import signal
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from reseed.store import AudioError

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


@dataclass(frozen=True)
class Line:
    """What is said, and how.

    Attributes:
        accent: a voice file below espeak-ng-data/lang, such as "gmw/en-US".
        variant: a file of espeak-ng-data/voices/!v, such as "f3".
        pitch, pitch_range: 0 to 99, where 50 is the variant's own.
        rate_wpm: words per minute, 80 to 450.
        seed: of espeak-ng's own random numbers (breath and aspiration), below 2**31.
    """

    text: str
    accent: str
    variant: str
    pitch: int
    pitch_range: int
    rate_wpm: int
    seed: int


def spoken(lines: Sequence[Line]) -> Generator[NDArray[np.int16], None, None]:
    """Yield each line as samples [T] at 22 050 Hz, spoken in order by a fresh process; closing ends that process.

    Raises:
        AudioError: espeak-ng cannot be started, crashes, or has no such voice.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_speak, args=(lines, sender), daemon=True)
    process.start()
    # With one sender left, the speaker's, its death is the end of the pipe.
    sender.close()
    try:
        for _ in lines:
            yield _received(receiver)
    finally:
        process.kill()
        process.join()
        receiver.close()


def _received(receiver: Connection) -> NDArray[np.int16]:
    try:
        answer = receiver.recv()
    except (EOFError, OSError) as error:
        raise AudioError("espeak-ng crashed or was killed; run again, or reinstall espeakng-loader") from error
    if isinstance(answer, AudioError):
        raise answer
    return answer


def _speak(lines: Sequence[Line], sender: Connection) -> None:
    # Interrupts are the parent's to handle: it ends this process, which need not print a traceback of its own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(BrokenPipeError):
        try:
            for line in lines:
                sender.send(_say(line))
        except AudioError as error:
            sender.send(error)


def _say(line: Line) -> NDArray[np.int16]:
    library = _library()
    _choose_voice(library, f"{line.accent}+{line.variant}")
    library.espeak_SetParameter(_VOLUME, _VOLUME_PERCENT, 0)
    for parameter, value in ((_RATE, line.rate_wpm), (_PITCH, line.pitch), (_RANGE, line.pitch_range)):
        library.espeak_SetParameter(parameter, value, 0)
    library.espeak_ng_SetRandSeed(ctypes.c_long(line.seed))
    _blocks.clear()
    text = line.text.encode()
    status = library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, _CHARACTERS, 0, _UTF8, None, None)
    if status != _OK or not _blocks:
        raise AudioError(f"espeak-ng said nothing for {line} (status {status})")
    return np.concatenate(_blocks)


def _choose_voice(library: Any, voice: str) -> None:
    data = Path(espeakng_loader.get_data_path())
    # espeak-ng takes a variant that does not exist for none at all: two voices would silently be one.
    known = (data / "voices" / "!v" / voice.partition("+")[2]).is_file()
    if not known or library.espeak_SetVoiceByName(voice.encode()) != _OK:
        raise AudioError(f"espeak-ng has no voice {voice} in {data}; reinstall espeakng-loader")


@cache
def _library() -> Any:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path()
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
    if rate_hz != SAMPLE_RATE_HZ:
        raise AudioError(f"espeak-ng cannot be started from {data} (answer {rate_hz}); reinstall espeakng-loader")
    library.espeak_SetSynthCallback(_collect)
    return library


def _keep(samples: Any, count: int, _events: object) -> int:
    if samples and count > 0:
        # espeak-ng writes the next block over this one.
        _blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
    return 0


_collect = _Callback(_keep)
