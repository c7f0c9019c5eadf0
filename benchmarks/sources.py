"""Extraction of one corpus from wherever it lies, against loose files: `python -m benchmarks.sources`.

The same recordings as loose FLAC, inside archives, and behind a server of this machine (as S3 and by HTTP): the stores
must be byte for byte the same. Ways take turns; each task runs in a fresh process, which prints its peak memory.
"""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import click
import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from benchmarks.measure import memory_kb, watch
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.audio.remote.url import path_or_url
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.prepare import PrepareSettings, prepare
from tests.object_server import ObjectServer, serving

_RATE, _SHARDS = 16_000, 4
console = Console(width=120)


@dataclass(frozen=True)
class Task:
    """One way through `prepare` and `extract`."""

    source: str
    out: str
    backbone: str


@click.command()
@click.option("--utterances", "sizes", default="100,400", show_default=True, help="Of each corpus, of 8 s each.")
@click.option("--rounds", default=3, show_default=True, help="How often each way is timed.")
@click.option("--backbone", default="ge2e", show_default=True, help="What embeds.")
@click.option("--only", help="Ways to measure beside loose files, by name.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where to work; a corpus takes 0.3 MB for each utterance."
)
def main(sizes: str, rounds: int, backbone: str, only: str | None, folder: Path | None) -> None:
    """Print the speed of every way in units of loose files, and how its memory grows with the corpus."""
    counts = [int(text) for text in sizes.split(",")]
    table = Table(title=f"{backbone}, {counts[-1]} recordings of 8 s, {len(os.sched_getaffinity(0))} cores")
    for column in ("recordings", "prepare", "speed", "extract", "speed", *(f"peak of {count}" for count in counts)):
        table.add_column(column, justify="right" if column != "recordings" else "left")
    with tempfile.TemporaryDirectory(dir=folder) as place, _server(Path(place)) as server:
        chosen = {"loose FLAC", *only.split(",")} if only else WAYS.keys()
        measured = {}
        for count in counts:
            corpus = _corpus(Path(place) / "bucket" / str(count) / "loose", count)
            sources = {name: str(way(corpus, server)) for name, way in WAYS.items() if name in chosen}
            taken = _in_turns(sources, Path(place) / f"out-{count}", backbone, rounds if count == counts[-1] else 1)
            for name, found in taken.items():
                measured.setdefault(name, []).append(found)
        for name, found in measured.items():
            table.add_row(name, *_row(found, measured["loose FLAC"][-1]))
    console.print(table)


def _row(found: list[list[dict[str, float]]], loose: list[dict[str, float]]) -> Iterator[str]:
    for step in ("prepare_s", "extract_s"):
        ratios = [theirs[step] / ours[step] for ours, theirs in zip(found[-1], loose, strict=True)]
        yield f"{median(each[step] for each in found[-1]):.1f} s"
        yield f"{median(ratios):.2f}"
    for each in found:
        yield f"{max(round_['peak_mb'] for round_ in each):,.0f} MB"


def _in_turns(sources: dict[str, str], out: Path, backbone: str, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Take every way `rounds` times, each round beginning with another, and compare the stores."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sources}
    names, digests = list(sources), set()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            task = Task(sources[name], str(out / f"{name}-{number}"), backbone)
            watched = watch("benchmarks.sources", json.dumps(asdict(task)))
            digests.add(watched.answer.pop("store"))
            found[name].append({**watched.answer, "peak_mb": watched.peak_rss_mb})
    assert len(digests) == 1, "the stores differ"
    return found


def run(task: Task) -> dict[str, object]:
    """Prepare and extract, and say how long it took and what came of it."""
    out = Path(task.out)
    out.mkdir(parents=True)
    started_s = time.perf_counter()
    manifest = out / "utterances.parquet"
    source = path_or_url(task.source)
    prepare(source=source, utterances=manifest, rejects=out / "rejects.parquet", settings=PrepareSettings())
    prepared_s = time.perf_counter()
    settings = ExtractSettings(views={"clean": View()}, crops=CropSettings(count=4, duration_s=2.0, placement="even"))
    order = ExtractOrder(utterances=manifest, backbone=task.backbone, settings=settings, seed=0)
    extract(order=order, store=out / "store", shards=_SHARDS)
    ended_s = time.perf_counter()
    hasher = hashlib.sha256()
    for path in sorted((out / "store" / "shards").iterdir()):
        hasher.update(path.name.encode() + path.read_bytes())
    return {
        "prepare_s": prepared_s - started_s,
        "extract_s": ended_s - prepared_s,
        "store": hasher.hexdigest(),
        "peak_rss_kb": memory_kb()["VmHWM"],
    }


def _corpus(folder: Path, count: int) -> Path:
    for number in range(count):
        path = folder / f"s{number % 20:02}" / f"{number:05}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * np.random.default_rng(number).standard_normal(8 * _RATE)
        soundfile.write(path, np.convolve(noise, np.hanning(16) / 8, "same"), _RATE)
    return folder


def _files(corpus: Path) -> list[tuple[Path, str]]:
    return [(path, str(path.relative_to(corpus))) for path in sorted(corpus.rglob("*.flac"))]


def _tar(corpus: Path, server: ObjectServer) -> Path:
    path = corpus.with_name("tar") / "shard-000000.tar"
    if not path.exists():
        path.parent.mkdir()
        with tarfile.open(path, "w") as archive:
            for file, name in _files(corpus):
                archive.add(file, name)
    return path.parent


def _zip(corpus: Path, server: ObjectServer) -> Path:
    path = corpus.with_name("all.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file, name in _files(corpus):
            archive.write(file, name)
    return path


def _s3(path: Path, server: ObjectServer) -> str:
    return f"s3://{path.relative_to(server.root)}"


def _http(path: Path, server: ObjectServer) -> str:
    return f"{server.url}/{path.relative_to(server.root)}"


Way = Callable[[Path, ObjectServer], "str | Path"]  # from the folder of loose files to a source
WAYS: dict[str, Way] = {
    "loose FLAC": lambda corpus, server: corpus,
    "tar": _tar,
    "zip": _zip,
    "FLAC by S3": _s3,
    "tar by S3": lambda corpus, server: _s3(_tar(corpus, server), server),
    "FLAC by HTTP": _http,
}


@contextmanager
def _server(root: Path) -> Iterator[ObjectServer]:
    """Serve a folder from another process, and let those that are started from here ask it."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sources", "serve", str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        found = ObjectServer(root, int(process.stdout.readline()))
        os.environ.update(found.environment)
        try:
            yield found
        finally:
            process.terminate()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        with serving(Path(sys.argv[2])) as server:
            print(server.port, flush=True)
            sys.stdin.read()
    elif sys.argv[1:2] and sys.argv[1].startswith("{"):
        print(json.dumps(run(Task(**json.loads(sys.argv[1])))))
    else:
        main()
