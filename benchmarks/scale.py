"""A store of up to 1e8 vectors, from its writing to its audit: `python -m benchmarks.scale --sizes 1e6,1e7`.

Each task runs in fresh processes, whose time and memory are those of the table: linear in the rows, and flat.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np

from benchmarks.generated import ROWS_PER_SHARD, VIEWS, Clustered, declare, write_rows
from benchmarks.measure import ROOT, Watched, memory_kb, watch
from reseed.store import EmbeddingStore, finalise

DIM = 192
_BYTES_PER_ROW = DIM * 2 + 40
_SAMPLED = 10_000  # rows
_BATCH = 1024
_AUDITED = 8  # shards


@click.command()
@click.option("--sizes", default="1e6,1e7", show_default=True, help="Rows of 192 dimensions, float16, two views.")
@click.option("--processes", default=2, show_default=True, help="That write.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where to work; 1e8 rows take 42 GB.")
def main(sizes: str, processes: int, folder: Path | None) -> None:
    """Print time and memory of each task for each size."""
    tasks = ["write", *_TASKS]
    click.echo(f"| rows | {' | '.join(tasks)} |\n|{'---|' * (len(tasks) + 1)}", nl=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for rows in (round(float(size)) for size in sizes.split(",")):
            needed, free = rows * _BYTES_PER_ROW, shutil.disk_usage(name).free
            if needed > 0.9 * free:
                raise click.ClickException(f"{rows:,} rows need {needed / 1e9:.0f} GB, {free / 1e9:.0f} GB are free")
            click.echo(f"| {rows:,} ", nl=False)
            for cell in _cells(Path(name) / "store", rows, processes):
                click.echo(f"| {cell} ", nl=False)
                sys.stdout.flush()
            click.echo("|")
            shutil.rmtree(Path(name) / "store")


def _cells(store: Path, rows: int, processes: int) -> Iterator[str]:
    """Yield time, and memory of the largest process, of each task."""
    start_s = time.perf_counter()
    edges = [ROWS_PER_SHARD * (rows // ROWS_PER_SHARD * part // processes) for part in range(processes)]
    ranges = zip(edges, [*edges[1:], rows], strict=True)
    command = [sys.executable, "-m", "benchmarks.scale", "write", str(store)]
    writers = [
        subprocess.Popen([*command, str(first), str(last)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for first, last in ranges
    ]
    answers = [json.loads(writer.communicate()[0]) for writer in writers]
    (store.parent / "names.json").write_text(json.dumps([name for answer in answers for name in answer["names"]]))
    yield f"{time.perf_counter() - start_s:.0f} s, {max(answer['peak_rss_kb'] for answer in answers) / 1e3:.0f} MB"
    for task in _TASKS:
        seen = watch("benchmarks.scale", task, store)
        yield _cell(seen)


def _cell(seen: Watched) -> str:
    said = f", {seen.answer['says']}" if seen.answer.get("says") else ""
    return f"{seen.answer['done_s']:.1f} s, {seen.peak_anonymous_mb:.0f} of {seen.peak_rss_mb:.0f} MB{said}"


def _write(store: Path, first: int, last: int) -> list[str]:
    return write_rows(store, declare(DIM, "hdf5", "float16"), first, last, Clustered(DIM))


def _seal(store: Path) -> str:
    names = json.loads((store.parent / "names.json").read_text())
    shards = [int(name.split("-")[0]) for name in names]
    assert shards == list(range(len(names)))
    declaration = declare(DIM, "hdf5", "float16")
    finalise(store, declaration, names, _rows(store, names) // len(VIEWS))
    return ""


def _rows(store: Path, names: list[str]) -> int:
    from reseed.store.seals import read_seal

    seals = [read_seal(store, name, "hdf5") for name in names]
    return sum(seal.rows for seal in seals if seal is not None)


def _verify(store: Path) -> str:
    from reseed.stages.verify import verify

    verify(store=store)
    return ""


def _sample(store: Path) -> str:
    opened = EmbeddingStore(store, check=False)
    rows = np.random.default_rng(0).integers(0, len(opened), _SAMPLED)
    assert np.isfinite(opened.take(rows).sum())
    return ""


def _epoch(store: Path) -> str:
    """Read every pair of an epoch as training does, and multiply it by a matrix."""
    import torch

    from reseed.stages.training.cache.stream import StreamedPairs

    torch.set_num_threads(1)
    opened = EmbeddingStore(store, check=False)
    reader = StreamedPairs(opened, clean_view=0).reordered(_BATCH, seed=0)
    matrix_DD, seen = torch.randn(DIM, DIM), 0
    for pairs in reader.batches(0):
        (pairs.noisy_BD @ matrix_DD).sub_(pairs.clean_BD)
        seen += len(pairs.noisy_BD)
    assert seen == len(opened)
    return ""


def _audit(store: Path) -> str:
    from reseed.stages.audit import audit

    audit(store=store, shards=_AUDITED)
    return ""


_TASKS: dict[str, Callable[[Path], str]] = {
    "seal": _seal,
    "verify": _verify,
    "sample": _sample,
    "epoch": _epoch,
    "audit": _audit,
}


def _task(name: str, store: str, *rest: str) -> None:
    """Do a task in this process, and print what it took as a line of JSON."""
    start_s, answer = time.perf_counter(), {}
    if name == "write":
        answer["names"] = _write(Path(store), *map(int, rest))
    else:
        answer["says"] = _TASKS[name](Path(store))
    print(json.dumps({**answer, "done_s": time.perf_counter() - start_s, "peak_rss_kb": memory_kb()["VmHWM"]}))


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in {"write", *_TASKS}:
        _task(*sys.argv[1:])
    else:
        main()
