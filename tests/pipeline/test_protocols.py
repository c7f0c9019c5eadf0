"""docs/protocols.md has a run for each protocol, and each is one that can be loaded."""

import re
from pathlib import Path

import pytest
import yaml

from reseed.pipeline.loading import load_config
from reseed.stages.trial_scoring.protocols import PROTOCOLS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
RUNS = dict(re.findall(r"^## (\S+)$.*?^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
REST = """
name: toy
backbone: {name: ge2e}
corpus: {root: /data}
extract: {train: {views: {clean: {}}}, evaluation: {views: {clean: {}}}}
"""


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_run_of_each_protocol_is_loaded_with_its_ways_of_scoring(tmp_path, name):
    run = yaml.safe_load(REST)
    for section, given in yaml.safe_load(RUNS[name]).items():
        run[section] = {**run.get(section, {}), **given}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(run))
    assert load_config(path).score.scorings == PROTOCOLS[name]["scorings"]


def test_every_heading_is_a_protocol():
    assert list(RUNS) == list(PROTOCOLS)
