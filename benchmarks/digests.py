"""What it costs that every reader hashes what it reads: commands over one store with the check of vectors on and off.

Each command is a process of its own, as in a run. With --run, also the time to hash every file of a finished run once
for each of its steps, which is more than they do, as a share of the time that the steps took.
"""

import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import click
import yaml

from benchmarks.generated import VIEWS, parts, random_vectors, write_store
from reseed.store.atomic import sha256_file
from reseed.store.checks import CHECK_VECTORS

DIM = 256
_SETTINGS = {
    "name": "digests",
    "extract": {
        "train": {"views": {view: {} for view in VIEWS}},
        "evaluation": {"views": {view: {} for view in VIEWS}},
    },
    "corpus": {"root": "."},
    "train": {"wccn": {}, "mse": {"epochs": 5}},
}
_COMMANDS = {
    "train (wccn)": "train --config c.yaml --system wccn --store store --model wccn",
    "train (mse, 5 epochs)": "train --config c.yaml --system mse --store store --model mse",
    "enhance": "enhance --store store --model mse --enhanced enhanced",
    "all-pairs": "all-pairs store --out near.parquet",
}


@click.command()
@click.option("--rows", default=200_000, show_default=True, help="Vectors of 256 dimensions in the store.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--run", type=click.Path(path_type=Path), help="A finished run.")
def main(rows: int, repeats: int, run: Path | None) -> None:
    """Print seconds with and without the check, and how much longer the former take."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_store(folder / "store", parts(random_vectors(rows, DIM, seed=0), shards=4), "hdf5")
        (folder / "c.yaml").write_text(yaml.safe_dump(_SETTINGS))
        click.echo("| command | unchecked (s) | checked (s) | longer |\n|---|---|---|---|")
        for label, line in _COMMANDS.items():
            times = [[_seconds(line, folder, check) for check in "01"] for _ in range(repeats)]
            unchecked, checked = map(median, zip(*times, strict=True))
            click.echo(f"| {label} | {unchecked:.2f} | {checked:.2f} | {100 * (checked / unchecked - 1):.1f} % |")
    if run is not None:
        steps = list(_steps(run))
        started = time.perf_counter()
        for path in run.rglob("*"):
            if path.is_file() and ".snakemake" not in path.parts:
                sha256_file(path)
        hashing = (time.perf_counter() - started) * len(steps)
        click.echo(f"{run}: {len(steps)} steps took {sum(steps):.0f} s; all files hashed by each: {hashing:.2f} s")


def _seconds(line: str, folder: Path, check: str) -> float:
    environment = {**os.environ, CHECK_VECTORS: check}
    for made in ("wccn", "mse", "enhanced"):
        if line.endswith(f" {made}"):
            shutil.rmtree(folder / made, ignore_errors=True)
    command = [sys.executable, "-m", "reseed.cli", *line.split()]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def _steps(run: Path) -> Iterator[float]:
    for path in (run / "logs").rglob("*.usage.tsv"):
        with path.open() as file:
            yield float(next(csv.DictReader(file, delimiter="\t"))["s"])


if __name__ == "__main__":
    main()
