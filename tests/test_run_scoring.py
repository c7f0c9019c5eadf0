"""A whole run scored in several ways, calibrated; then its thresholds, and a comparison of two runs."""

import json
import shutil
from pathlib import Path

import pytest

from reseed.pipeline.run import files_of
from reseed.store import ConfigError
from tests.runs import changed, reseed

WAYS = ("cosine", "as_norm")


def test_a_run_is_scored_in_more_ways_calibrated_and_compared(folder: Path, copied: Path) -> None:
    sections = {
        "train": {},
        "trials": {"enrolment_utterances": 2},
        "score": {"scorings": list(WAYS), "cohort": {"top": 2}},
        "calibrate": {"quality": ["snr", "norm"]},
    }
    reseed("run", changed(folder / "toy.yaml", copied / "toy.yaml", **sections), "--runs", copied)
    finished = copied / "toy"
    rows = json.loads((finished / "report" / "metrics.json").read_text())
    assert {row["scoring"] for row in rows} == {*WAYS, *(f"{way}+calibrated" for way in WAYS)}
    assert all((row["actual_dcf"] is None) is ("calibrated" not in row["scoring"]) for row in rows)

    scores = finished / "scores"
    said = reseed("threshold", scores / "raw.calibrated.parquet", "--false-accept", 0.1, ok=False)
    assert "--scoring" in said
    said = reseed("threshold", scores / "raw.parquet", "--scoring", "as_norm", "--false-accept", 0.1)
    assert "clean" in said

    shutil.copytree(finished, copied / "copy")
    out = copied / "compared"
    reseed("compare", finished, copied / "copy", "--out", out, "--set", "bootstrap_replicates=5")
    assert {row["run"] for row in json.loads((out / "metrics.json").read_text())} == {"toy", "copy"}
    with pytest.raises(ConfigError, match="audio is no run: it has no config.yaml"):
        files_of(folder / "audio")
