"""The results of a run, metrics and report: which settings they are of, and those that others take the place of.

Snakemake removes a report before it makes it anew. So a copy is made before it begins, RUN/superseded/DIGEST, and is
removed afterwards where the results are the same. Whatever is killed in between, one of the two is whole.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from reseed.pipeline import layout
from reseed.stages.common.terminal import log
from reseed.store import atomic

# Settings may differ without effect; digests follow from the rest.
_NO_RESULT = {layout.RESULTS_CONFIG.name, layout.RESULTS_DIGESTS.name}


def settings_of_results(folder: Path) -> Path | None:
    """Return the configuration that the results of a run are of; None where there are no results."""
    if results_digest(folder / layout.REPORT) is None:
        return None
    recorded = folder / layout.RESULTS_CONFIG
    return recorded if recorded.is_file() else folder / layout.CONFIG  # earlier versions do not record it


def is_complete(report: Path) -> bool:
    """Whether a report has its page, which is written last, and its metrics."""
    return all((report / path.name).is_file() for path in (layout.PAGE, layout.METRICS))


def results_digest(report: Path) -> str | None:
    """Return a digest of the page, figures, tables and plots of a report; None where it is not complete."""
    if not is_complete(report):
        return None
    files = sorted(path for path in report.rglob("*") if path.is_file() and path.name not in _NO_RESULT)
    return atomic.digest({str(path.relative_to(report)): atomic.sha256_file(path) for path in files})[:16]


@contextmanager
def kept_results(folder: Path) -> Iterator[None]:
    """Keep a copy of the results of a run while they may be made anew, and for good where the new ones are others."""
    report = folder / layout.REPORT
    before = results_digest(report)
    if before is not None:
        made = datetime.fromtimestamp((report / layout.PAGE.name).stat().st_mtime)
        _keep(folder, before)
    try:
        yield
    finally:
        now = results_digest(report)
        if now is not None:
            shutil.rmtree(folder / layout.superseded(now), ignore_errors=True)
        if before not in (None, now):
            kept = folder / layout.superseded(str(before))
            log(f"reseed: the results of {made:%Y-%m-%d %H:%M} are kept: {kept / layout.PAGE.name}")
        with suppress(OSError):
            (folder / layout.SUPERSEDED).rmdir()


def _keep(folder: Path, digest: str) -> None:
    kept = folder / layout.superseded(digest)
    if results_digest(kept) == digest:
        return
    settings = settings_of_results(folder)
    with atomic.atomic_directory(kept) as temporary:
        shutil.copytree(folder / layout.REPORT, temporary, dirs_exist_ok=True)
        if settings is not None and settings.is_file():
            shutil.copy2(settings, temporary / layout.RESULTS_CONFIG.name)
