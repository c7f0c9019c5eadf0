"""A run that was stopped under a changed setting goes on to what a clean run gives: nothing stale stays under it."""

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.runs import reseed

SETTINGS = {
    "corpus.prepare.min_duration_s": "1.5",
    "trials.nontargets_per_target": "1",
    "extract.train.views.noise": "{noise: [5, 6]}",
    "extract.evaluation.views.noise": "{noise: [5, 6]}",
    "extract.evaluation.crops.count": "3",
    "train.quick.lr": "0.01",
    "score.enrolment_view": "noise",
    "report.bootstrap_replicates": "30",
    "seed": "5",
}
RULES = ("prepare", "trials", "extract", "seal", "train", "enhance", "score")
EVERYTHING = int(os.environ.get("RESEED_KILLS", "0")) >= 100
CASES = [*itertools.product(SETTINGS, RULES)] if EVERYTHING else [("extract.evaluation.views.noise", "extract")]


@pytest.fixture(scope="module")
def clean(folder, tmp_path_factory):
    """Return the folder of a run that was made under a setting from the start."""
    made: dict[str, Path] = {}

    def run(setting: str) -> Path:
        if setting not in made:
            made[setting] = tmp_path_factory.mktemp("clean")
            reseed("run", folder / "toy.yaml", "--runs", made[setting], "--set", f"{setting}={SETTINGS[setting]}")
        return made[setting] / "toy"

    return run


@pytest.mark.parametrize(("setting", "rule"), CASES)
def test_a_run_stopped_after_any_rule_under_a_changed_setting_ends_as_a_clean_one(
    folder, finished, clean, tmp_path, setting, rule
):
    shutil.copytree(finished, tmp_path / "toy")
    command = ("run", folder / "toy.yaml", "--runs", tmp_path, "--set", f"{setting}={SETTINGS[setting]}")
    reseed(*command, "--until", rule)
    reseed(*command)
    assert artefacts(tmp_path / "toy") == artefacts(clean(setting))
    assert "Nothing to be done" in reseed(*command)


def artefacts(run: Path) -> dict[str, object]:
    """Return what a run has made by name; of what was written when, and in which time, nothing."""
    found: dict[str, object] = {}
    for path in run.rglob("*"):
        name = str(path.relative_to(run))
        if not path.is_file() or name.startswith((".", "logs/")) or path.suffix in (".jsonl", ".html"):
            continue
        text = path.read_bytes()
        found[name] = json.loads(text) if path.suffix == ".json" else text
    return found
