"""From a plan to files: the four folders of a corpus."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from reseed.stages.synthesis.espeak import spoken
from reseed.stages.synthesis.music import MUSIC_STYLES, make_music
from reseed.stages.synthesis.noises import NOISE_KINDS, make_noise
from reseed.stages.synthesis.rooms import make_room
from reseed.stages.synthesis.seeds import generator_for
from reseed.stages.synthesis.speech import record, script
from reseed.stages.synthesis.voices import Voice
from reseed.stages.synthesis.waveforms import write

Counts = Mapping[str, int]


def render_speech(folder: Path, voices: Mapping[str, Sequence[Voice]], utterances: Counts, seed: int) -> None:
    """Write `folder`/SPLIT/espeak/VOICE/VOICE-NN.flac.

    Raises:
        AudioError: espeak-ng cannot be started, crashes, or does not have a voice.
    """
    wanted = [
        (folder / split / "espeak" / voice.voice_id / f"{voice.voice_id}-{number:02d}.flac", voice)
        for split in voices
        for voice in voices[split]
        for number in range(utterances[split])
    ]
    lines = [script(voice, generator_for(seed, "script", path.stem)) for path, voice in wanted]
    with closing(spoken(lines)) as all_spoken:
        for (path, voice), spoken_T in zip(wanted, all_spoken, strict=True):
            write(path, record(spoken_T, voice, generator_for(seed, "record", path.stem)))


def render_noises(folder: Path, counts: Counts, duration_s: float, seed: int) -> None:
    """Write `folder`/SPLIT/KIND/KIND-NN.flac, the kinds of a split in turn."""
    for split, kind, name in _in_turn(NOISE_KINDS, counts):
        write(folder / split / kind / f"{name}.flac", make_noise(kind, duration_s, generator_for(seed, name)))


def render_music(folder: Path, counts: Counts, duration_s: float, seed: int) -> None:
    """Write `folder`/SPLIT/STYLE/STYLE-NN.flac, the styles of a split in turn."""
    for split, style, name in _in_turn(MUSIC_STYLES, counts):
        write(folder / split / style / f"{name}.flac", make_music(style, duration_s, generator_for(seed, name)))


def render_rooms(folder: Path, counts: Counts, positions: int, seed: int) -> None:
    """Write `folder`/SPLIT/ROOM/ROOM-NN.flac, one response for each position."""
    for split, count in counts.items():
        for room in (f"{split}-room-{number:02d}" for number in range(count)):
            for position, response_T in enumerate(make_room(positions, generator_for(seed, room))):
                write(folder / split / room / f"{room}-{position:02d}.flac", response_T)


def _in_turn(kinds: Mapping[str, Sequence[str]], counts: Counts) -> Iterator[tuple[str, str, str]]:
    """Yield split, kind and name, the kinds of each split in turn up to its count."""
    for split, count in counts.items():
        for index in range(count):
            round_number, position = divmod(index, len(kinds[split]))
            kind = kinds[split][position]
            yield split, kind, f"{kind}-{round_number:02d}"
