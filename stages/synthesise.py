"""`synthesise`: nothing but a seed -> a corpus folder of speech, noise, music and room responses, all made here.

Each split is rendered by a fresh process, because espeak-ng repeats itself only from a fresh start.
"""

import json
import multiprocessing
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.section import Section
from stages.synthesis.voices import Voice, plan_voices
from store import AudioError, ConfigError
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
    differing = [f"{key} {found.get(key)}, not {value}" for key, value in record.items() if found.get(key) != value]
    if differing:
        raise ConfigError(f"{root} was made with {'; '.join(differing)}; remove it or choose another folder")
    return True


def _render(building: Path, voices: Mapping[str, Sequence[Voice]], settings: SynthesiseSettings, seed: int) -> None:
    """Render each split in a process of its own, all at the same time."""
    with ExitStack() as stack:
        context = multiprocessing.get_context("spawn")
        rendered = {}
        for split in voices:
            pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=context))
            rendered[split] = pool.submit(_render_split, building, split, voices[split], settings, seed)
        for split, future in rendered.items():
            try:
                future.result()
            except BrokenProcessPool as error:
                advice = "run it again; if it stops again, reinstall espeakng-loader"
                raise AudioError(
                    f"the process that rendered the split {split} was killed or crashed; {advice}"
                ) from error


def _render_split(building: Path, split: str, voices: Sequence[Voice], settings: SynthesiseSettings, seed: int) -> None:
    # The configuration tree imports this file for its settings, and pyroomacoustics alone takes a second to import.
    from stages.synthesis import render

    utterances, noises = getattr(settings.utterances_per_voice, split), getattr(settings.noises, split)
    pieces, rooms = getattr(settings.music, split), getattr(settings.rooms, split)
    render.render_speech(building / "speech" / split / "espeak", voices, utterances, seed)
    render.render_noises(building / "noise" / split, split, noises, settings.noise_duration_s, seed)
    render.render_music(building / "music" / split, split, pieces, settings.music_duration_s, seed)
    render.render_rooms(building / "rir" / split, split, rooms, settings.positions_per_room, seed)


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
