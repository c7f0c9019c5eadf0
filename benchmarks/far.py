"""A store in a bucket against the same store in a folder: `python -m benchmarks.far`.

The server is a process of this machine, in Python, that speaks S3: what it takes of the cores is taken from the reader.
All vectors are summed up; the page cache is warm, and every way opens the store anew. "kept" finds all files in the
cache of this machine, "fetched" none: it fetches, hashes and fsyncs them first. s3fs copies the whole folder at once,
without fsync; the hashing of its copy is timed, too.
"""

import os
import shutil
import tempfile
from pathlib import Path

import click
import fsspec
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.archives import server_in
from benchmarks.generated import parts, random_vectors, write_store
from benchmarks.measure import Contender, Rounds, speed_ratio, take_turns
from reseed.store import EmbeddingStore
from reseed.store.cache import CACHE, cache_folder

_URL = "s3://bucket/store"
_GET = "get of s3fs, then folder"


@click.command()
@click.option("--rows", default=100_000, show_default=True, help="Vectors of the store.")
@click.option("--dim", default=512, show_default=True, help="Their dimension.")
@click.option("--shards", default=8, show_default=True, help="Shards of the store.")
@click.option("--rounds", default=5, show_default=True, help="How often each way is timed.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to work; 100,000 rows take 1 GB.")
def main(rows: int, dim: int, shards: int, rounds: int, folder: Path | None) -> None:
    """Print the speed of reading a store in a bucket, once its files are kept here and before."""
    with tempfile.TemporaryDirectory(dir=folder) as place, threadpool_limits(1):
        store = Path(place) / "bucket" / "store"
        write_store(store, parts(random_vectors(rows, dim, seed=0), shards), "hdf5")
        os.environ[CACHE] = str(Path(place) / "cache")
        with server_in(Path(place)):
            seconds = take_turns(_ways(store, Path(place) / "copy"), rounds)
    Console(width=110).print(_table(f"{rows:,} x {dim} float32, {shards} shards", seconds))


def _ways(store: Path, copy: Path) -> dict[str, Contender]:
    def fetched() -> float:
        shutil.rmtree(cache_folder(), ignore_errors=True)
        return _total(_URL)

    def copied() -> float:
        shutil.rmtree(copy, ignore_errors=True)
        fsspec.filesystem("s3").get(_URL, str(copy), recursive=True)
        return _total(str(copy))

    return {
        "folder": lambda: _total(str(store)),
        "kept": lambda: _total(_URL),
        "fetched": fetched,
        _GET: copied,
    }


def _total(store: str) -> float:
    return float(sum(block.sum() for block in EmbeddingStore(store).utterance_blocks()))


def _table(title: str, seconds: Rounds) -> Table:
    table = Table(title, "folder", _GET)
    for ours in ("kept", "fetched"):
        table.add_row(ours, *(str(speed_ratio(seconds, ours, peer)) for peer in ("folder", _GET)))
    return table


if __name__ == "__main__":
    main()
