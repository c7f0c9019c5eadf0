"""Enhancement in a service against its arithmetic, ONNX Runtime and torch: `python -m benchmarks.service`.

Shapes: D embedding dimension, K dimensions of what comes out, M rows.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import click
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.generated import parts, random_vectors, write_store
from benchmarks.measure import Rounds, speed_ratio, take_turns
from reseed import Enhancer, VectorEnhancer
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.export_model import export_model
from reseed.stages.train import EnhancerOrder, train

MODELS: dict[str, dict[str, object]] = {
    "centre": {},
    "vire": {},
    "chain": {"chain": ["centre", {"lda": 128}, "length_norm"]},
}
_TRAINED_ON = 30_000  # rows: 150 speakers
_START = """
import time
from reseed import {kind}
{kind}.load({model!r}).enhance([1.0] * {dim})
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.process_time(), int(peak) / 1e3)
"""
console = Console(width=160)

Floats = NDArray[np.float32]
Map = Callable[[Floats], object]


@click.command()
@click.option("--dims", default="256,512", show_default=True, help="Embedding dimensions.")
@click.option("--rows", default=50_000, show_default=True, help="Rows of a batch.")
@click.option("--calls", default=2000, show_default=True, help="Single vectors at each turn.")
@click.option("--rounds", default=7, show_default=True, help="How often each way is timed.")
def main(dims: str, rows: int, calls: int, rounds: int) -> None:
    """Print times of single vectors and of a batch beside their limits, and what it takes to start."""
    for dim in map(int, dims.split(",")):
        for table in _tables(dim, rows, calls, rounds):
            console.print(table)


def _tables(dim: int, rows: int, calls: int, rounds: int) -> list[Table]:
    peers = ("arithmetic alone", "ONNX Runtime", "torch")
    single = Table(f"one vector, D = {dim}", "us: median, p99", *peers, title="times the speed of")
    batch = Table(f"{rows:,} vectors, D = {dim}", "GB a CPU second", *peers, "copy", title="times the speed of")
    start = Table("a fresh process, to the first vector", "VectorEnhancer", "Enhancer", title="CPU time, peak memory")
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            model = _trained(Path(folder), name, dim)
            ways = _ways(model, dim)
            single.add_row(name, *_single(ways, dim, calls, rounds))
            batch.add_row(name, *_batch(ways, rows, dim, rounds))
        start.add_row(name, *(_started(kind, model, dim) for kind in ("VectorEnhancer", "Enhancer")))
    return [single, batch, start]


def _trained(folder: Path, name: str, dim: int) -> Path:
    store, model = folder / "store", folder / name
    if not store.exists():
        write_store(store, parts(random_vectors(_TRAINED_ON, dim, seed=0), 1), "hdf5")
    settings = ENHANCERS[name].Config.model_validate(MODELS[name])
    train(EnhancerOrder(store=store, model=model, enhancer=name, settings=settings, seed=0))
    export_model(model=model, output=folder / f"{name}.onnx")
    return model


def _ways(model: Path, dim: int) -> dict[str, Map]:
    """Return ways from [D] or [M, D] to enhanced vectors, all of one thread where OMP_NUM_THREADS says so."""
    ours = VectorEnhancer.load(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(f"{model}.onnx", options, providers=["CPUExecutionProvider"])
    matrix_DK = None if model.name == "centre" else random_vectors(dim, ours.dim_out, seed=1)

    def arithmetic(x: Floats) -> object:
        y = x if matrix_DK is None else x @ matrix_DK
        return y / np.sqrt(np.vecdot(y, y))[..., None]

    return {
        "ours": ours.enhance,
        "arithmetic": arithmetic,
        "onnx": lambda x: session.run(None, {"embedding": x if x.ndim == 2 else x[None]}),
        "torch": Enhancer.load(model).enhance,
        "copy": np.copy,
    }


def _single(ways: Mapping[str, Map], dim: int, calls: int, rounds: int) -> list[str]:
    vectors_MD = [*random_vectors(calls, dim, seed=2)]
    times_us: dict[str, list[float]] = {name: [] for name in ways if name != "copy"}
    seconds: Rounds = {name: [] for name in times_us}
    for number in range(rounds):
        names = [*times_us]
        for name in names[number % len(names) :] + names[: number % len(names)]:
            took = _timed(ways[name], vectors_MD)
            times_us[name] += took
            seconds[name].append(median(took))
    ours, others = times_us["ours"], ("arithmetic", "onnx", "torch")
    figures = f"{median(ours):.1f}, {np.percentile(ours, 99):.1f}"
    return [figures, *(f"{speed_ratio(seconds, 'ours', peer)} of {median(times_us[peer]):.1f}" for peer in others)]


def _timed(way: Map, vectors_MD: list[Floats]) -> list[float]:
    """Return microseconds of each call, the first tenth left out."""
    times_us = []
    for vector_D in vectors_MD:
        start_ns = time.perf_counter_ns()
        way(vector_D)
        times_us.append((time.perf_counter_ns() - start_ns) / 1e3)
    return times_us[len(times_us) // 10 :]


def _batch(ways: Mapping[str, Map], rows: int, dim: int, rounds: int) -> list[str]:
    vectors_MD = random_vectors(rows, dim, seed=3)

    def contender(way: Map) -> Callable[[], float]:
        def run() -> float:
            way(vectors_MD)
            return 0.0

        return run

    seconds = take_turns({name: contender(way) for name, way in ways.items()}, rounds, time.process_time)
    rate = {name: vectors_MD.nbytes / 1e9 / median(taken) for name, taken in seconds.items()}
    others = ("arithmetic", "onnx", "torch", "copy")
    return [f"{rate['ours']:.2f}", *(f"{speed_ratio(seconds, 'ours', peer)} of {rate[peer]:.2f}" for peer in others)]


def _started(kind: str, model: Path, dim: int) -> str:
    script = _START.format(kind=kind, model=str(model), dim=dim)
    printed = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(3)
    ]
    seconds, peaks_mb = (median(map(float, column)) for column in zip(*printed, strict=True))
    return f"{seconds:.2f} s, {peaks_mb:.0f} MB"


if __name__ == "__main__":
    main()
