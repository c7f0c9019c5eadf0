"""A generated experiment: stores of several systems, trials and a manifest, in which noise and enhancement have a size.

A vector is speaker + session + noise. Enhancers differ in how much of the noise they leave and how much they harm the
session, which makes the order of the systems known beforehand.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reseed.stages.score import score
from reseed.stages.trial_scoring.files import METADATA_KEY
from reseed.stages.trial_scoring.order import ScoreOrder
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.store.inputs import DeclaredInputs, EnhancedInputs
from reseed.testing import generated
from reseed.testing.generated import write_enrolments as write_enrolments
from reseed.testing.generated import write_manifest as write_manifest
from reseed.testing.generated import write_store as write_store

VIEWS: dict[str, dict[str, Any]] = {
    "clean": {},
    "noise_15db": {"noise": 15.0},
    "noise_5db": {"noise": 5.0},
    "noise_0db": {"noise": 0.0},
    "music_10db": {"music": 10.0},
    "music_0db": {"music": 0.0},
    "babble_15db": {"babble": 15.0},
    "babble_5db": {"babble": 5.0},
    "reverb": {"reverb": True},
    "reverb_babble_15db": {"reverb": True, "babble": 15.0},
    "reverb_babble_5db": {"reverb": True, "babble": 5.0},
    "music_wide": {"music": [5.0, 15.0]},
}
SYSTEMS = {"raw": (1.0, 1.0), "wccn": (0.72, 0.98), "seed": (0.8, 1.06), "mse": (0.76, 1.15), "vmf_pl": (0.69, 1.08)}


@dataclass(frozen=True)
class Example:
    """Where the files of a generated experiment are."""

    utterances: Path
    trials: Path
    stores: list[Path]
    systems: list[str]
    scores: list[Path]
    identification: list[Path]


def make_example(
    root: Path,
    *,
    speakers: int = 12,
    utterances_each: int = 6,
    dim: int = 16,
    crops: int = 2,
    trials: int = 1500,
    views: dict[str, Any] = VIEWS,
    systems: tuple[str, ...] = tuple(SYSTEMS),
    speakers_known: bool = True,
    described: bool = False,
) -> Example:
    """Write manifest, trials and one store per system, and score them all."""
    names = [f"s{number:02d}" for number in range(speakers) for _ in range(utterances_each)]
    ids = [f"{name}-u{number % utterances_each}" for number, name in enumerate(names)]
    example = Example(
        write_manifest(
            root / "utterances.parquet", ids, names if speakers_known else [None] * len(names), described=described
        ),
        write_trials(root / "trials.parquet", draw_trials(ids, names, trials)),
        [root / "stores" / system for system in systems],
        list(systems),
        [root / "scores" / f"{system}.parquet" for system in systems],
        [root / "scores" / f"{system}.identification.parquet" for system in systems],
    )
    for system, store, scores, identification in zip(
        systems, example.stores, example.scores, example.identification, strict=True
    ):
        vectors_UCVD = simulate(names, views, dim=dim, crops=crops, system=system)
        write_store(
            store,
            ids,
            names,
            vectors_UCVD,
            views,
            space="toy:1" if system == "raw" else f"toy:1+{system}:2",
            inputs=DeclaredInputs(further={"toy": 1}) if system == "raw" else enhanced_by(system),
        )
        score(
            ScoreOrder(
                store=store,
                trials=example.trials,
                utterances=example.utterances,
                scores=scores,
                identification=identification,
                system=system,
                settings=ScoreSettings(),
            )
        )
    return example


def simulate(names: list[str], views: dict[str, Any], *, dim: int, crops: int, system: str) -> np.ndarray:
    """Return vectors [U, C, V, D] of utterances by the speakers `names`, as a system has them."""
    noise_left, session = SYSTEMS[system]
    return generated.simulate(names, views, dim=dim, crops=crops, noise_left=noise_left, session=session)


def enhanced_by(system: str) -> EnhancedInputs:
    return EnhancedInputs(parent="", method=system, config={"epochs": 3}, model="", seed=0)


def draw_trials(ids: list[str], names: list[str], count: int) -> list[tuple[str, str, bool, None]]:
    """Return distinct trials of different utterances, about a quarter of them targets."""
    draw = np.random.default_rng(3)
    targets, nontargets = [], []
    for first in range(len(ids)):
        for second in draw.permutation(len(ids)):
            if second != first:
                (targets if names[first] == names[second] else nontargets).append((first, int(second)))
    wanted = [(targets, count // 4), (nontargets, count - count // 4)]
    rows = [pairs[index] for pairs, number in wanted for index in draw.permutation(len(pairs))[:number]]
    return [(ids[first], ids[second], names[first] == names[second], None) for first, second in rows]


def add_scorings(example: Example, *names: str) -> None:
    """Add to every score file scorings of the same trials: "as_norm" less what each test utterance scores on average,
    and "X+calibrated", the log-likelihood ratios of two normal densities of one variance.
    """
    for path in example.scores:
        table = pq.read_table(path)
        parts = {"cosine": table}
        for name in names:
            base = parts[name.removesuffix("+calibrated")] if name.endswith("+calibrated") else table
            score_P = _calibrated(base) if name.endswith("+calibrated") else _normalised(base)
            parts[name] = with_scores(base, score_P, scoring=name)
        fit = {"features": ["score of raw"], "weight_F": [1.5], "offset": 0.0, "p_target": 0.05, "held_out": []}
        made_from: dict[str, dict[str, Any]] = {name: {"calibration": fit} for name in names if "+" in name}
        made_from |= (
            {"as_norm": {"cohort": {"store": f"stores/{path.stem}/train", "top": 300}}} if "as_norm" in names else {}
        )
        write_scores(path, pa.concat_tables(parts.values()), scorings=made_from)


def fuse(example: Example, first: str, second: str, scoring: str, path: Path) -> Path:
    """Write the score file of two systems' scores, weighted and added up, described as `calibrate` describes it."""
    tables = [pq.read_table(example.scores[example.systems.index(name)]) for name in (first, second)]
    chosen = [table.filter(pc.equal(table["scoring"].cast(pa.string()), scoring)) for table in tables]
    weights = [1.5, -0.5]
    total_P = sum(weight * table["score"].to_numpy() for weight, table in zip(weights, chosen, strict=True))
    fused = with_scores(chosen[0], total_P, system=f"{first}+{second}", scoring=scoring)
    origins = [json.loads(table.schema.metadata[METADATA_KEY]) for table in tables]
    spaces = [origin["space"] for origin in origins]
    facts = {origin["space"]: origin["scorings"].get(scoring.removesuffix("+calibrated"), {}) for origin in origins}
    features = [f"score of {first}", f"score of {second}"]
    fit = {"features": features, "weight_F": weights, "offset": 0.0, "p_target": 0.05, "held_out": []}
    return write_scores(
        path,
        fused,
        space=f"{spaces[0]}+fusion:3",
        fingerprint="0" * 64,
        method="fusion",
        config={"of": spaces},
        scorings={scoring: {"members": facts, "calibration": fit}},
    )


