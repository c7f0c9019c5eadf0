"""A whole run scored in several ways, calibrated; then its thresholds, and a comparison of two runs."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from reseed.pipeline.run import files_of
from reseed.store import ConfigError
from tests.corpus import write_corpus
from tests.test_run import reseed

VIEWS = {"clean": {}, "noise": {"noise": [0, 15]}}
WAYS = ("cosine", "as_norm")


def test_a_run_is_scored_in_more_ways_calibrated_and_compared(tmp_path: Path) -> None:
    write_corpus(tmp_path / "audio", speakers=4, takes=4)
    config = {
        "name": "toy",
        "corpus": {"root": str(tmp_path / "audio")},
        "extract": {"shards": 2, "jobs": 1, "train": {"views": VIEWS}, "evaluation": {"views": VIEWS}},
        "train": {},
        "trials": {"enrolment_utterances": 2},
        "score": {"scorings": list(WAYS), "cohort": {"top": 2}},
        "calibrate": {"quality": ["snr", "norm"]},
        "report": {"bootstrap_replicates": 20},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(config))
    reseed("run", tmp_path / "toy.yaml", "--runs", tmp_path / "runs")
    finished = tmp_path / "runs" / "toy"
    rows = json.loads((finished / "report" / "metrics.json").read_text())
    assert {row["scoring"] for row in rows} == {*WAYS, *(f"{way}+calibrated" for way in WAYS)}
    assert all((row["actual_dcf"] is None) is ("calibrated" not in row["scoring"]) for row in rows)

    scores = finished / "scores"
    told = reseed("threshold", scores / "raw.calibrated.parquet", "--false-accept", 0.1, ok=False)
    assert "--scoring" in told
    told = reseed("threshold", scores / "raw.parquet", "--scoring", "as_norm", "--false-accept", 0.1)
    assert "clean" in told

    shutil.copytree(finished, tmp_path / "runs" / "copy")
    out = tmp_path / "compared"
    reseed("compare", finished, tmp_path / "runs" / "copy", "--report", out, "--set", "bootstrap_replicates=5")
    assert {row["run"] for row in json.loads((out / "metrics.json").read_text())} == {"toy", "copy"}
    with pytest.raises(ConfigError, match="audio is no run: it has no config.yaml"):
        files_of(tmp_path / "audio")
