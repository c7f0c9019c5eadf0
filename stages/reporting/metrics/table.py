"""The table of metrics: the columns of metrics.csv in their order, and the tables of the page that show one each.

To add one: a file (see `reseed.stages.reporting.metrics.base`), and one line here, at the end.
"""

from typing import Any

from reseed.stages.reporting.metrics.base import Metric
from reseed.stages.reporting.metrics.cllr import CLLR, MIN_CLLR
from reseed.stages.reporting.metrics.dcf import ACTUAL_DCF, C_FA, C_MISS, MIN_DCF, P_TARGET
from reseed.stages.reporting.metrics.eer import EER, EER_CI95, EER_NEAREST
from reseed.stages.reporting.metrics.identification import ACCURACY, SPEAKERS, TOP5

METRICS: tuple[Metric[Any], ...] = (
    *(EER, EER_CI95, EER_NEAREST),
    *(MIN_DCF, ACTUAL_DCF, P_TARGET, C_MISS, C_FA),
    *(CLLR, MIN_CLLR),
    *(ACCURACY, TOP5, SPEAKERS),
)
