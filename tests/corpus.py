"""Small recordings for tests: tones with formant-like colour, noises, rooms; and the real ones where they are there."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from reseed.stages.audio.manifest import ROW_GROUP, UTTERANCES_SCHEMA, Utterance
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.testing.generated import RATE_HZ as RATE_HZ
from reseed.testing.generated import voice as voice

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"

needs_recordings = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real recordings are not at {REAL}")


def write_corpus(root: Path, splits: tuple[str, ...] = ("train", "dev"), speakers: int = 3, takes: int = 2) -> Path:
    """Write a corpus folder laid out as `reseed run` expects it."""
    for number, split in enumerate(splits):
        for speaker in range(speakers):
            name = 10 * number + speaker
            for take in range(takes):
                write_wave(
                    root / "speech" / split / "toy" / f"s{name}" / f"s{name}-{take}.flac",
                    voice(name % 7, 10 * number + take),
                )
        generator = np.random.default_rng(number)
        for index in range(3):
            write_wave(root / "noise" / split / "hiss" / f"n{index}.flac", 0.1 * generator.normal(size=RATE_HZ))
            write_wave(root / "music" / split / "tune" / f"m{index}.flac", voice(5, 10 * number + index, 1.0))
            decay = np.exp(-np.arange(2000) / 300) * generator.normal(size=2000)
            write_wave(root / "rir" / split / "room" / f"r{index}.flac", decay / np.abs(decay).max() * 0.9)
    return root


def prepared(corpus: Path, folder: Path, kinds: Sequence[str], split: str = "train") -> dict[str, Path]:
    """Prepare some kinds of recordings of a corpus folder; returns the manifest of each."""
    for kind in kinds:
        prepare(
            source=corpus / kind / split,
            utterances=folder / f"{kind}.parquet",
            rejects=folder / f"{kind}.rejects.parquet",
            settings=PrepareSettings(),
            kind=kind,
        )
    return {kind: folder / f"{kind}.parquet" for kind in kinds}


def write_wave(path: Path, wave: np.ndarray, rate_hz: int = RATE_HZ, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate_hz, **options)
    return path


def write_manifest(path: Path, utterances: list[Utterance]) -> None:
    """Write a manifest, sorted by id."""
    ordered = sorted(utterances, key=lambda utterance: utterance.utterance_id)
    table = pa.Table.from_pylist([vars(utterance) for utterance in ordered], UTTERANCES_SCHEMA)
    pq.write_table(table, path, row_group_size=ROW_GROUP)
