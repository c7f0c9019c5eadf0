"""Cost of the log-likelihood ratio, as scores are and after the best monotone map."""

from reseed.stages.reporting.metrics.base import ByCondition, Metric
from reseed.stages.scoring.metrics import cllr, min_cllr

CLLR = Metric[float](
    "cllr",
    lambda trials: cllr(trials.target_T, trials.nontarget_N),
    "Cllr",
    ByCondition("bits, of the scores as they are", best=None),
    drawn=lambda trials: trials.replicates.cllr_R if trials.replicates else None,
)
MIN_CLLR = Metric[float](
    "min_cllr",
    lambda trials: min_cllr(trials.target_T, trials.nontarget_N),
    "min Cllr",
    ByCondition("bits, after the best monotone map"),
)
