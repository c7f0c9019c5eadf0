"""One split of the corpus, from nothing to files. Meant for a process of its own: see `stages.synthesis.espeak`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from stages.synthesis.music import MUSIC_STYLES, make_music
from stages.synthesis.noises import NOISE_KINDS, make_noise
from stages.synthesis.rooms import make_room
from stages.synthesis.speech import utter
from stages.synthesis.voices import Voice
from stages.synthesis.waveforms import generator_for, write


def render_speech(folder: Path, voices: Sequence[Voice], utterances: int, seed: int) -> None:
    """Write `folder`/VOICE/VOICE-NN.flac.

    Raises:
        AudioError: espeak-ng cannot be started, or does not have a voice.
    """
    for voice in voices:
        for number in range(utterances):
            name = f"{voice.voice_id}-{number:02d}"
            write(folder / voice.voice_id / f"{name}.flac", utter(voice, generator_for(seed, name)))


def render_noises(folder: Path, split: str, count: int, duration_s: float, seed: int) -> None:
    """Write `folder`/KIND/KIND-NN.flac, the kinds of the split in turn."""
    for kind, name in _in_turn(NOISE_KINDS[split], count):
        write(folder / kind / f"{name}.flac", make_noise(kind, duration_s, generator_for(seed, split, name)))


def render_music(folder: Path, split: str, count: int, duration_s: float, seed: int) -> None:
    """Write `folder`/STYLE/STYLE-NN.flac, the styles of the split in turn."""
    for style, name in _in_turn(MUSIC_STYLES[split], count):
        write(folder / style / f"{name}.flac", make_music(style, duration_s, generator_for(seed, split, name)))


def render_rooms(folder: Path, split: str, count: int, positions: int, seed: int) -> None:
    """Write `folder`/ROOM/ROOM-NN.flac, one response for each position."""
    for number in range(count):
        room = f"{split}-room-{number:02d}"
        for position, response_T in enumerate(make_room(positions, generator_for(seed, room))):
            write(folder / room / f"{room}-{position:02d}.flac", response_T)


def _in_turn(kinds: Sequence[str], count: int) -> Iterator[tuple[str, str]]:
    """Yield `count` pairs of a kind and a name, the kinds in turn."""
    for index in range(count):
        round_number, position = divmod(index, len(kinds))
        yield kinds[position], f"{kinds[position]}-{round_number:02d}"
