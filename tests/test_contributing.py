"""The examples of CONTRIBUTING.md pass the tests that it says will run over them."""

import re
import sys
import types
from inspect import signature
from pathlib import Path
from textwrap import dedent

import pytest

from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.interop.exchange import Format
from reseed.stages.interop.table import FORMATS
from reseed.stages.trial_scoring.table import SCORERS
from reseed.testing import MetricContract, ScorerContract, TrainedEnhancerContract
from reseed.testing.metrics import scored
from tests.stages.auditing import test_contract as of_rules
from tests.stages.auditing.faults import forge
from tests.stages.auditing.generated import make_store
from tests.stages.auditing.test_contract import stores as stores
from tests.stages.interop import test_round_trip as of_formats

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example(path, monkeypatch):
    """Return the module that CONTRIBUTING.md gives as an example of a file at `path`."""
    (code,) = (text for text in map(dedent, re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)) if f"# {path}" in text)
    module = types.ModuleType(f"example_{Path(path).stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, path, "exec"), vars(module))
    return module


class TestTheEnhancer(TrainedEnhancerContract):
    @pytest.fixture
    def name(self, monkeypatch):
        monkeypatch.setitem(ENHANCERS, "example", example("stages/enhancers/residual.py", monkeypatch).Residual)
        return "example"


class TestTheScorer(ScorerContract):
    @pytest.fixture
    def name(self, monkeypatch):
        scorer = example("stages/trial_scoring/scorers/distance.py", monkeypatch).Distance
        monkeypatch.setitem(SCORERS, "example", scorer)
        return "example"

    def test_its_settings_can_be_had_by_its_name(self):
        """They are a field of ScoreSettings, which the second step of the guide adds."""


class TestTheMetric(MetricContract):
    @pytest.fixture
    def tested(self, monkeypatch):
        return example("stages/reporting/metrics/auc.py", monkeypatch).AUC

    def test_chance_is_a_half(self, tested):
        assert tested.of(scored(0.01)) == pytest.approx(0.5, abs=0.1)


def test_the_audit_rule_keeps_the_contract_of_rules(stores, tmp_path, monkeypatch):
    group = example("stages/auditing/crops.py", monkeypatch).GROUP
    of_rules.test_a_sound_store_does_not_fail(group, stores)
    of_rules.test_blocks_are_added_in_any_order_and_of_any_size(group, stores, monkeypatch)
    for store in ("bare", "broken", "empty"):
        of_rules.test_whatever_a_store_holds_every_rule_says_something_that_is_json(group, store, stores)
    make_store(tmp_path / "unlike", speakers=3, each=2, shards=1)
    forge(tmp_path / "unlike", 0, lambda vectors: vectors.__setitem__(3, -vectors[3]))  # a crop of silence, say
    (finding,) = of_rules.findings(group, tmp_path / "unlike").values()
    assert (finding.status, [row["utterance"] for row in finding.offenders]) == ("failed", ["s0000-0"])


def test_the_format_keeps_the_contract_of_formats(tmp_path, monkeypatch):
    module = example("stages/interop/jsonl.py", monkeypatch)
    monkeypatch.setitem(FORMATS, "jsonl", Format(module.write, module.JsonLinesReader))
    tests = [test for test in vars(of_formats).values() if getattr(test, "pytestmark", ())]
    for test in tests:
        for number, dtype in enumerate(("float32", "float16")[: 1 + ("dtype" in signature(test).parameters)]):
            place = tmp_path / f"{test.__name__}{number}"
            place.mkdir()
            test(place, "jsonl", *([dtype] if "dtype" in signature(test).parameters else []))
    assert len(tests) >= 5
