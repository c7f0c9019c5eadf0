"""For use from Python: scores and labels in arrays, measured as `reseed evaluate` measures files.

Shapes: P trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reseed.stages.evaluation.measures import Figure, Measured, evaluate_trials
from reseed.stages.evaluation.speakers import Speakers
from reseed.stages.evaluation.trials import Codes, Scored, Trials
from reseed.stages.scoring.detection_costs import detection_cost
from reseed.store import ScoringError


@dataclass(frozen=True)
class Metrics:
    """What was measured; each figure has a `value` and its interval, `ci95`, a pair or None.

    Attributes:
        targets, nontargets: numbers of trials.
        eer: a fraction, on the convex hull of the ROC.
        min_dcf: by the name of the detection cost, normalised.
        min_cllr: in bits, after the best monotone calibration.
        cllr, actual_dcf: of log-likelihood ratios alone; None and empty otherwise.
        groups: the same for each group of trials, by name, in sorted order; empty where none are named.
    """

    targets: int
    nontargets: int
    eer: Figure
    min_dcf: dict[str, Figure]
    min_cllr: float
    cllr: Figure | None
    actual_dcf: dict[str, Figure]
    groups: dict[str, "Metrics"] = field(default_factory=dict)


def evaluate(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    speakers: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    costs: Sequence[str] = ("vox", "vox-0.01"),
    llr: bool = False,
    replicates: int = 1000,
    seed: int = 0,
) -> Metrics:
    """Measure scores of trials: error rates and detection costs, with 95 % intervals over speakers.

    Intervals resample speakers, since trials of one speaker are not independent; without `speakers` there are none.

    Args:
        scores: [P], higher for the same speaker.
        labels: [P], true or 1 where the trial is a target.
        speakers: [P, 2], who is enrolled and who is tested, by name or number. Trials whose label says otherwise are
            left out of the intervals.
        groups: [P], the name of each trial's group, such as a noise or a language.
        costs: names of detection costs, "sre16", or priors, "0.01+0.005"; docs/evaluate.md lists them.
        llr: scores are natural-log likelihood ratios, of which `cllr` and `actual_dcf` say something.
        replicates: draws of speakers; 0: no intervals.
        seed: of these draws.

    Raises:
        ScoringError: arrays that do not fit each other, scores that are not finite, labels that are not 0 or 1, or a
            class without trials, in a group or altogether; says where.
        ConfigError: no such detection cost.

    Example:
        >>> import numpy as np
        >>> from reseed import evaluate
        >>> found = evaluate([0.9, 0.6, 0.4, 0.5, 0.1, 0.2], [1, 1, 1, 0, 0, 0], costs=["0.05"])
        >>> round(found.eer.value, 3), found.eer.ci95
        (0.167, None)
        >>> round(found.min_dcf["0.05"].value, 3)
        0.333
        >>> rng = np.random.default_rng(0)
        >>> speakers = rng.integers(20, size=(1000, 2))
        >>> same = speakers[:, 0] == speakers[:, 1]
        >>> found = evaluate(rng.normal(size=1000) + 2 * same, same, speakers=speakers, groups=same.size * ["car"])
        >>> low, high = found.eer.ci95
        >>> low < found.eer.value < high
        True
        >>> found.groups["car"].eer.value == found.eer.value
        True
    """
    score_P, is_target_P = _scores(scores), _labels(labels)
    _check_length("labels", is_target_P, score_P)
    names, speaker_P2 = _coded("speakers", speakers, (score_P.size, 2))
    conditions, condition_P = _coded("groups", groups, (score_P.size,))
    trials = Trials(None, names, *speaker_P2.T, is_target_P, conditions, condition_P, 0)  # speakers, as utterances
    told = Speakers(None, "not told", np.zeros(score_P.size, np.bool_))
    if speakers is not None:
        contradicted_P = (speaker_P2[:, 0] == speaker_P2[:, 1]) != is_target_P
        told = Speakers(np.arange(len(names)), "by the caller", contradicted_P)
    scored = [Scored("scores", Path("arrays"), score_P, np.zeros(score_P.size, np.bool_), llr)]
    named = [detection_cost(cost) for cost in dict.fromkeys(costs)]
    found = evaluate_trials(trials, scored, told, named, replicates=replicates, seed=seed, llr=llr)
    of_groups = {each.condition: _metrics(each) for each in found.by_condition}
    if groups is not None and len(conditions) == 1:
        of_groups = {conditions[0]: _metrics(found.pooled[0])}
    return _metrics(found.pooled[0], of_groups)


def _metrics(found: Measured, groups: dict[str, Metrics] | None = None) -> Metrics:
    costs = found.min_dcf, found.min_cllr, found.cllr, found.actual_dcf
    return Metrics(found.targets, found.nontargets, found.eer, *costs, groups or {})


def _scores(given: ArrayLike) -> NDArray[np.float64]:
    try:
        score_P = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise ScoringError(f"scores are not numbers ({error})") from error
    if score_P.ndim != 1:
        raise ScoringError(f"scores are {list(score_P.shape)}, not [P], one for each trial")
    return score_P


def _labels(given: ArrayLike) -> NDArray[np.bool_]:
    label_P = np.asarray(given)
    if label_P.dtype.kind not in "buif" or not np.isin(label_P, (0, 1)).all():
        raise ScoringError("labels are true or 1 for targets and false or 0 for non-targets; some are neither")
    return label_P.astype(np.bool_)


def _check_length(name: str, given: NDArray[np.generic], score_P: NDArray[np.float64]) -> None:
    if given.shape != score_P.shape:
        raise ScoringError(f"{name} are {list(given.shape)}, but there are {score_P.size} scores; give one for each")


def _coded(name: str, given: ArrayLike | None, shape: tuple[int, ...]) -> tuple[list[str], Codes]:
    """Return the names in an array, sorted, and its numbers into them."""
    if given is None:
        return [""], np.zeros(shape, np.int64)
    values = np.asarray(given)
    if values.shape != shape:
        wanted = "[P, 2], enrolled and tested" if len(shape) == 2 else "[P]"
        raise ScoringError(f"{name} are {list(values.shape)}, but must be {wanted}, for {shape[0]} scores")
    if values.dtype.kind in "fO" and any(value is None or value != value for value in values.flat):
        raise ScoringError(f"{name} are not known of every trial: some are None or NaN; leave these trials out")
    names, code = np.unique(values if values.dtype.kind in "biufU" else values.astype(str), return_inverse=True)
    return names.astype(str).tolist(), code.reshape(shape).astype(np.int64)
