"""Closed-set identification: whether a test utterance's own speaker ranks first, or in the first five."""

from dataclasses import replace

from reseed.stages.reporting.metrics.base import ByCondition, Metric

_SHARE = ByCondition("in %", digits=1, percent=True, best="highest", once=True)

ACCURACY = Metric[float](
    "identification_accuracy",
    lambda trials: trials.identified.accuracy if trials.identified else None,
    "Own speaker first",
    replace(_SHARE, name="identification-top1"),
    drawn=lambda trials: trials.identified.accuracy_R if trials.identified else None,
)
TOP5 = Metric[float](
    "identification_top5",
    lambda trials: trials.identified.top5 if trials.identified else None,
    "Own speaker in first five",
    _SHARE,
    drawn=lambda trials: trials.identified.top5_R if trials.identified else None,
)
SPEAKERS = Metric[int](
    "identification_speakers", lambda trials: trials.identified.speakers if trials.identified else None
)
