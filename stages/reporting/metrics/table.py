"""The table of metrics: the columns of metrics.csv in their order, and the tables of the page that show one each.

To add one: a file (see `reseed.stages.reporting.metrics.base`), and one line here, at the end. Those of other packages
come after these, where `report.metrics` names them (docs/plugins.md).
"""

from collections.abc import Iterable
from typing import Any

from reseed.stages.common.plugins import Table
from reseed.stages.reporting.metrics.base import Metric
from reseed.stages.reporting.metrics.cllr import CLLR, MIN_CLLR
from reseed.stages.reporting.metrics.dcf import ACTUAL_DCF, C_FA, C_MISS, MIN_DCF, P_TARGET
from reseed.stages.reporting.metrics.eer import EER, EER_NEAREST
from reseed.stages.reporting.metrics.identification import ACCURACY, SPEAKERS, TOP5
from reseed.store import ConfigError

METRICS: tuple[Metric[Any], ...] = (
    *(EER, EER_NEAREST),
    *(MIN_DCF, ACTUAL_DCF, P_TARGET, C_MISS, C_FA),
    *(CLLR, MIN_CLLR),
    *(ACCURACY, TOP5, SPEAKERS),
)
FURTHER: Table[Metric[Any]] = Table("metric", "reseed.metrics", Metric, {metric.key: metric for metric in METRICS})


def metrics_with(further: Iterable[str]) -> tuple[Metric[Any], ...]:
    """Return the built-in metrics, then some of other packages.

    Raises:
        ConfigError: one cannot be used, or has the key of another one.
    """
    found = {metric.key: metric for metric in METRICS}
    for name in further:
        metric = FURTHER.of(name)
        if metric.key in found:
            raise ConfigError(f"report.metrics: {name} has the key {metric.key!r}, as another one has; rename it there")
        found[metric.key] = metric
    return tuple(found.values())
