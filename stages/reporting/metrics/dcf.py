"""Detection cost, and what it weighs."""

from reseed.stages.reporting.metrics.base import ByCondition, Metric, MetricInput
from reseed.stages.scoring.metrics import actual_dcf, min_dcf


def _minimum(trials: MetricInput) -> float:
    return min_dcf(trials.target_T, trials.nontarget_N, **vars(trials.costs))


def _actual(trials: MetricInput) -> float | None:
    return actual_dcf(trials.target_T, trials.nontarget_N, **vars(trials.costs)) if trials.is_calibrated else None


MIN_DCF = Metric[float](
    "min_dcf",
    _minimum,
    "minDCF",
    ByCondition("normalised; lower is better"),
    drawn=lambda trials: trials.replicates.min_dcf_QR[0] if trials.replicates else None,
)
ACTUAL_DCF = Metric[float](
    "actual_dcf",
    _actual,
    "actual DCF",
    drawn=lambda trials: trials.replicates.actual_dcf_QR[0] if trials.replicates else None,
)
P_TARGET = Metric[float]("p_target", lambda trials: trials.costs.p_target)
C_MISS = Metric[float]("c_miss", lambda trials: trials.costs.c_miss)
C_FA = Metric[float]("c_fa", lambda trials: trials.costs.c_fa)
