"""Every metric of the table keeps the contract that those of other packages keep."""

from collections import Counter

import pytest

from reseed.stages.reporting.metrics.table import METRICS
from reseed.testing import MetricContract


class TestMetrics(MetricContract):
    @pytest.fixture(params=METRICS, ids=lambda metric: metric.key)
    def tested(self, request):
        return request.param


def test_no_two_metrics_share_a_key_or_the_name_of_a_table():
    names = [metric.table.name or metric.key for metric in METRICS if metric.table]
    assert max(Counter(metric.key for metric in METRICS).values()) == 1
    assert max(Counter(names).values()) == 1
