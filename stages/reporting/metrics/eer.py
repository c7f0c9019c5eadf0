"""Equal error rate in both conventions."""

from reseed.stages.reporting.metrics.base import ByCondition, Metric
from reseed.stages.scoring.metrics import eer

# On the convex hull of the ROC; its tables, figures and comparisons are the report's own.
EER = Metric[float](
    "eer",
    lambda trials: eer(trials.target_T, trials.nontarget_N),
    "EER",
    drawn=lambda trials: trials.replicates.eer_R if trials.replicates else None,
)
EER_NEAREST = Metric[float](
    "eer_nearest",
    lambda trials: eer(trials.target_T, trials.nontarget_N, "nearest"),
    "EER, nearest corner",
    ByCondition("in %, as SEED's code prints it", digits=2, percent=True),
)
