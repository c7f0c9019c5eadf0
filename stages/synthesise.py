"""`synthesise`: nothing but a seed -> a corpus folder of speech, noise, music and room responses, all made here."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.section import Section
from stages.synthesis.voices import Voice, plan_voices
from store import ConfigError
from store.atomic import write_json, write_text

_RECORD = "synthesis.json"

# Raise when the same settings and seed no longer give the same files.
_RECIPE = 1


class PerSplit(Section):
    """A number for each split."""

    train: int = Field(ge=1)
    dev: int = Field(ge=1)
    test: int = Field(ge=1)


class SynthesiseSettings(Section):
    """How much the synthetic corpus holds.

    Attributes:
        voices: speakers; half of each split are female.
        utterances_per_voice: sentences of 2 to 6 s.
        noises, noise_duration_s: noise recordings, the kinds of the split in turn.
        music, music_duration_s: pieces of music, the styles of the split in turn.
        rooms, positions_per_room: simulated rooms, and the source positions (one response each) in a room.
    """

    voices: PerSplit = PerSplit(train=40, dev=12, test=20)
    utterances_per_voice: PerSplit = PerSplit(train=6, dev=8, test=8)
    noises: PerSplit = PerSplit(train=30, dev=12, test=20)
    noise_duration_s: float = Field(default=8.0, ge=1)
    music: PerSplit = PerSplit(train=18, dev=6, test=12)
    music_duration_s: float = Field(default=9.0, ge=1)
    rooms: PerSplit = PerSplit(train=12, dev=4, test=6)
    positions_per_room: int = Field(default=4, ge=1)


def synthesise(*, root: Path, settings: SynthesiseSettings, seed: int) -> None:
    """Write `root`/{speech,noise,music,rir}/{train,dev,test}/... as mono 16 kHz 16-bit FLAC, all of it or nothing.

    The same settings and seed give the same bytes; where they are already at `root`, nothing is done. No voice, noise
    kind, music style or room occurs in two splits.

    Raises:
        ConfigError: `root` holds something else.
        AudioError: espeak-ng cannot be used.
    """
    record = {"recipe": _RECIPE, "seed": seed, "settings": settings.model_dump()}
    if _is_made(root, record):
        return
    voices = plan_voices(settings.voices.model_dump(), seed)
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}.tmp-", dir=root.parent) as temporary:
        building = Path(temporary) / root.name
        _render(building, voices, settings, seed)
        write_text(building / "README.md", _readme(voices, seed))
        write_json(building / _RECORD, record | {"voices": _listed(voices)})
        building.rename(root)


def _is_made(root: Path, record: Mapping[str, Any]) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    if not (root / _RECORD).is_file():
        raise ConfigError(f"{root} exists and is no synthetic corpus (it has no {_RECORD}); choose another folder")
    found = json.loads((root / _RECORD).read_text(encoding="utf-8"))
    differing = "; ".join(_differences(found, record))
    if differing:
        raise ConfigError(f"{root} was made with {differing}; remove it or choose another folder")
    return True


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in wanted.items():
        if isinstance(value, Mapping):
            yield from _differences(found.get(key, {}), value, f"{above}{key}.")
        elif found.get(key) != value:
            yield f"{above}{key} {found.get(key)}, not {value}"


def _render(root: Path, voices: Mapping[str, Sequence[Voice]], settings: SynthesiseSettings, seed: int) -> None:
    # The configuration tree imports this file for its settings; scipy.signal and pyroomacoustics cost it seconds.
    from stages.synthesis import render

    render.render_speech(root / "speech", voices, settings.utterances_per_voice.model_dump(), seed)
    render.render_noises(root / "noise", settings.noises.model_dump(), settings.noise_duration_s, seed)
    render.render_music(root / "music", settings.music.model_dump(), settings.music_duration_s, seed)
    render.render_rooms(root / "rir", settings.rooms.model_dump(), settings.positions_per_room, seed)


def _listed(voices: Mapping[str, Sequence[Voice]]) -> dict[str, list[dict[str, Any]]]:
    return {split: [asdict(voice) for voice in voices[split]] for split in voices}


def _readme(voices: Mapping[str, Sequence[Voice]], seed: int) -> str:
    counts = ", ".join(f"{len(voices[split])} in {split}" for split in voices)
    return f"""Everything in this folder is synthetic: made by `reseed` with seed {seed}; nobody was recorded.

* `speech/SPLIT/espeak/VOICE/`: sentences from a small grammar, spoken by espeak-ng ({counts}). A voice is an accent,
  a variant, a pitch, a rate and a formant scale, listed in `synthesis.json`; the microphone, the level and the noise
  floor change from one utterance to the next. No variant of espeak-ng speaks in two splits.
* `noise/SPLIT/KIND/`: generated noises. Each split has kinds of its own.
* `music/SPLIT/STYLE/`: generated chord progressions. Each split has styles of its own.
* `rir/SPLIT/ROOM/`: responses of simulated shoebox rooms (image sources, RT60 about 0.2 to 0.9 s), one for each
  position of the source; they begin 2 ms before the direct path. No room occurs in two splits.

All files are mono, 16 kHz, 16-bit FLAC. The same settings and seed give the same files (`synthesis.json` has both).
Error rates on this corpus show that the pipeline works; they say nothing about people.
"""
