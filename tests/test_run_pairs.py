"""A whole run of two backbones, one trained on the way: aligned, mapped, scored against each other, in one report."""

import json
import re
from pathlib import Path

from reseed.store import EmbeddingStore
from tests.runs import changed, reseed, times

SECTIONS = {
    "backbones": {
        "small": {"backbone": "ecapa_tdnn", "channels": 8, "dimensions": 16, "bands": 24, "epochs": 1},
    },
    "train": {
        "wccn": {},
        "quick": {"method": "mse", "epochs": 1},
        "reduced": {"chain": ["centre", {"lda": 3}, "length_norm"]},
    },
    "pairs": [["ge2e+reduced", "small"]],
    "align": {"turned": {"method": "procrustes", "then": "wccn"}},
}


def test_a_backbone_is_trained_and_meets_another_one(folder: Path, copied: Path) -> None:
    """Enrolment side enhanced by a chain before the map, both sides after it; what the run had is kept."""
    finished = copied / "toy"
    before = times(finished)
    reseed("run", changed(folder / "toy.yaml", copied / "toy.yaml", **SECTIONS), "--runs", copied)
    after = times(finished)
    assert [name for name in before if name.startswith(("corpus/", "stores/")) and before[name] != after[name]] == []
    rows = json.loads((finished / "report" / "metrics.json").read_text())
    pair, aligned = "ge2e+reduced~small", "turned+wccn"
    by_themselves = {"raw", "centre", "wccn", "quick", "reduced", "small", "small+centre"}
    assert {row["system"] for row in rows} == by_themselves | {f"{pair}:{aligned}"}
    sides = [EmbeddingStore(finished / "stores" / pair / aligned / side / "dev") for side in ("enrolment", "test")]
    assert sides[0].space == sides[1].space
    assert sides[0].space.rpartition("+")[2].startswith("wccn:")
    assert sides[0].dim == 16

    [across] = json.loads((finished / "report" / "across.json").read_text())
    eer = {row["system"]: row["eer"] for row in rows if row["condition"] == "clean"}
    assert across["clean_enrolment_eer"] == eer["reduced"]
    assert across["clean_test_eer"] == eer["small"]
    assert across["clean_across_eer"] == eer[f"{pair}:{aligned}"]


def test_a_pair_of_five_seeds_has_cohorts_for_either_side(folder: Path, tmp_path: Path) -> None:
    align = {"quick": {"method": "nessa", "seeds": 5}}
    sections = SECTIONS | {
        "align": align,
        "enhance": {"small": ["wccn"]},
        "score": {"scorings": ["cosine", "as_norm"], "cohort": {"top": 4}},
    }
    path = changed(folder / "toy.yaml", tmp_path / "toy.yaml", **sections)
    listed = reseed("run", path, "--runs", tmp_path / "runs", "--dry-run", "--printshellcmds")
    scorings = [line.strip() for line in listed.splitlines() if re.search(r"reseed (--usage \S+ )?score ", line)]
    assert sum("--system ge2e+reduced~small:quick-" in line for line in scorings) == 5
    assert any("--system small+wccn --store stores/small+wccn/dev" in line for line in scorings)
    mapped = "stores/ge2e+reduced~small/quick-1"
    last = next(line for line in scorings if "quick-1" in line)
    assert f"--cohort={mapped}/test/train" in last
    assert f"--enrolment-cohort={mapped}/enrolment/train" in last
