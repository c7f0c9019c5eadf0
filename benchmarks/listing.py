"""What a start of a run costs that looks at a million files, against walking them: `python -m benchmarks.listing`.

Files are empty and lie on the disk of this machine, whose names are in its memory after the first walk: on a file
system across a network each call waits, so that how many there are says more than the seconds here.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

import click

from reseed.pipeline.listings import MOST
from reseed.stages.audio.folders import _UNSETTLED_NS
from reseed.stages.audio.listing import listing_digest
from reseed.stages.audio.lists.table import list_recordings


@click.command()
@click.option("--folders", default=10_000, show_default=True, help="Folders, ten of them in each speaker's.")
@click.option("--files", default=100, show_default=True, help="Files in each.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where to work.")
def main(folders: int, files: int, repeats: int, folder: Path | None) -> None:
    """Print seconds, and how many times those of os.walk they are."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        corpus, kept = Path(name) / "corpus", Path(name) / "listing.parquet"
        _make(corpus, folders, files)
        time.sleep(_UNSETTLED_NS / 1e9 + 1)  # until nothing has changed of late
        changed = corpus / "id00000" / "v00000" / "new.wav"
        tasks: dict[str, Callable[[], object]] = {
            "os.walk": lambda: sum(len(names) for _, _, names in os.walk(corpus)),
            "digest, every file asked": lambda: listing_digest(corpus),
            "first start: the same, kept": lambda: _listed(corpus, kept),
            "second start: digest": lambda: listing_digest(corpus, kept),
            "second start: checks before the run": lambda: _checked(corpus, kept),
            "second start, a file added": lambda: _changed(changed, corpus, kept),
        }
        seconds = {task: median(_seconds(do) for _ in range(repeats)) for task, do in tasks.items()}
        assert listing_digest(corpus, kept) == listing_digest(corpus)
        click.echo(f"| {folders * files:,} files, {folders:,} folders | seconds | times os.walk |\n|---|---|---|")
        for task, taken_s in seconds.items():
            click.echo(f"| {task} | {taken_s:.2f} | {taken_s / seconds['os.walk']:.2f} |")
        click.echo(f"\nkept: {kept.stat().st_size / 1e6:.1f} MB")
        shutil.rmtree(corpus)


def _make(corpus: Path, folders: int, files: int) -> None:
    for number in range(folders):
        folder = corpus / f"id{number // 10:05d}" / f"v{number % 10:05d}"
        folder.mkdir(parents=True)
        for file in range(files):
            (folder / f"{file:05d}.wav").touch()


def _checked(corpus: Path, kept: Path) -> int:
    """List as `pipeline.listings` does, which looks at the first of a large corpus alone."""
    return len(list(islice(list_recordings(corpus, 1, None, kept=kept), MOST + 1)))


def _listed(corpus: Path, kept: Path) -> str:
    kept.unlink(missing_ok=True)
    return listing_digest(corpus, kept)


def _changed(path: Path, corpus: Path, kept: Path) -> str:
    if path.exists():
        path.unlink()
    else:
        path.touch()
    return listing_digest(corpus, kept)


def _seconds(do: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    do()
    return time.perf_counter() - start_s


if __name__ == "__main__":
    main()
