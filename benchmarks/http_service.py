"""examples/service.py over HTTP, against its answer without work: `python -m benchmarks.http_service`.

Shapes: D embedding dimension, M vectors of a request.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.generated import parts, random_vectors, write_store
from benchmarks.measure import ROOT, Rounds, speed_ratio
from reseed import EmbeddingStore, VectorEnhancer
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.train import EnhancerOrder, train

_DIM, _TRAINED_ON = 256, 30_000
_SERVE = """
import socket, sys, uvicorn
sys.path.insert(0, sys.argv[1])
import service
# not by `fd`, of which uvicorn makes a socket that waits 40 ms for acknowledgements
settings = uvicorn.Config(service.app, log_level="warning", timeout_keep_alive=600)  # while others have their turn
uvicorn.Server(settings).run([socket.socket(fileno=int(sys.argv[2]))])
"""


@click.command()
@click.option("--sizes", default="1,64", show_default=True, help="Vectors of a request.")
@click.option("--calls", default=60, show_default=True, help="Requests at each turn.")
@click.option("--rounds", default=7, show_default=True, help="How often each way is timed.")
def main(sizes: str, calls: int, rounds: int) -> None:
    """Print what a request takes beside one for /model, the enhancement alone, and what JSON would add."""
    table = Table(
        "vectors",
        "ms: median, p99",
        "times the speed of /model",
        "enhancement alone, ms",
        "JSON of both ways alone, ms",
    )
    with tempfile.TemporaryDirectory() as folder:
        model = _trained(Path(folder))
        enhancer = VectorEnhancer.load(model)
        with _serving(model) as connection:
            for size in map(int, sizes.split(",")):
                table.add_row(f"{size}", *_measured(connection, enhancer, size, calls, rounds))
    Console(width=120).print(table)


def _trained(folder: Path) -> Path:
    write_store(folder / "store", parts(random_vectors(_TRAINED_ON, _DIM, seed=0), 1), "hdf5")
    store, settings = EmbeddingStore(folder / "store"), ENHANCERS["vire"].Config()
    train(EnhancerOrder(store=store.path, model=folder / "vire", enhancer="vire", settings=settings, seed=0))
    return folder / "vire"


@contextmanager
def _serving(model: Path) -> Iterator[http.client.HTTPConnection]:
    """Yield one connection, kept alive, to the service in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address, number = listening.getsockname(), listening.fileno()
        command = [sys.executable, "-c", _SERVE, str(ROOT / "examples"), str(number)]
        service = subprocess.Popen(command, env=os.environ | {"RESEED_MODEL": str(model)}, pass_fds=[number])
    try:
        with closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
            yield connection
    finally:
        service.terminate()
        service.wait()


def _measured(
    connection: http.client.HTTPConnection, enhancer: VectorEnhancer, size: int, calls: int, rounds: int
) -> list[str]:
    vectors_MD = random_vectors(size, _DIM, seed=1)
    body, path = vectors_MD.astype("<f4").tobytes(), f"/enhance?space={enhancer.space}"

    def ask(method: str, path: str, sent: bytes) -> None:
        connection.request(method, path, sent)
        answer = connection.getresponse()
        assert answer.read()
        assert answer.status == 200

    as_json = json.dumps(vectors_MD.tolist())
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: ask("POST", path, body),
        "empty": lambda: ask("GET", "/model", b""),
        "alone": lambda: enhancer.enhance(vectors_MD),
        "json": lambda: json.dumps(np.array(json.loads(as_json), np.float32).tolist()),
    }
    times_ms: dict[str, list[float]] = {name: [] for name in ways}
    seconds: Rounds = {name: [] for name in ways}
    for number in range(rounds):
        names = [*ways]
        for name in names[number % len(names) :] + names[: number % len(names)]:
            took = [_timed_ms(ways[name]) for _ in range(calls)][calls // 10 :]
            times_ms[name] += took
            seconds[name].append(median(took))
    figures = f"{median(times_ms['ours']):.2f}, {np.percentile(times_ms['ours'], 99):.1f}"
    empty = f"{speed_ratio(seconds, 'ours', 'empty')} of {median(times_ms['empty']):.2f}"
    return [figures, empty, *(f"{median(times_ms[name]):.3f}" for name in ("alone", "json"))]


def _timed_ms(way: Callable[[], object]) -> float:
    start_ns = time.perf_counter_ns()
    way()
    return (time.perf_counter_ns() - start_ns) / 1e6


if __name__ == "__main__":
    main()
