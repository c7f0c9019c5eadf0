"""A whole run of two backbones, one trained on the way: aligned, mapped, scored against each other, in one report."""

import json
from pathlib import Path

import yaml

from reseed.store import EmbeddingStore
from tests.corpus import write_corpus
from tests.test_run import reseed

EXTRACT = {"crops": {"count": 2}, "views": {"clean": {}, "quiet": {"volume": -6}}}
SMALL = {"backbone": "ecapa_tdnn", "channels": 8, "dimensions": 16, "bands": 24, "epochs": 1}
CONFIG = {
    "name": "toy",
    "extract": {"shards": 2, "jobs": 1, "train": EXTRACT, "evaluation": EXTRACT},
    "train": {"wccn": {}},
    "backbones": {"small": SMALL},
    "pairs": [["ge2e+wccn", "small"]],
    "align": {"turned": {"method": "procrustes", "then": "wccn"}},
    "report": {"bootstrap_replicates": 20},
}


def write_config(folder: Path, **changes: object) -> Path:
    write_corpus(folder / "audio", speakers=4, takes=4)
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "corpus": {"root": str(folder / "audio")}, **changes}))
    return path


def test_a_backbone_is_trained_and_meets_another_one(tmp_path: Path) -> None:
    """Enrolment side enhanced before the map, both sides after it."""
    reseed("run", write_config(tmp_path), "--runs", tmp_path / "runs")
    finished = tmp_path / "runs" / "toy"
    rows = json.loads((finished / "report" / "metrics.json").read_text())
    pair, aligned = "ge2e+wccn~small", "turned+wccn"
    assert {row["system"] for row in rows} == {"raw", "wccn", "small", f"{pair}:{aligned}"}
    sides = [EmbeddingStore(finished / "stores" / pair / aligned / side / "dev") for side in ("enrolment", "test")]
    assert sides[0].space == sides[1].space
    assert sides[0].space.rpartition("+")[2].startswith("wccn:")
    assert sides[0].dim == 256

    [across] = json.loads((finished / "report" / "across.json").read_text())
    eer = {row["system"]: row["eer"] for row in rows if row["condition"] == "clean"}
    assert across["clean_enrolment_eer"] == eer["wccn"]
    assert across["clean_test_eer"] == eer["small"]
    assert across["clean_across_eer"] == eer[f"{pair}:{aligned}"]


def test_a_pair_of_five_seeds_has_cohorts_for_either_side(tmp_path: Path) -> None:
    align = {"quick": {"method": "nessa", "seeds": 5}}
    path = write_config(tmp_path, align=align, score={"scorings": ["cosine", "as_norm"]}, enhance={"small": ["wccn"]})
    listed = reseed("run", path, "--runs", tmp_path / "runs", "--dry-run", "--printshellcmds")
    scorings = [line.strip() for line in listed.splitlines() if "reseed score " in line]
    assert sum("--system ge2e+wccn~small:quick-" in line for line in scorings) == 5
    assert any("--system small+wccn --store stores/small+wccn/dev" in line for line in scorings)
    mapped = "stores/ge2e+wccn~small/quick-1"
    last = next(line for line in scorings if "quick-1" in line)
    assert f"--cohort={mapped}/test/train" in last
    assert f"--enrolment-cohort={mapped}/enrolment/train" in last
