"""What people use today, side by side with reseed in one run: `python -m benchmarks.peers`.

LanceDB, Kaldi's own code (kaldi_native_io) and scikit-learn are imported; the rows of what is not installed are left
out. Extraction, embedding-reader, WeSpeaker and SpeechBrain have benchmarks of their own (benchmarks/README.md).
"""

import contextlib
import importlib
import importlib.metadata
import io
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_curve

from benchmarks.generated import VIEWS, Clustered, parts, write_store
from benchmarks.measure import Contender, Ratio, speed_ratio, take_turns
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.scoring.metrics import eer
from reseed.stages.train import EnhancerOrder, train
from reseed.store import EmbeddingStore

RANDOM_ROWS = 4_096
console = Console(width=120)


@click.command()
@click.option("--rows", default=200_000, show_default=True, help="Vectors, of two views.")
@click.option("--dim", default=256, show_default=True, help="Their dimension.")
@click.option("--scores", default=1_000_000, show_default=True, help="Scores that an EER is computed of.")
@click.option("--rounds", default=5, show_default=True, help="How often each way is timed.")
def main(rows: int, dim: int, scores: int, rounds: int) -> None:
    """Print how many times the speed of each peer ours is, in processor time, with the peer's version."""
    table = Table("what", "against", "version", "times its speed (quartiles)", title=f"{rows:,} x {dim} float32")
    with tempfile.TemporaryDirectory() as name:
        vectors = Clustered(dim)(0, rows)
        write_store(Path(name) / "store", parts(vectors, 1), "hdf5")
        store = EmbeddingStore(Path(name) / "store")
        for contest in (reading, picking, fitting):
            for what, ways in contest(Path(name), store, vectors):
                _add(table, what, ways, rounds)
    _add(table, f"EER of {scores:,} scores", measuring(scores), rounds)
    console.print(table)


def reading(folder: Path, store: EmbeddingStore, vectors: Any) -> Iterator[tuple[str, Mapping[str, Contender]]]:
    """Yield ways to read all vectors into arrays, and to project each onto a direction."""
    ones_D = np.ones(vectors.shape[1], np.float32)
    ways: dict[str, Contender] = {"ours": lambda: float((store.vectors() @ ones_D).sum(dtype=np.float64))}
    if (table := lance(folder, vectors)) is not None:
        ways["lancedb"] = lambda: float((_array(table.to_arrow(), vectors.shape[1]) @ ones_D).sum(dtype=np.float64))
    if (kaldi := _installed("kaldi_native_io")) is not None:
        ark = folder / "vectors.ark"
        with kaldi.FloatVectorWriter(f"ark:{ark}") as writer:
            for number, vector in enumerate(vectors):
                writer.write(str(number), vector)

        def read() -> float:
            with kaldi.SequentialFloatVectorReader(f"ark:{ark}") as reader:
                return float(sum((np.asarray(vector) @ ones_D for _, vector in reader), np.float64(0)))

        ways["kaldi-native-io"] = read
    yield "read all", ways


def picking(folder: Path, store: EmbeddingStore, vectors: Any) -> Iterator[tuple[str, Mapping[str, Contender]]]:
    """Yield ways to read rows drawn at random from what is open."""
    places = np.sort(np.random.default_rng(0).choice(len(vectors), RANDOM_ROWS, replace=False))
    ways: dict[str, Contender] = {"ours": lambda: float(store.take(places).sum(dtype=np.float64))}
    if (table := lance(folder, vectors)) is not None:
        offsets = places.tolist()
        ways["lancedb"] = lambda: float(
            _array(table.take_offsets(offsets).to_arrow(), vectors.shape[1]).sum(dtype=np.float64)
        )
    yield f"{RANDOM_ROWS:,} random rows", ways


def fitting(folder: Path, store: EmbeddingStore, vectors: Any) -> Iterator[tuple[str, Mapping[str, Contender]]]:
    """Yield ways to learn a linear discriminant analysis; ours from the store, theirs from an array in memory."""
    speakers = np.array(store.rows(columns=["speaker_id"])["speaker_id"])
    chain = ENHANCERS["chain"].Config(chain=[{"lda": 128}])
    order = EnhancerOrder(store=store.path, model=folder / "lda", enhancer="chain", settings=chain, seed=0)

    def ours() -> float:
        with contextlib.redirect_stderr(io.StringIO()):
            train(order)
        return 128.0

    def theirs() -> float:
        fitted = LinearDiscriminantAnalysis(solver="eigen", n_components=128).fit(vectors, speakers)
        return float(fitted.scalings_[:, :128].shape[1])

    yield f"LDA to 128 of {len(set(speakers)):,} speakers", {"ours": ours, "scikit-learn": theirs}


def measuring(count: int) -> Mapping[str, Contender]:
    """Return ways to compute an EER in per cent."""
    draw = np.random.default_rng(0)
    targets, nontargets = draw.normal(2, 1, count // 10), draw.normal(0, 1, count - count // 10)
    labels = np.repeat([1, 0], [len(targets), len(nontargets)])
    scores = np.concatenate([targets, nontargets])

    def theirs() -> float:
        false_alarms, hits, _ = roc_curve(labels, scores, drop_intermediate=False)
        nearest = np.argmin(np.abs(false_alarms - (1 - hits)))
        return round(50 * float(false_alarms[nearest] + 1 - hits[nearest]), 1)

    return {"ours": lambda: round(100 * eer(targets, nontargets), 1), "scikit-learn": theirs}


def lance(folder: Path, vectors: Any) -> Any:
    """Return the vectors as a table of LanceDB; None where it is not installed."""
    library = _installed("lancedb")
    if library is None:
        return None
    ids = pa.array([f"{row // len(VIEWS):08d}" for row in range(len(vectors))])
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return library.connect(folder / "lance").create_table(
        "vectors", pa.table({"id": ids, "vector": column}), mode="overwrite"
    )


def _array(table: pa.Table, dim: int) -> Any:
    return table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, dim)


def _installed(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def _add(table: Table, what: str, ways: Mapping[str, Contender], rounds: int) -> None:
    seconds = take_turns(ways, rounds, time.process_time)
    for peer in list(ways)[1:]:
        ratio: Ratio = speed_ratio(seconds, "ours", peer)
        table.add_row(what, peer, importlib.metadata.version(peer), str(ratio))


if __name__ == "__main__":
    main()
