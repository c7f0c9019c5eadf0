"""Stores as extraction writes them, of generated vectors: speakers, sessions, and noises that move them.

Shapes: U utterances, D embedding dimension.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from reseed.store import Declaration, EmbeddingStore, Reject, finalise, write_shard
from reseed.store.format import CATALOGUE_SCHEMA
from reseed.store.inputs import DeclaredInputs, Parent

DIM = 64
VIEWS = {"clean": {}, "noise": {"noise": [0.0, 10.0]}, "music": {"music": 5.0}}
SPACE = "ge2e:aaaaaaaa"


def make_store(
    path: Path,
    *,
    speakers: int = 24,
    each: int = 8,
    shards: int = 6,
    crops: int = 2,
    views: dict | None = None,
    first: int = 0,
    prefix: str = "",
    space: str = SPACE,
    labelled: bool = True,
    rejects: tuple[Reject, ...] = (),
    lineage: tuple[Parent, ...] = (),
) -> EmbeddingStore:
    """Write a store of speakers `first`, `first` + 1, ...; the same speakers always sound the same."""
    views = VIEWS if views is None else views
    declaration = Declaration(
        DIM, "float32", views, crops, space, DeclaredInputs(further={"made": "generated"}), lineage
    )
    names, numbers = [], np.array_split(np.arange(speakers * each), shards)
    for index, members in enumerate(numbers):
        vectors, rows = [], []
        for number in members.tolist():
            speaker, take = first + number // each, number % each
            name = f"{prefix}s{speaker:04}-{take}"
            for entry, vector in _utterance(speaker, take, views, crops):
                rows.append({"utterance_id": name, "speaker_id": f"s{speaker:04}" if labelled else None, **entry})
                vectors.append(vector)
        table = pa.Table.from_pylist(rows, CATALOGUE_SCHEMA)
        names.append(write_shard(path, index, np.array(vectors, np.float32), table, declaration))
    finalise(path, declaration, names, speakers * each + len(rejects), list(rejects))
    return EmbeddingStore(path)


def _utterance(speaker: int, take: int, views: dict, crops: int):
    common = np.random.default_rng(1).normal(size=DIM)
    axes = np.random.default_rng(2).normal(size=(DIM, DIM)) * np.linspace(1.6, 0.2, DIM)
    voice = axes @ np.random.default_rng([3, speaker]).normal(size=DIM) / 8
    rng = np.random.default_rng([4, speaker, take])
    session = 0.25 * axes @ rng.normal(size=DIM) / 8
    for crop in range(crops):
        clean = 0.8 * common + voice + session + 0.15 * rng.normal(size=DIM)
        for view, recipe in views.items():
            entry = {
                "view": view,
                "crop": crop,
                "start_s": 1.5 * crop,
                "duration_s": 1.5,
                "seed": take,
                "noise_ids": [],
            }
            if not recipe:
                yield entry, clean
                continue
            sound = f"{view}/{rng.integers(8)}"
            snr = float(rng.uniform(0, 10)) if view == "noise" else 5.0
            moved = np.random.default_rng([5, *sound.encode()]).normal(size=DIM) * 10 ** (-snr / 20)
            yield {**entry, "noise_ids": [sound], "snr_db": snr}, clean + moved
