"""`synthesise`: nothing but a seed -> a corpus folder of speech, noise, music and room responses, all made here."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import Field

from reseed.stages.common.section import Section
from reseed.stages.synthesis.voices import Voice, plan_voices
from reseed.store import ConfigError
from reseed.store.atomic import atomic_directory, write_json, write_text
from reseed.store.bounded import read_json, read_text
from reseed.store.outputs import check_folder

_README, _RECORD = "README.md", "synthesis.json"
_FILES = (
    rf"{re.escape(_README)}|{re.escape(_RECORD)}|speech/\w+/espeak/(?P<voice>[^/]+)/(?P=voice)-\d+\.flac"
    r"|(noise|music|rir)/\w+/(?P<kind>[^/]+)/(?P=kind)-\d+\.flac"
)
_HEADLINE = "Everything in this folder is synthetic: made by `reseed`"

# Raise when the same settings and seed no longer give the same files.
_RECIPE = 1


class PerSplit(Section):
    """A number for each split.

    Attributes:
        train, dev, test: how many there are in that split.
    """

    train: int = Field(ge=1, le=100_000)
    dev: int = Field(ge=1, le=100_000)
    test: int = Field(ge=1, le=100_000)


class SynthesiseSettings(Section):
    """How much the synthetic corpus holds.

    Attributes:
        voices: speakers; half of each split are female.
        utterances_per_voice: sentences of a speaker, each of 2 to 6 s.
        noises: recordings of noise.
        noise_duration_s: length of each of them, in seconds.
        music: pieces of music.
        music_duration_s: length of each of them, in seconds.
        rooms: simulated rooms.
        positions_per_room: positions of the source in a room; each gives one room response.
    """

    voices: PerSplit = PerSplit(train=40, dev=12, test=20)
    utterances_per_voice: PerSplit = PerSplit(train=6, dev=8, test=8)
    noises: PerSplit = PerSplit(train=30, dev=12, test=20)
    noise_duration_s: float = Field(default=8.0, ge=1)
    music: PerSplit = PerSplit(train=18, dev=6, test=12)
    music_duration_s: float = Field(default=9.0, ge=1)
    rooms: PerSplit = PerSplit(train=12, dev=4, test=6)
    positions_per_room: int = Field(default=4, ge=1, le=10_000)


def check_installed() -> None:
    """Raise ConfigError if a package that makes the recordings is not installed."""
    missing = [name for name in ("espeakng_loader", "pyroomacoustics") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"a synthetic corpus needs {' and '.join(missing)}, not installed here; "
            "run `uv pip install espeakng-loader pyroomacoustics`"
        )


def synthesise(*, root: Path, settings: SynthesiseSettings, seed: int) -> None:
    """Write `root`/{speech,noise,music,rir}/{train,dev,test}/... as mono 16 kHz 16-bit FLAC, all of it or nothing.

    The same settings and seed give the same bytes; where they are already at `root`, nothing is done, and a synthetic
    corpus of other settings is replaced. No voice, noise kind, music style or room occurs in two splits.

    Raises:
        ConfigError: `root` holds anything but a synthetic corpus, or a package of the extra `demo` is not installed.
        AudioError: espeak-ng cannot be used.
    """
    recipe = {"recipe": _RECIPE, "seed": seed, "settings": settings.model_dump()}
    if _is_made(root, recipe):
        return
    check_installed()
    check_folder(root, "a synthetic corpus", _is_synthetic, _FILES)
    voices = plan_voices(settings.voices.model_dump(), seed)
    with atomic_directory(root) as building:
        _render(building, voices, settings, seed)
        write_text(building / _README, _readme(voices, seed))
        write_json(building / _RECORD, recipe | {"voices": _listed(voices)})


def _is_made(root: Path, recipe: Mapping[str, Any]) -> bool:
    try:
        record = read_json(root / _RECORD)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return isinstance(record, dict) and {**record, **recipe} == record


def _is_synthetic(root: Path) -> bool:
    return read_text(root / _README).startswith(_HEADLINE)


def _render(root: Path, voices: Mapping[str, Sequence[Voice]], settings: SynthesiseSettings, seed: int) -> None:
    # The configuration tree imports this file for its settings; scipy.signal and pyroomacoustics cost it seconds.
    from reseed.stages.synthesis import render

    render.render_speech(root / "speech", voices, settings.utterances_per_voice.model_dump(), seed)
    render.render_noises(root / "noise", settings.noises.model_dump(), settings.noise_duration_s, seed)
    render.render_music(root / "music", settings.music.model_dump(), settings.music_duration_s, seed)
    render.render_rooms(root / "rir", settings.rooms.model_dump(), settings.positions_per_room, seed)


def _listed(voices: Mapping[str, Sequence[Voice]]) -> dict[str, list[dict[str, Any]]]:
    return {split: [asdict(voice) for voice in voices[split]] for split in voices}


def _readme(voices: Mapping[str, Sequence[Voice]], seed: int) -> str:
    counts = ", ".join(f"{len(voices[split])} in {split}" for split in voices)
    return f"""{_HEADLINE} with seed {seed}; nobody was recorded.

* `speech/SPLIT/espeak/VOICE/`: sentences from a small grammar, spoken by espeak-ng; voices: {counts}.
  A voice is an accent, a variant, a pitch, a rate and a formant scale, listed in `synthesis.json`; the microphone, the
  level and the noise floor change from one utterance to the next. No variant of espeak-ng speaks in two splits.
* `noise/SPLIT/KIND/`: generated noises. Each split has kinds of its own.
* `music/SPLIT/STYLE/`: generated chord progressions. Each split has styles of its own.
* `rir/SPLIT/ROOM/`: responses of simulated shoebox rooms (image sources, RT60 about 0.2 to 0.9 s), one for each
  position of the source; they begin 2 ms before the direct path. No room occurs in two splits.

All files are mono, 16 kHz, 16-bit FLAC. The same settings and seed give the same files (`synthesis.json` has both).
Error rates on this corpus show that the pipeline works; they say nothing about people.
"""
