"""For use from Python: scores and labels in arrays, measured as `reseed evaluate` measures files.

Shapes: P trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reseed.stages.evaluation.figures import Figure
from reseed.stages.evaluation.measures import MEAN, Measured, Settings, evaluate_trials
from reseed.stages.evaluation.speakers import Speakers
from reseed.stages.evaluation.trials import Codes, Scored, Trials
from reseed.stages.scoring.curves import Floats
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

    Intervals resample speakers, since trials of one speaker depend on each other; `Metrics` shows how it is called.

    Args:
        scores: [P], higher for the same speaker.
        labels: [P], true or 1 where the trial is a target.
        speakers: [P, 2], who is enrolled and who is tested, by name or number; None: no intervals. Trials whose label
            says otherwise are in no interval.
        groups: [P], the name of each trial's group, such as a noise or a language.
        costs: names of detection costs, "sre16", or priors, "0.01+0.005"; docs/evaluate.md lists them.
        llr: scores are natural-log likelihood ratios, of which `cllr` and `actual_dcf` say something.
        replicates, seed: draws of speakers, 0: no intervals; and what they start from.

    Raises:
        ScoringError: arrays that do not fit each other, scores that are not finite, labels that are not 0 or 1, or a
            class without trials, in a group or altogether; says where.
        ConfigError: no such detection cost.
    """
    score_P = _scores(scores)
    trials, told = _trials(score_P, _labels(labels, score_P), speakers, groups)
    scored = [Scored("scores", Path("arrays"), score_P, np.zeros(score_P.size, np.bool_), llr)]
    named = [detection_cost(cost) for cost in dict.fromkeys(costs)]
    found = evaluate_trials(trials, scored, told, named, Settings(replicates, seed, llr=llr))
    of_groups = [each for each in found.by_condition if each.condition != MEAN]
    of_groups = of_groups or [replace(found.pooled[0], condition=name) for name in trials.conditions]
    told_apart = [] if groups is None else of_groups
    return _metrics(found.pooled[0], {each.condition: _metrics(each) for each in told_apart})


def _trials(
    score_P: Floats, is_target_P: NDArray[np.bool_], speakers: ArrayLike | None, groups: ArrayLike | None
) -> tuple[Trials, Speakers]:
    """Return trials between speakers, each counting as one utterance, and who they are."""
    names, speaker_P2 = _coded("speakers", speakers, (score_P.size, 2))
    of_groups = _coded("groups", groups, score_P.shape)
    trials = Trials(None, names, speaker_P2[:, 0], speaker_P2[:, 1], is_target_P, *of_groups, 0)
    if speakers is None:
        return trials, Speakers(None, "not told")
    return trials, Speakers(np.arange(len(names)), "by the caller")


def _metrics(found: Measured, groups: dict[str, Metrics] | None = None) -> Metrics:
    costs = found.min_dcf, found.min_cllr, found.cllr, found.actual_dcf
    return Metrics(found.targets, found.nontargets, found.eer, *costs, groups or {})


def _scores(given: ArrayLike) -> Floats:
    try:
        score_P = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise ScoringError(f"scores are not numbers ({error})") from error
    if score_P.ndim != 1:
        raise ScoringError(f"scores are {list(score_P.shape)}, not [P], one for each trial")
    return score_P


def _labels(given: ArrayLike, score_P: Floats) -> NDArray[np.bool_]:
    label_P = np.asarray(given)
    if label_P.dtype.kind not in "buif" or not np.isin(label_P, (0, 1)).all():
        raise ScoringError("labels are true or 1 for targets and false or 0 for non-targets; some are neither")
    if label_P.shape != score_P.shape:
        raise ScoringError(f"labels are {list(label_P.shape)}, but there are {score_P.size} scores; give one for each")
    return label_P.astype(np.bool_)


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
