"""The examples of CONTRIBUTING.md pass the tests that it says will run over them."""

import re
import sys
import types
from inspect import signature
from pathlib import Path
from textwrap import dedent

import pytest

from reseed.stages.trial_scoring.table import SCORERS
from tests.stages.reporting.metrics import test_contract as of_metrics
from tests.stages.trial_scoring import test_contract as of_scorers
from tests.stages.trial_scoring.test_contract import world as world

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example(path, monkeypatch):
    """Return the module that CONTRIBUTING.md gives as an example of a file at `path`."""
    (code,) = (text for text in map(dedent, re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)) if f"# {path}" in text)
    module = types.ModuleType(f"example_{Path(path).stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, path, "exec"), vars(module))
    return module


def contract(module, parameter):
    """Return the tests of a contract that run once for each line of the table."""
    tests = [test for test in vars(module).values() if getattr(test, "pytestmark", ())]
    return [test for test in tests if [mark.args[0] for mark in test.pytestmark] == [parameter]]


def test_the_scorer_keeps_the_contract_of_scorers(world, monkeypatch):
    scorer = example("stages/trial_scoring/scorers/distance.py", monkeypatch).Distance
    monkeypatch.setitem(SCORERS, "distance", scorer)
    tests = [test for test in contract(of_scorers, "name") if "world" in signature(test).parameters]
    for test in tests:
        test("distance", world)
    assert len(tests) >= 6


def test_the_metric_keeps_the_contract_of_metrics(monkeypatch):
    metric = example("stages/reporting/metrics/auc.py", monkeypatch).AUC
    tests = contract(of_metrics, "metric")
    for test in tests:
        test(metric)
    assert len(tests) >= 4
    assert metric.of(of_metrics.scored(0.01)) == pytest.approx(0.5, abs=0.1)
