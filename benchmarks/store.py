"""The store against its peers: `python -m benchmarks.store`. What is compared, and how, is in benchmarks/README.md."""

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import click
import h5py
import numpy as np
import pyarrow as pa
from rich.console import Console
from threadpoolctl import threadpool_limits

from benchmarks.arena import Arena, Contest
from benchmarks.contests import CONTESTS, pairs_are_views
from benchmarks.generated import random_vectors
from benchmarks.growth import Size, measure
from benchmarks.peer import Peer, PeerMissingError
from benchmarks.tables import contest_table, count_misses, growth_table

console = Console(width=None if sys.stdout.isatty() else 190)


@click.command()
@click.option("--rows", default=200_000, show_default=True, help="Vectors that the contests read.")
@click.option("--dim", default=512, show_default=True, help="Their dimension.")
@click.option("--shards", default=8, show_default=True, help="Shards of the stores that have several.")
@click.option("--rounds", default=7, show_default=True, help="How often each way is timed.")
@click.option("--scale", "sizes", default="1e5,1e6,1e7", show_default=True, help="Sizes in rows x 256; '' for none.")
@click.option("--scale-layout", default="hdf5", show_default=True, type=click.Choice(["hdf5", "parquet"]))
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where to work; default: the system's own temporary one."
)
@click.option("--keep", is_flag=True, help="Keep the files.")
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too."
)
@click.option("--peer-python", default=sys.executable, help="A Python that has embedding-reader; default: this one.")
def main(
    rows: int,
    dim: int,
    shards: int,
    rounds: int,
    sizes: str,
    scale_layout: str,
    folder: Path | None,
    keep: bool,
    json_path: Path | None,
    peer_python: str,
) -> None:
    """Print how fast stores are read and written, as ratios to peers timed in the same rounds."""
    with _workplace(folder, keep) as place, threadpool_limits(1):  # handing work to a busy core would cost more
        contests = list(_contests(place, rows, dim, shards, rounds, peer_python)) if rows else []
        grown = list(measure(place, [int(float(size)) for size in sizes.split(",") if size], scale_layout, keep))
    if grown:
        console.print(growth_table(grown))
    missed, judged = count_misses(contests)
    console.print(
        f"{judged - missed} of {judged} ratios are what is asked for, {missed} are marked MISS", highlight=False
    )
    if json_path:
        json_path.write_text(json.dumps(_figures(contests, grown), indent=1) + "\n", encoding="utf-8")


def _contests(place: Path, rows: int, dim: int, shards: int, rounds: int, peer_python: str) -> Iterator[Contest]:
    with _peer(peer_python) as peer:
        arena = Arena(place, random_vectors(rows, dim, seed=0), shards, peer, rounds)
        arena.build()
        said = "views of the map, no copy" if pairs_are_views(arena) else "[red]a copy MISS[/red]"
        console.print(f"{rows:,} x {dim} float32, page cache warm; `pairs` inside one shard: {said}", highlight=False)
        for contest in (run(arena) for run in CONTESTS):
            console.print(contest_table(contest), highlight=False)
            yield contest


def _peer(python: str) -> Any:
    try:
        return Peer(python)
    except PeerMissingError as missing:
        console.print(f"embedding-reader is skipped: {missing}; see benchmarks/README.md", highlight=False)
        return nullcontext()


@contextmanager
def _workplace(folder: Path | None, keep: bool) -> Iterator[Path]:
    """Yield a new folder inside `folder`; remove it and nothing else."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="store-benchmark-", dir=folder))
    try:
        yield place
    finally:
        if keep:
            console.print(f"kept: {place}", highlight=False)
        else:
            shutil.rmtree(place)


def _figures(contests: list[Contest], sizes: list[Size]) -> dict[str, Any]:
    versions = {"python": platform.python_version(), "numpy": np.__version__, "h5py": h5py.__version__}
    return {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "versions": {**versions, "pyarrow": pa.__version__},
        "contests": [_contest_figures(contest) for contest in contests],
        "growth": [asdict(size) for size in sizes],
    }


def _contest_figures(contest: Contest) -> dict[str, Any]:
    return {
        "title": contest.title,
        "targets": contest.targets,
        "ratios": {ours: {peer: asdict(contest.ratio(ours, peer)) for peer in contest.peers} for ours in contest.ours},
        "median_s": {way: median(seconds) for way, seconds in contest.seconds.items()},
    }


if __name__ == "__main__":
    main()
