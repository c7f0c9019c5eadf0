"""A whole run of two backbones, one trained on the way: aligned, mapped, scored against each other, in one report."""

import json
from pathlib import Path

import yaml

from store import EmbeddingStore
from tests.corpus import write_corpus
from tests.test_run import reseed

EXTRACT = {"crops": {"count": 2}, "views": {"clean": {}}}


def test_a_backbone_is_trained_and_meets_another_one(tmp_path: Path) -> None:
    write_corpus(tmp_path / "audio", speakers=4, takes=4)
    config = {
        "name": "toy",
        "corpus": {"root": str(tmp_path / "audio")},
        "extract": {"shards": 2, "jobs": 1, "train": EXTRACT, "evaluation": EXTRACT},
        "train": {},
        "backbones": {
            "small": {
                "backbone": "ecapa_tdnn",
                "channels": 8,
                "dimensions": 16,
                "bands": 24,
                "epochs": 1,
            }
        },
        "pairs": [["ge2e", "small"]],
        "align": {"quick": {"method": "nessa", "epochs": 1, "dimensions": 8}},
        "report": {"bootstrap_replicates": 20},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(config))
    reseed("run", tmp_path / "toy.yaml", "--runs", tmp_path / "runs")
    finished = tmp_path / "runs" / "toy"
    rows = json.loads((finished / "report" / "metrics.json").read_text())
    assert {row["system"] for row in rows} == {"raw", "small", "ge2e~small:quick"}
    sides = [EmbeddingStore(finished / "stores" / "ge2e~small+quick" / side / "dev") for side in ("enrolment", "test")]
    assert sides[0].space == sides[1].space
    assert sides[0].space.startswith("ge2e~ecapa_tdnn:")
    assert sides[0].dim == 8
