"""Our metrics beside those of other programs, number by number: `python -m benchmarks.agreement`.

Both are read from where they lie: WeSpeaker's repository, whose `score_metrics.py` is version 4.1 of the scorer that
NIST published for SRE 2016, and SpeechBrain's package. Where definitions differ, theirs is written once more here, from
our error rates, so that what is left is arithmetic. docs/results/metrics.md has what came out.

Shapes: K thresholds.
"""

import importlib.util
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from reseed.stages.scoring.curves import ErrorRates, Floats, error_rates, grouped
from reseed.stages.scoring.metrics import eer, min_dcf

SETS, PRIOR = 100, 0.01
Found = Iterator[tuple[str, str, float]]


@click.command()
@click.option("--wespeaker", type=click.Path(path_type=Path, exists=True), help="Its repository.")
@click.option("--speechbrain", type=click.Path(path_type=Path, exists=True), help="Folder that its package lies in.")
def main(wespeaker: Path | None, speechbrain: Path | None) -> None:
    """Print the greatest difference over 100 sets without ties, and over 100 with ties."""
    nist = _loaded(wespeaker / "wespeaker/utils/score_metrics.py") if wespeaker else None
    if speechbrain:
        sys.path.insert(0, str(speechbrain))
    worst: dict[tuple[str, str], dict[bool, float]] = defaultdict(dict)
    for number in range(SETS):
        for tied in (False, True):
            scores = score_set(number, tied)
            found = [*_nist(nist, *scores)] if nist else []
            found += [*_speechbrain(*scores)] if speechbrain else []
            for theirs, ours, difference in found:
                of_sets = worst[theirs, ours]
                of_sets[tied] = max(of_sets.get(tied, 0), abs(difference))
    table = Table("theirs", "ours", "no ties", "ties", title=f"greatest difference over {SETS} sets")
    for (theirs, ours), of_sets in worst.items():
        table.add_row(theirs, ours, *(f"{of_sets[tied]:.1e}" if tied in of_sets else "–" for tied in (False, True)))
    Console(width=150).print(table)


def score_set(number: int, tied: bool) -> tuple[Floats, Floats]:
    """Return between 20 and 400 scores of targets and of non-targets; `tied`: on a grid of quarters."""
    draw = np.random.default_rng(number)
    targets = draw.normal(draw.uniform(0.5, 3), 1, draw.integers(20, 400))
    nontargets = draw.normal(0, 1, draw.integers(20, 400))
    return (np.round(4 * targets) / 4, np.round(4 * nontargets) / 4) if tied else (targets, nontargets)


def _loaded(path: Path) -> Any:
    """Load one file of a package whose other files need what is not installed here."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, path
    assert spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _nist(module: Any, target_T: Floats, nontarget_N: Floats) -> Found:
    score_P, label_P = np.concatenate([target_T, nontarget_N]), np.repeat([1, 0], [target_T.size, nontarget_N.size])
    miss_P, false_alarm_P = module.compute_pmiss_pfa_rbst(score_P, label_P)
    theirs, least = module.compute_eer(miss_P, false_alarm_P), module.compute_c_norm(miss_P, false_alarm_P, PRIOR)
    rates = error_rates(grouped(target_T, nontarget_N))
    yield "WeSpeaker, NIST: EER", "rocch", theirs - eer(target_T, nontarget_N)
    yield "WeSpeaker, NIST: EER", "between two steps of the ROC", theirs - _between_steps(rates)
    yield "WeSpeaker, NIST: minDCF", "minDCF", least - min_dcf(target_T, nontarget_N, p_target=PRIOR)
    if np.unique(score_P).size == score_P.size:
        weight_P = np.random.default_rng(score_P.size).uniform(0.5, 2, score_P.size)
        rates_of_weights = module.compute_pmiss_pfa_rbst(score_P, label_P, weight_P)
        weights = {"target_weights": weight_P[label_P == 1], "nontarget_weights": weight_P[label_P == 0]}
        ours = min_dcf(target_T, nontarget_N, p_target=PRIOR, **weights)
        yield "NIST: minDCF, trials weighted", "minDCF", module.compute_c_norm(*rates_of_weights, PRIOR) - ours


def _speechbrain(target_T: Floats, nontarget_N: Floats) -> Found:
    module: Any = importlib.import_module("speechbrain.utils.metric_stats")
    tensors = torch.from_numpy(target_T), torch.from_numpy(nontarget_N)
    theirs, least = module.EER(*tensors)[0], module.minDCF(*tensors, p_target=PRIOR)[0]
    rates = error_rates(grouped(target_T, nontarget_N))
    yield "SpeechBrain: EER", "nearest", theirs - eer(target_T, nontarget_N, "nearest")
    yield "SpeechBrain: EER", "mean of both rates at the nearest corner", theirs - _mean_at_nearest(rates)
    ours = min_dcf(target_T, nontarget_N, p_target=PRIOR)
    yield "SpeechBrain: minDCF", "minDCF", least - ours
    yield "SpeechBrain: minDCF / P_target", "minDCF", least / PRIOR - ours


def _between_steps(rates: ErrorRates) -> float:
    """Return where the line between the last corner with more false alarms and the next one has equal rates."""
    after = int(np.argmax(rates.miss_K >= rates.false_alarm_K))
    high, low = (rates.miss_K[at] - rates.false_alarm_K[at] for at in (after, after - 1))
    return float(rates.miss_K[after] + high / (high - low) * (rates.miss_K[after - 1] - rates.miss_K[after]))


def _mean_at_nearest(rates: ErrorRates) -> float:
    """Return the mean of both rates where they are nearest, of equally near corners at the lowest threshold."""
    gap_K = np.round(np.abs(rates.miss_K - rates.false_alarm_K)[1:], 6)  # single precision tells no more apart
    at = 1 + int(np.argmin(gap_K))
    return float((rates.miss_K[at] + rates.false_alarm_K[at]) / 2)


if __name__ == "__main__":
    main()
