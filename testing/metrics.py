"""What every metric must do."""

import json
import math
import re
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from reseed.stages.reporting.metrics.base import Identified, Metric, MetricInput
from reseed.stages.reporting.metrics.table import FURTHER
from reseed.stages.scoring.bootstrap import metric_replicates, speaker_draws
from reseed.stages.scoring.detection_costs import Costs


def scored(apart: float = 2.0) -> MetricInput:
    """Log-likelihood ratios of 60 targets and 90 non-targets, with ties, `apart` deviations from each other."""
    draw = np.random.default_rng(0)
    target_T, nontarget_N = (
        apart * draw.normal(mean, 1, n).round(1) for mean, n in ((apart / 2, 60), (-apart / 2, 90))
    )
    ranks = Identified(apart / 5, apart / 4, speakers=9)
    speakers_T, speakers_N2 = np.arange(60) % 9, np.stack([np.arange(90) % 9, (np.arange(90) + 1) % 9], axis=1)
    draws_SR = speaker_draws(9, 50, 0)
    assert draws_SR is not None
    replicates = metric_replicates(target_T, nontarget_N, speakers_T, speakers_N2, draws_SR, [(0.1, 0.95)])
    return MetricInput(target_T, nontarget_N, True, Costs(0.05, 2.0), replicates, ranks)


class MetricContract:
    """What every metric must do.

    Attributes:
        metric: its name, or package.module:NAME of the `Metric`.
    """

    metric: ClassVar[str]

    @pytest.fixture
    def tested(self) -> Metric[Any]:
        """The metric under test; reseed's own tests give all of their table."""
        return FURTHER.of(self.metric)

    def test_its_key_is_a_name(self, tested: Metric[Any]) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", tested.key), (
            f"the key {tested.key!r} is a column of metrics.csv: lower-case letters, digits and _"
        )

    def test_a_value_is_a_finite_number_or_two_whatever_the_order_of_the_trials(self, tested: Metric[Any]) -> None:
        given = scored()
        value = tested.of(given)
        parts = value if isinstance(value, tuple) else (value,)
        assert all(isinstance(part, float | int) and math.isfinite(part) for part in parts), (
            f"{tested.key} is {value!r} for 60 targets and 90 non-targets; it must be a finite float or int, or two"
        )
        assert json.loads(json.dumps(value)) == (list(value) if isinstance(value, tuple) else value)
        turned = replace(given, target_T=given.target_T[::-1], nontarget_N=given.nontarget_N[::-1])
        assert tested.of(turned) == pytest.approx(value, abs=1e-12), f"{tested.key} depends on the order of the trials"

    def test_every_trial_given_twice_changes_nothing(self, tested: Metric[Any]) -> None:
        given = scored()
        twice = replace(given, target_T=np.repeat(given.target_T, 2), nontarget_N=np.repeat(given.nontarget_N, 2))
        assert tested.of(twice) == pytest.approx(tested.of(given), abs=1e-9), (
            f"{tested.key} is another one where every trial is given twice: divide counts by how many there are"
        )

    def test_what_needs_speakers_or_likelihood_ratios_is_none_without_them(self, tested: Metric[Any]) -> None:
        value = tested.of(replace(scored(), is_calibrated=False, replicates=None, identified=None))
        parts = value if isinstance(value, tuple) else (value,)
        assert value is None or all(map(math.isfinite, parts)), (
            f"{tested.key} is {value!r} of scores that are not calibrated, of unknown speakers; return None there"
        )

    def test_what_a_table_marks_as_best_is_the_system_that_tells_speakers_apart(self, tested: Metric[Any]) -> None:
        if not (tested.table and tested.table.best):
            return
        better, worse = tested.of(scored(3.0)), tested.of(scored(1.0))
        assert better is not None, f"{tested.key} is None of calibrated scores of known speakers"
        assert worse is not None
        assert better < worse if tested.table.best == "lowest" else better > worse, (
            f"{tested.key} is {better:.3g} of a good system and {worse:.3g} of a bad one, and its table marks the "
            f"{tested.table.best} as best"
        )
        assert tested.title, "a metric with a table needs a title"
        assert tested.table.unit, "say beside the title which way is better: ByCondition(unit=...)"
