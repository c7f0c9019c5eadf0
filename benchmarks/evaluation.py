"""`reseed evaluate` against WeSpeaker's and SpeechBrain's metric code: `python -m benchmarks.evaluation`.

The trials are made up: pairs of utterances of VoxCeleb1-E's number of speakers, half of them targets. Both toolkits
are read from where they lie: WeSpeaker's repository, SpeechBrain's package; without one its rows are left out.
"""

import contextlib
import importlib
import io
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.measure import memory_kb, speed_ratio, take_turns
from reseed.stages.evaluation.measures import Settings, evaluate_trials
from reseed.stages.evaluation.score_lists import read_score_list
from reseed.stages.evaluation.speakers import tell_speakers
from reseed.stages.evaluation.trials import bring_together
from reseed.stages.scoring.detection_costs import detection_cost
from reseed.stages.scoring.metrics import eer, min_dcf

SPEAKERS, UTTERANCES = 1_251, 2_000
TARGET, LIMIT_S, LIMIT_MB = 5.0, 20.0, 1_000.0
_POLL_S = 0.005
console = Console(width=120)


@click.command()
@click.option("--trials", default=580_000, show_default=True, help="Trials of the list.")
@click.option("--few", default=2_000, show_default=True, help="Trials that SpeechBrain's quadratic code is given.")
@click.option("--rounds", default=5, show_default=True, help="How often each way is timed.")
@click.option("--wespeaker", type=click.Path(path_type=Path, exists=True), help="Its repository.")
@click.option("--speechbrain", type=click.Path(path_type=Path, exists=True), help="Folder that its package lies in.")
def main(trials: int, few: int, rounds: int, wespeaker: Path | None, speechbrain: Path | None) -> None:
    """Print our metrics beside theirs in CPU time, and what the whole command takes."""
    sys.path[:0] = [str(path) for path in (wespeaker, speechbrain) if path]
    table = Table(title=f"{trials:,} trials")
    for column in ("what", "against", "ratio of CPU time (quartiles)", "asked for"):
        table.add_column(column)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "scores.txt"
        targets, nontargets = write_trials(path, trials)
        if wespeaker:
            module = importlib.import_module("wespeaker.bin.compute_metrics")
            ratio = _turns(lambda: _ours(path), lambda: _theirs(module, path), rounds)
            table.add_row("file to EER and minDCF", "WeSpeaker", str(ratio), f"{TARGET:g}")
        if speechbrain:
            stats = importlib.import_module("speechbrain.utils.metric_stats")
            part = targets[: few // 2], nontargets[: few // 2]
            tensors = [torch.from_numpy(scores) for scores in part]
            ratio = _turns(
                lambda: eer(*part) + min_dcf(*part), lambda: stats.EER(*tensors)[0] + stats.minDCF(*tensors)[0], rounds
            )
            table.add_row(f"arrays of {few:,} trials to EER and minDCF", "SpeechBrain", str(ratio), f"{TARGET:g}")
        seconds, cpu_s, megabytes = _command(path, Path(name) / "report")
    console.print(table)
    console.print(
        f"the whole command, intervals and page: {seconds:.1f} s by the clock (asked for {LIMIT_S:g}), {cpu_s:.1f} s "
        f"of processor time, {megabytes:.0f} MB (asked for {LIMIT_MB:g})"
    )


def write_trials(path: Path, count: int) -> tuple[Any, Any]:
    """Write made-up scores as WeSpeaker does, "a b score target", and return those of targets and of non-targets."""
    draw = np.random.default_rng(0)
    first = draw.integers(SPEAKERS, size=count)
    is_target = np.arange(count) % 2 == 0
    second = np.where(is_target, first, (first + draw.integers(1, SPEAKERS, size=count)) % SPEAKERS)
    ease = draw.normal(size=SPEAKERS) / 2
    score = ease[first] + ease[second] + 4 * is_target + 1.3 * draw.normal(size=count)
    number = draw.integers(UTTERANCES // 16, size=(2, count))
    _, kept = np.unique(np.stack([first, second, *number]), axis=1, return_index=True)  # a trial is listed once
    with path.open("w") as file:
        for row in np.sort(kept):
            enrolled, tested = (
                f"id{10_001 + speaker[row]}/v{numbers[row] // 8:02d}/{numbers[row]:05d}.wav"
                for speaker, numbers in zip((first, second), number, strict=True)
            )
            file.write(f"{enrolled} {tested} {score[row]:.5f} {'target' if is_target[row] else 'nontarget'}\n")
    is_target, score = is_target[kept], score[kept]
    return score[is_target], score[~is_target]


def _ours(path: Path) -> float:
    trials, scored = bring_together([read_score_list(path)], None)
    found = evaluate_trials(
        trials, scored, tell_speakers(trials), [detection_cost("vox-0.01")], Settings(replicates=0)
    ).pooled[0]
    return round(100 * found.eer.value, 1)


def _theirs(module: Any, path: Path) -> float:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        module.compute_metrics(str(path))
    return round(float(printed.getvalue().partition("EER = ")[2].split()[0]), 1)


def _turns(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> Any:
    def rounded(run: Callable[[], float]) -> Callable[[], float]:
        return lambda: round(run(), 1)  # theirs interpolates otherwise

    seconds = take_turns({"ours": rounded(ours), "theirs": rounded(theirs)}, rounds, time.process_time)
    return speed_ratio(seconds, "ours", "theirs")


def _command(path: Path, report: Path) -> tuple[float, float, float]:
    """Return seconds by the clock and of the processor, and the peak of memory in MB, which the kernel says of it."""
    command = [sys.executable, "-m", "reseed.cli", "evaluate", str(path), "--out", str(report)]
    start_s, before, peak_kb = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak_kb = max(peak_kb, memory_kb(process.pid).get("VmHWM", 0))
            time.sleep(_POLL_S)
    assert process.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start_s, cpu_s, peak_kb / 1e3


if __name__ == "__main__":
    main()
