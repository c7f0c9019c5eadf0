"""Miniature copies of data sets in their published layouts, and what `prepare` and `trials` make of them."""

from pathlib import Path

import pyarrow.parquet as pq

from reseed.stages.audio.manifest import Utterance, read_manifest
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.stages.trials import TrialSettings, make_trials
from reseed.store import read_rejects
from tests.corpus import voice, write_wave


def unpack(root: Path, *names: str, duration_s: float = 0.6) -> Path:
    """Write a short recording under each of the names, every one another."""
    for take, name in enumerate(names):
        write_wave(root / name, voice(take % 5, take, duration_s))
    return root


def write_list(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def manifest_of(root: Path) -> Path:
    """Where `listed` writes what it finds in a miniature."""
    return root.parent / "out" / "utterances.parquet"


def listed(dataset: str, root: Path, split: str | None, kind: str = "speech") -> dict[str, Utterance]:
    """Run `prepare` on a miniature and return its manifest by utterance id."""
    out = manifest_of(root)
    settings = PrepareSettings(dataset=dataset)
    places = {"utterances": out, "rejects": out.with_name("rejects.parquet")}
    prepare(source=root, settings=settings, kind=kind, split=split, **places)
    return {row.utterance_id: row for row in read_manifest(out)}


def refused(root: Path) -> dict[str, str]:
    """Return the reasons why recordings of the miniature were rejected, by utterance id."""
    return {
        reject.utterance_id: reject.reason for reject in read_rejects(manifest_of(root).with_name("rejects.parquet"))
    }


def tried(root: Path, trial_list: Path, **settings: object) -> tuple[list[tuple[str, str, bool | None]], str]:
    """Run `trials` on the manifest of a miniature; return (enrolment, test, is target) of all, and the message."""
    places = {name: manifest_of(root).with_name(f"{name}.parquet") for name in ("trials", "enrolments")}
    chosen = TrialSettings(list=trial_list, **settings)
    message = make_trials(utterances=manifest_of(root), settings=chosen, seed=0, **places)
    rows = pq.read_table(places["trials"]).to_pylist()
    return [(row["enrolment_id"], row["test_id"], row["is_target"]) for row in rows], message


def models_of(root: Path) -> dict[str, list[str]]:
    """Return the utterances of each enrolment model that `tried` made."""
    table = pq.read_table(manifest_of(root).with_name("enrolments.parquet"))
    models: dict[str, list[str]] = {}
    for row in table.to_pylist():
        models.setdefault(row["enrolment_id"], []).append(row["utterance_id"])
    return models


def said_of(root: Path, *columns: str) -> dict[str, tuple[object, ...]]:
    """Return some columns of the manifest for each utterance that `listed` found."""
    rows = pq.read_table(manifest_of(root), columns=["utterance_id", *columns]).to_pylist()
    return {row["utterance_id"]: tuple(row[name] for name in columns) for row in rows}


def languages_of(root: Path) -> dict[str, object]:
    """Return the language of each utterance that `listed` found."""
    return {utterance_id: language for utterance_id, (language,) in said_of(root, "language").items()}
