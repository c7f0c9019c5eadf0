"""A run that was stopped or killed under a changed setting goes on to what a clean run gives: nothing stale stays.

What rules and sections there are is read off the project, so that a new one is covered or fails here. By
RESEED_KILLS=100 and more all of them are gone through, over a run that has every rule.
"""

import os
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from reseed.pipeline.config import RunConfig
from reseed.pipeline.layout import project_file
from reseed.stages.backbones.settings import GE2EConfig
from tests.runs import contents, reseed

EVERYTHING = int(os.environ.get("RESEED_KILLS", "0")) >= 100
OF_VECTORS = "vectors.smk"  # the rules of a run that is given vectors in place of recordings
RULES = [
    rule
    for path in sorted(project_file("pipeline").glob("rules/*.smk"))
    for rule in re.findall(r"^rule (\w+):", path.read_text(), re.MULTILINE)
    if path.name != OF_VECTORS
]
# Where a run is kept, what computes it, how much is checked; what things are called where they are no speech.
NO_INPUT = {"name", "device", "check_vectors", "terms"}
CHANGES = {
    "seed": "5",
    "backbone.settings": "{weights: FOLDER/other.pt}",
    "backbones.small.lr": "0.01",
    "train.quick.lr": "0.01",
    "enhance": "{mask: [quick]}",
    "frontends.mask.lr": "0.01",
    "pairs": "[[small, ge2e]]",
    "align.turned.method": "ridge",
    "threads": "2",
    "title": "Another",
    "note": "Of another",
    "synthesise.noise_duration_s": "1.1",
    "corpus.prepare.min_duration_s": "1.5",
    "trials.max_nontargets": "5",
    "extract.train.views.noise": "{noise: [5, 6]}",
    "extract.evaluation.views.noise": "{noise: [5, 6]}",
    "extract.evaluation.crops.count": "2",
    "extract.shards": "3",
    "extract.jobs": "2",
    "score.enrolment_view": "noise",
    "score.scorings": "[cosine, s_norm]",
    "calibrate.share": "0.4",
    "calibrate.p_target": "0.1",
    "report.bootstrap_replicates": "30",
}
_PER_SPLIT = {"train": 4, "dev": 2, "test": 1}
_ONE = {"train": 1, "dev": 1, "test": 1}
WHOLE = {
    "name": "whole",
    "synthesise": {
        "voices": _PER_SPLIT,
        "utterances_per_voice": {"train": 2, "dev": 2, "test": 1},
        "noises": _ONE,
        "noise_duration_s": 1.0,
        "music": _ONE,
        "music_duration_s": 1.0,
        "rooms": _ONE,
        "positions_per_room": 1,
    },
    "extract": {
        "shards": 2,
        "jobs": 1,
        "train": {"crops": {"count": 2, "duration_s": 1.6}, "views": {"clean": {}, "noise": {"noise": [0, 15]}}},
        "evaluation": {"crops": {"count": 1, "duration_s": 1.6}, "views": {"clean": {}, "noise": {"noise": [0, 15]}}},
    },
    "train": {"quick": {"method": "mse", "epochs": 1}},
    "backbones": {
        "small": {"backbone": "ecapa_tdnn", "channels": 8, "dimensions": 16, "bands": 24, "crop_s": 0.4, "epochs": 1}
    },
    "enhance": {"small": ["quick"]},
    "frontends": {"mask": {"epochs": 1, "width": 2, "views": {"noise": {"noise": [-5, 5]}}, "crop_s": 1.6}},
    "pairs": [["ge2e", "small"]],
    "align": {"turned": {"method": "procrustes", "then": "quick"}},
    "calibrate": {"share": 0.5, "quality": ["norm"]},
    "score": {"cohort": {"top": 2}},
    "report": {"bootstrap_replicates": 5},
}


def test_every_section_is_changed_here():
    assert {setting.split(".")[0] for setting in CHANGES} | NO_INPUT == set(RunConfig.model_fields)


