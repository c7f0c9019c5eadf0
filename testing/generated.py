"""Generated speakers, as vectors, as a store and as sound: what the contracts are tested on.

A vector is speaker + session + noise.

Shapes: D embedding dimension, U utterances, C crops, V views, N utterances x crops, S speakers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reseed.stages.trial_scoring.inputs.lists import ENROLMENTS_SCHEMA
from reseed.store import Declaration, finalise, write_shard
from reseed.store.inputs import DeclaredInputs

RATE_HZ = 16_000
SPEAKERS = 6
_LOUDNESS = {"noise": 1.0, "music": 0.85, "babble": 1.25, "reverb": 0.6}


def voice(speaker: int, take: int, duration_s: float = 2.0, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    """A pulse train with a pitch of its own per speaker, slowly modulated: enough for an encoder to chew on."""
    generator = np.random.default_rng([speaker, take])
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    phase = 2 * np.pi * (90 + 35 * speaker) * time_s + np.sin(2 * np.pi * generator.uniform(2, 4) * time_s)
    pulses = sum(np.sin(k * phase) / k ** (1 + 0.2 * speaker) for k in range(1, 9))
    loudness = 0.1 * (1.2 + np.sin(2 * np.pi * 3 * time_s + take))
    return (loudness * pulses + 0.001 * generator.normal(size=len(time_s))).astype(np.float32)


def clustered_vectors(n_crops: int, n_views: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    """Return unit vectors [N, V, D]: the first view holds the clusters, the others are shifted and blurred."""
    rng = np.random.default_rng(seed)
    centre_SD = np.random.default_rng(99).normal(size=(SPEAKERS, dim))
    shift_VD = np.random.default_rng(98).normal(size=(n_views, dim))
    clean_ND = centre_SD[np.arange(n_crops) % SPEAKERS] + 0.3 * rng.normal(size=(n_crops, dim))
    blur_NVD = shift_VD + 0.3 * rng.normal(size=(n_crops, n_views, dim))
    blur_NVD[:, 0] = 0.0
    vectors_NVD = clean_ND[:, None] + blur_NVD
    return (vectors_NVD / np.linalg.norm(vectors_NVD, axis=-1, keepdims=True)).astype(np.float32)


def simulate(
    names: list[str], views: dict[str, Any], *, dim: int, crops: int, noise_left: float = 1.0, session: float = 1.0
) -> NDArray[np.float32]:
    """Return vectors [U, C, V, D] of utterances by the speakers `names`.

    Args:
        views: name -> recipe, whose SNR says how far the view moves a vector.
        noise_left, session: how much there is of noise, and of what differs between utterances of a speaker.
    """
    draw = np.random.default_rng(7)
    speaker_SD = {name: draw.normal(size=dim) for name in dict.fromkeys(names)}
    speech_UD = np.stack([speaker_SD[name] for name in names]) + 0.75 * session * draw.normal(size=(len(names), dim))
    crops_UCD = speech_UD[:, None] + 0.35 * draw.normal(size=(len(names), crops, dim))
    rendered = []
    for recipe in views.values():
        level = noise_left * _level(recipe)
        away_D = draw.normal(size=dim)
        rendered.append(crops_UCD + level * (0.9 * draw.normal(size=crops_UCD.shape) + 0.8 * away_D))
    return np.stack(rendered, axis=2).astype(np.float32)


def _level(recipe: Any) -> float:
    """How far a view moves a vector; 5 dB less SNR is a good half more. A recipe from elsewhere moves it somewhat."""
    if not isinstance(recipe, dict):
        return 0.7
    level = 0.0
    for kind, snr_db in recipe.items():
        level += _LOUDNESS[kind] * (1.0 if kind == "reverb" else 10 ** ((8 - float(np.mean(snr_db))) / 26))
    return level


def write_store(
    store: Path,
    ids: list[str],
    names: list[str],
    vectors_UCVD: NDArray[np.floating],
    views: dict[str, Any],
    space: str = "toy:1",
    inputs: DeclaredInputs | None = None,
    utterances_per_shard: int = 40,
) -> Path:
    """Write a finished store of several shards."""
    utterances, crops, _, dim = vectors_UCVD.shape
    declaration = Declaration(dim, "float32", views, crops, space, inputs or DeclaredInputs(further={"toy": 1}))
    starts = range(0, utterances, utterances_per_shard)
    written = []
    for shard, start in enumerate(starts):
        rows = range(start, min(start + utterances_per_shard, utterances))
        catalogue = pa.Table.from_pylist(
            [
                {"utterance_id": ids[row], "speaker_id": names[row], "view": view, "crop": crop, "duration_s": 1.6}
                for row in rows
                for crop in range(crops)
                for view in views
            ]
        )
        vectors = vectors_UCVD[rows.start : rows.stop].reshape(-1, dim)
        written.append(write_shard(store, shard, vectors, catalogue, declaration))
    finalise(store, declaration, written, utterances)
    return store


def write_manifest(path: Path, ids: list[str], names: Sequence[str | None], *, described: bool = False) -> Path:
    """Write a manifest, in another order than the store's.

    Args:
        described: with gender and age of every third speaker or so unknown, and durations from 1 s upwards.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    columns: dict[str, pa.Array] = {
        "utterance_id": pa.array(ids[::-1], pa.string()),
        "path": pa.array([f"{name}.wav" for name in ids[::-1]], pa.string()),
        "speaker_id": pa.array(names[::-1], pa.string()),
        "duration_s": pa.array([2.0] * len(ids)),
    }
    if described:
        place = {name: number for number, name in enumerate(dict.fromkeys(names))}
        columns["gender"] = pa.array([("female", "M", None)[place[name] % 5 // 2] for name in names[::-1]], pa.string())
        columns["age"] = pa.array([(9.0, 17.9, 30.0, None)[place[name] % 4] for name in names[::-1]], pa.float64())
        columns["duration_s"] = pa.array([1.0 + 0.25 * (number % 12) for number in range(len(ids))])
    pq.write_table(pa.table(columns), path)
    return path


def write_enrolments(path: Path, rows: list[tuple[str, str]]) -> Path:
    """Write a list of enrolments: model, utterance."""
    columns = zip(*rows, strict=True) if rows else ([], [])
    pq.write_table(pa.table([list(column) for column in columns], schema=ENROLMENTS_SCHEMA), path)
    return path
