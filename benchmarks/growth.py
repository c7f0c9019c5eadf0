"""What may grow with the rows of a store: opening, one vector by id, statistics, appending; read by fresh processes.

Figures are held to limits, and to those of the smallest store of the same run.
"""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from benchmarks.generated import VIEWS, declare, utterance_id, write_rows
from benchmarks.measure import watch
from reseed.store import Header, append_shards, edited, finalise
from reseed.store.atomic import sha256_file

DIM = 256
_BYTES_PER_ROW = DIM * 4 + 64
_REPEATS = 5


@dataclass(frozen=True)
class Measured:
    """Times in s and memory in MB of a task in a fresh process: medians."""

    open_s: float
    done_s: float
    rss_mb: float
    anonymous_mb: float


@dataclass(frozen=True)
class Size:
    """The figures of one size.

    Attributes:
        first_id, last_id: open and read the first or the last utterance's vector: the best and the worst place.
        append_s: `append_shards` of 1 % new rows that are written already.
        touched: old shard files whose inode, time, size or bytes differ after the append.
    """

    rows: int
    imports: Measured
    first_id: Measured
    last_id: Measured
    statistics: Measured
    append_s: float
    touched: list[str]


def measure(folder: Path, sizes: list[int], layout: str, keep: bool) -> Iterator[Size]:
    """Yield the figures of each size; its store is removed before the next one is written.

    Raises:
        click.ClickException: too little free space.
    """
    for rows in sizes:
        needed, free = rows * _BYTES_PER_ROW * 1.02, shutil.disk_usage(folder).free
        if needed > free:
            raise click.ClickException(f"{rows} rows need {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free")
        path = folder / f"{layout}-{rows}-rows"
        try:
            yield _measure(path, rows, layout)
        finally:
            if not keep:
                shutil.rmtree(path, ignore_errors=True)


def _measure(path: Path, rows: int, layout: str) -> Size:
    declaration, utterances = declare(DIM, layout), rows // len(VIEWS)
    header = finalise(path, declaration, write_rows(path, declaration, 0, rows), utterances)
    imports, first_id, last_id, statistics = (
        _task("imports", path),
        _task("get", path, utterance_id(0)),
        _task("get", path, utterance_id(utterances - 1)),
        _task("statistics", path, repeats=1),
    )
    append_s, touched = _append(path, header, rows // 100)
    return Size(rows, imports, first_id, last_id, statistics, append_s, touched)


def _task(*arguments: object, repeats: int = _REPEATS) -> Measured:
    runs = [watch("benchmarks.probe", *arguments) for _ in range(repeats)]
    return Measured(
        open_s=median(run.answer["open_s"] for run in runs),
        done_s=median(run.answer["done_s"] for run in runs),
        rss_mb=median(run.peak_rss_mb for run in runs),
        anonymous_mb=median(run.peak_anonymous_mb for run in runs),
    )


def _append(path: Path, header: Header, rows: int) -> tuple[float, list[str]]:
    """Append rows; return the seconds that `append_shards` took and the old files that are not what they were."""
    old = {file.name: (path / file.name).stat() for shard in header.shards for file in shard.files}
    digests = {file.name: file.sha256 for shard in header.shards for file in shard.files}
    stored = sum(shard.rows for shard in header.shards)
    declaration = edited(header.declaration, "append", "generated")
    names = write_rows(path, declaration, stored, stored + rows)
    start_s = time.perf_counter()
    append_shards(path, names, declaration, (stored + rows) // len(VIEWS))
    append_s = time.perf_counter() - start_s
    return append_s, [name for name in old if _state(path / name) != _stated(old[name], digests[name])]


def _state(path: Path) -> tuple[object, ...]:
    return _stated(path.stat(), sha256_file(path))


def _stated(stat: os.stat_result, sha256: str) -> tuple[object, ...]:
    return stat.st_ino, stat.st_mtime_ns, stat.st_size, sha256
