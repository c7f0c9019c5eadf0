"""Neighbours by an index against exact search of the same store: `python -m benchmarks.search`.

Vectors are generated, of speakers of a hundred utterances; see `generated.Clustered`. Their nearest neighbours are
hardly nearer than what comes next, which is harder for an index than well separated voices are.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import numpy as np

from benchmarks.generated import VIEWS, Clustered, declare, write_rows
from benchmarks.measure import memory_kb
from reseed.stages.search.index import RECALL_AT, place, recall_of
from reseed.stages.search.search import search_in
from reseed.stages.search.vectors import taken
from reseed.store import EmbeddingStore, finalise

DIM = 192
_FEW = 200  # queries that exact search answers, too
Value = TypeVar("Value")


@click.command()
@click.option("--sizes", default="1e5,1e6", show_default=True, help="Utterances.")
@click.option("--queries", default=2000, show_default=True, help="That the index answers in one go.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where to work.")
def main(sizes: str, queries: int, folder: Path | None) -> None:
    """Print time and recall for each size."""
    columns = "| utterances | exact, 1 query | exact, of 200 | index made | on disk | index, 1 query | index, of many "
    click.echo(columns + "| times exact | recall@10 | stated | lists, of |\n" + "|---" * 11 + "|")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for size in sizes.split(","):
            click.echo(_row(Path(name) / "store", int(float(size)), queries))
    click.echo(f"\npeak memory of all: {memory_kb()['VmHWM'] / 1e6:.1f} GB")


def _row(path: Path, utterances: int, queries: int) -> str:
    declaration = declare(DIM, "hdf5", "float16")
    finalise(path, declaration, write_rows(path, declaration, 0, utterances * len(VIEWS), Clustered(DIM)), utterances)
    store = EmbeddingStore(path)
    chosen = np.random.default_rng(3).choice(utterances, queries, replace=False)
    query_QD = taken(store, VIEWS[1], chosen)  # noisy, looked for among clean
    exact = search_in(store, VIEWS[0], index=False)
    exact.nearest(query_QD[:1], RECALL_AT)  # each file is hashed once
    one_s, _ = _timed(lambda: exact.nearest(query_QD[:1], RECALL_AT))
    few_s, (exact_QK, _) = _timed(lambda: exact.nearest(query_QD[:_FEW], RECALL_AT))
    made_s, search = _timed(lambda: search_in(store, VIEWS[0], index=True))
    assert search.index is not None
    file = place(store, VIEWS[0])
    quick_s, _ = _timed(lambda: search.nearest(query_QD[:1], RECALL_AT))
    many_s, (found_QK, _) = _timed(lambda: search.nearest(query_QD, RECALL_AT))
    about, recall = search.index.about, recall_of(exact_QK, found_QK[:_FEW])
    cells = [
        f"{utterances:,}", f"{one_s * 1e3:.0f} ms", f"{few_s / _FEW * 1e3:.1f} ms", f"{made_s:.0f} s",
        f"{file.stat().st_size / 1e6:.0f} MB", f"{quick_s * 1e3:.1f} ms", f"{many_s / queries * 1e3:.2f} ms",
        f"{few_s / _FEW / (many_s / queries):.0f}", f"{recall:.3f}", f"{about.recall:.3f}",
        f"{about.probes}, {about.lists}",
    ]  # fmt: skip
    shutil.rmtree(path)
    shutil.rmtree(file.parent)
    return f"| {' | '.join(cells)} |"


def _timed(do: Callable[[], Value]) -> tuple[float, Value]:
    start_s = time.perf_counter()
    answer = do()
    return time.perf_counter() - start_s, answer


if __name__ == "__main__":
    main()