def with_scores(table: pa.Table, score_P: np.ndarray, **names: str) -> pa.Table:
    """Return trials with other scores, and other names of system or scoring."""
    columns = {"score": pa.array(score_P)}
    columns |= {key: pa.array([name] * len(score_P)).dictionary_encode() for key, name in names.items()}
    for key, column in columns.items():
        place = table.schema.get_field_index(key)
        table = table.set_column(place, table.schema.field(place), column)
    return table


def write_scores(path: Path, table: pa.Table, **origin: Any) -> Path:
    """Write a score file, parts of its metadata changed."""
    known = json.loads(table.schema.metadata[METADATA_KEY])
    metadata = {METADATA_KEY: json.dumps({**known, **origin}).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def _normalised(table: pa.Table) -> np.ndarray:
    keys = [
        f"{view} {name}" for view, name in zip(*(table[k].to_pylist() for k in ("condition", "test_id")), strict=True)
    ]
    _, code_P = np.unique(keys, return_inverse=True)
    score_P = table["score"].to_numpy()
    return score_P - 0.5 * (np.bincount(code_P, score_P) / np.bincount(code_P))[code_P]


def _calibrated(table: pa.Table) -> np.ndarray:
    score_P = table["score"].to_numpy()
    is_target_P = np.array(table["is_target"].to_pylist(), dtype=bool)
    target, nontarget = score_P[is_target_P], score_P[~is_target_P]
    slope = (target.mean() - nontarget.mean()) / (0.5 * (target.var() + nontarget.var()))
    return slope * (score_P - 0.5 * (target.mean() + nontarget.mean()))


def write_trials(path: Path, rows: list[tuple[str, str, bool | None, str | None]]) -> Path:
    """Write a trial list: enrolment, test, label, condition."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = zip(*rows, strict=True) if rows else ([], [], [], [])
    types = {"enrolment_id": pa.string(), "test_id": pa.string(), "is_target": pa.bool_(), "condition": pa.string()}
    pq.write_table(pa.table([list(column) for column in columns], schema=pa.schema(types)), path)
    return path
