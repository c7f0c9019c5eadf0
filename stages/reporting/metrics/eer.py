"""Equal error rate in both conventions, and its interval."""

from reseed.stages.reporting.metrics.base import ByCondition, Interval, Metric, MetricInput
from reseed.stages.scoring.bootstrap import percentile_interval
from reseed.stages.scoring.metrics import eer


def _interval(trials: MetricInput) -> Interval | None:
    return None if trials.replicate_R is None else percentile_interval(trials.replicate_R)


# On the convex hull of the ROC; its tables, figures and comparisons are the report's own.
EER = Metric[float]("eer", lambda trials: eer(trials.target_T, trials.nontarget_N), "EER")
EER_CI95 = Metric[Interval]("eer_ci95", _interval)
EER_NEAREST = Metric[float](
    "eer_nearest",
    lambda trials: eer(trials.target_T, trials.nontarget_N, "nearest"),
    "EER, nearest corner",
    ByCondition("in %, as SEED's code prints it", digits=2, percent=True),
)
