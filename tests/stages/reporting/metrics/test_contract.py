"""What every metric of the table must do."""

import json
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from reseed.stages.reporting.metrics.base import Costs, Identified, MetricInput
from reseed.stages.reporting.metrics.table import METRICS

every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)


def scored(apart: float = 2.0) -> MetricInput:
    """Log-likelihood ratios of 60 targets and 90 non-targets, with ties, `apart` deviations from each other."""
    draw = np.random.default_rng(0)
    target_T, nontarget_N = (
        apart * draw.normal(mean, 1, n).round(1) for mean, n in ((apart / 2, 60), (-apart / 2, 90))
    )
    ranks = Identified(apart / 5, apart / 4, speakers=9)
    return MetricInput(target_T, nontarget_N, True, Costs(0.05, 2.0), draw.uniform(0.1, 0.2, 50), ranks)


def test_no_two_metrics_share_a_key_or_the_name_of_a_table():
    names = [metric.table.name or metric.key for metric in METRICS if metric.table]
    assert max(Counter(metric.key for metric in METRICS).values()) == 1
    assert max(Counter(names).values()) == 1
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", metric.key) for metric in METRICS)


@every_metric
def test_a_value_is_a_finite_number_or_two_whatever_the_order_of_the_trials(metric):
    given = scored()
    value = metric.of(given)
    assert all(math.isfinite(part) for part in (value if isinstance(value, tuple) else (value,)))
    assert json.loads(json.dumps(value)) == (list(value) if isinstance(value, tuple) else value)
    turned = replace(given, target_T=given.target_T[::-1], nontarget_N=given.nontarget_N[::-1])
    assert metric.of(turned) == pytest.approx(value, abs=1e-12)


@every_metric
def test_every_trial_given_twice_changes_nothing(metric):
    given = scored()
    twice = replace(given, target_T=np.repeat(given.target_T, 2), nontarget_N=np.repeat(given.nontarget_N, 2))
    assert metric.of(twice) == pytest.approx(metric.of(given), abs=1e-9)


@every_metric
def test_what_needs_speakers_or_likelihood_ratios_is_none_without_them(metric):
    value = metric.of(replace(scored(), is_calibrated=False, replicate_R=None, identified=None))
    assert value is None or math.isfinite(value)


@pytest.mark.parametrize("metric", [m for m in METRICS if m.table and m.table.best], ids=lambda metric: metric.key)
def test_what_a_table_marks_as_best_is_the_system_that_tells_speakers_apart(metric):
    better, worse = metric.of(scored(3.0)), metric.of(scored(1.0))
    assert better < worse if metric.table.best == "lowest" else better > worse
    assert metric.title
    assert metric.table.unit
