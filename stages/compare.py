"""`compare`: the scores of several finished runs -> one report."""

from collections.abc import Sequence
from pathlib import Path

from reseed.stages.reporting.build import build, check_replaceable
from reseed.stages.reporting.results.comparable import keep_comparable
from reseed.stages.reporting.results.files import RunFiles
from reseed.stages.reporting.results.load import load
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.store import ScoringError

_NOTE = (
    "Several runs, compared under the conditions whose trials and recipes agree. Each run has drawn its own noises "
    "unless runs share a store; every system is compared with raw and centred of its own run."
)


def compare(*, runs: Sequence[RunFiles], report: Path, title: str, settings: ReportSettings) -> str:
    """Write one report on several runs and return one sentence on it.

    Conditions under which the runs did not score the same trials, or whose recipes differ, are left out; the page says
    which and why.

    Args:
        runs: their files; trials are grouped by the first run's manifest.
        report: directory to write, as `report` does.

    Raises:
        ScoringError: fewer than two runs, two of one name, or no condition that all of them share.
        StoreError, ManifestError: as `report`.
    """
    names = [run.name for run in runs]
    if len(names) < 2:
        raise ScoringError(f"{len(names)} run to compare; give two or more")
    if len(set(names)) < len(names):
        raise ScoringError(f"two of the runs {', '.join(names)} have one name; rename the folder of one")
    check_replaceable(report, runs)
    loaded, left_out = keep_comparable(load(runs))
    return build(loaded, report, title, [_NOTE, *left_out], settings)