def test_a_run_of_every_rule_has_every_rule(whole):
    listed = reseed("run", whole / "whole.yaml", "--runs", whole / "nowhere", "--dry-run")
    assert set(RULES) <= set(planned(listed))


def test_a_run_until_a_rule_has_all_its_steps_wherever_they_stand(whole):
    listed = reseed("run", whole / "whole.yaml", "--runs", whole / "nowhere", "--until", "extract", "--dry-run")
    assert re.search("^extract +5$", listed, re.MULTILINE)
    assert "BUG" not in listed


def test_a_run_until_a_rule_that_it_lacks_says_which_there_are(whole):
    told = reseed("run", whole / "whole.yaml", "--runs", whole / "nowhere", "--until", "sael", "--dry-run", ok=False)
    assert "--until sael: this run has no such step; choose align, calibrate" in told


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with the configuration of a run that has every rule."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "whole.yaml").write_text(yaml.safe_dump(WHOLE))
    weights = torch.load(GE2EConfig.published(), weights_only=True, map_location="cpu")
    weights["model_state"]["lstm.weight_hh_l2"] *= 0.9
    torch.save(weights, folder / "other.pt")
    return folder


def test_a_run_stopped_after_extraction_under_a_changed_setting_ends_as_a_clean_one(folder, finished, tmp_path):
    setting = ("--set", "extract.evaluation.views.noise={noise: [5, 6]}")
    shutil.copytree(finished, tmp_path / "stopped" / "toy")
    command = ("run", folder / "toy.yaml", "--runs", tmp_path / "stopped", *setting)
    reseed(*command, "--until", "extract")
    reseed(*command)
    reseed("run", folder / "toy.yaml", "--runs", tmp_path / "clean", *setting)
    assert artefacts(tmp_path / "stopped" / "toy") == artefacts(tmp_path / "clean" / "toy")
    assert "Nothing to be done" in reseed(*command)


NAMES_LESS = {"enhance", "pairs"}  # settings changed so that a system is taken out: what was made of it stays


@pytest.mark.parametrize("setting", CHANGES if EVERYTHING else ())
def test_a_run_stopped_after_every_rule_under_a_changed_setting_ends_as_a_clean_one(whole, setting):
    """All of them lie in one place, for manifests say where their recordings lie."""
    unchanged = ("run", whole / "whole.yaml", "--runs", whole / "runs")
    changed = (*unchanged, "--set", f"{setting}={CHANGES[setting]}".replace("FOLDER", str(whole)))
    if not (whole / "finished").exists():
        reseed(*unchanged)
        (whole / "runs").rename(whole / "finished")
    shutil.rmtree(whole / "runs", ignore_errors=True)  # of a setting that failed
    reseed(*changed)
    clean = artefacts(whole / "runs")
    shutil.rmtree(whole / "runs")
    shutil.copytree(whole / "finished", whole / "runs")
    listed = reseed(*changed, "--dry-run")
    for rule in planned(listed):
        reseed(*changed, "--until", rule)
    reseed(*changed)
    stopped, finished = artefacts(whole / "runs"), artefacts(whole / "finished")
    assert [name for name in clean if stopped.get(name) != clean[name]] == []
    left = stopped.keys() - clean.keys()
    assert setting in NAMES_LESS or not left
    assert [name for name in left if stopped[name] != finished[name]] == []
    assert "Nothing to be done" in reseed(*changed)
    shutil.rmtree(whole / "runs")


def planned(listed: str) -> list[str]:
    """Return the rules that a dry run lists in its table of jobs."""
    return [rule for rule in re.findall(r"^(\w+) +\d+$", listed, re.MULTILINE) if rule in RULES]


def artefacts(run: Path) -> dict[str, bytes]:
    """Return what a run has made, by name; beside it lie logs, and results that others took the place of."""
    files = [path for path in run.rglob("*") if path.is_file() and not {"logs", "superseded"} & {*path.parts}]
    named = {str(path.relative_to(run)): path for path in files}
    return {name: contents(path) for name, path in named.items() if "/." not in f"/{name}"}
