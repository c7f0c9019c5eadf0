"""The training loop against its own arithmetic: `python -m benchmarks.training`; see benchmarks/README.md."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import numpy as np
import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.measure import Ratio, Rounds, speed_ratio, take_turns
from reseed.stages.enhancers.base import TrainedEnhancer
from reseed.stages.enhancers.seed import Seed
from reseed.stages.enhancers.table import ENHANCERS, make_enhancer
from reseed.stages.sweep import SweepOrder, sweep
from reseed.stages.train import EnhancerOrder, train
from reseed.stages.training.cache.resident import ResidentPairs
from reseed.stages.training.loop import optimise
from reseed.store import Declaration, EmbeddingStore, finalise, write_shard
from reseed.store.inputs import DeclaredInputs

TARGET_RATIO = 1.10
TARGET_PAIRS_PER_S = 5e6
_VIEWS = ("clean", "music", "noise", "reverb")
console = Console(width=110)


@click.command()
@click.option("--dims", default="256,512", show_default=True, help="Embedding dimensions.")
@click.option("--enhancer", default="seed", show_default=True, help="Which enhancer of the table.")
@click.option("--batch", default=1024, show_default=True, help="Pairs per step.")
@click.option("--steps", default=10, show_default=True, help="Steps per turn.")
@click.option("--rounds", default=7, show_default=True, help="How often each way is timed.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--precision", default="float32", show_default=True, help="float32, bfloat16 or float16.")
@click.option("--compile", "compiled", is_flag=True, help="Compile the networks, on both sides.")
@click.option("--settings", default=0, show_default=True, help="Time a sweep of so many settings; 0: none.")
@click.option("--singles", default=0, show_default=True, help="Against so many single trainings (default: as many).")
def main(dims: str, settings: int, singles: int, **options: object) -> None:
    """Print step times of the loop and of its network alone, and the cost of a sweep in single trainings."""
    table = Table(title=f"{options['enhancer']}, {options['device']}, {torch.get_num_threads()} threads")
    for column in ("D", "loop, pairs/s", "network alone", "time, in units of it (quartiles)", "matmul rate"):
        table.add_column(column)
    for dim in map(int, dims.split(",")):
        table.add_row(str(dim), *_row(dim, **options))
    console.print(table)
    if settings:
        console.print(_sweep_line(settings, singles or settings, **options))


def _row(
    dim: int, enhancer: str, batch: int, steps: int, rounds: int, device: str, precision: str, compiled: bool
) -> list[str]:
    loop = _loop(dim, enhancer, batch, steps, device, precision, compiled)
    alone = _alone(dim, enhancer, batch, steps, device, precision, compiled)
    seconds = take_turns({"loop": _synchronised(loop, device), "alone": _synchronised(alone, device)}, rounds)
    pairs = batch * steps
    ratio = speed_ratio(seconds, "alone", "loop")  # the time of the loop in units of the network's
    missed = "" if ratio.median <= TARGET_RATIO else f" [red]MISS[/red], {TARGET_RATIO} is asked for"
    share = 6 * _weights(make_enhancer(enhancer, _config(enhancer), dim)) * pairs / median(seconds["loop"])
    return [
        f"{pairs / median(seconds['loop']):,.0f}",
        f"{pairs / median(seconds['alone']):,.0f}",
        f"{ratio}{missed}",
        f"{share / _matmul_rate(device, precision):.0%}",
    ]


def _loop(
    dim: int, enhancer: str, batch: int, steps: int, device: str, precision: str, compiled: bool
) -> Callable[[], float]:
    """One epoch of `reseed.stages.training.loop.optimise` over a cache on the device."""
    vectors_NVD = torch.randn(batch * steps // len(_VIEWS), len(_VIEWS), dim, device=device)
    config = _config(enhancer, epochs=1, batch=batch, precision=precision, compile=compiled)
    network = make_enhancer(enhancer, config, dim).to(device)
    network.fit([vectors_NVD], list(_VIEWS))
    pairs = ResidentPairs(vectors_NVD, clean_view=0, batch=batch, seed=0)

    def run() -> float:
        optimise(network, pairs, seed=0)
        return steps

    return run


def _alone(
    dim: int, enhancer: str, batch: int, steps: int, device: str, precision: str, compiled: bool
) -> Callable[[], float]:
    """The same network's forward, backward and optimiser on one batch that is there already; nothing is drawn."""
    whole = make_enhancer(enhancer, _config(enhancer), dim).to(device)
    network: nn.Module = whole.network
    optimiser = torch.optim.AdamW(network.parameters(), 5e-4, fused=True)
    x_BD, target_BD = torch.randn(2, batch, dim, device=device)
    inputs = (x_BD, torch.randint(1000, (batch,), device=device)) if isinstance(whole, Seed) else (x_BD,)
    dtype = getattr(torch, precision)
    if compiled:
        network.compile(dynamic=False)

    def step() -> Tensor:
        with torch.autocast(torch.device(device).type, dtype, enabled=dtype is not torch.float32):
            loss = nn.functional.l1_loss(network(*inputs), target_BD)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    def run() -> float:
        for _ in range(steps):
            step()
        return steps

    return run


def _sweep_line(
    settings: int,
    singles: int,
    enhancer: str,
    batch: int,
    steps: int,
    rounds: int,
    device: str,
    precision: str,
    compiled: bool,
) -> str:
    """Time `sweep` from the store to the last file against `train` less its start-up and loading: its loop alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = _store(folder / "store", utterances=batch * steps // len(_VIEWS))
        config = _config(enhancer, epochs=3, batch=batch, precision=precision, compile=compiled, held_out=0.1)
        vary = {"lr": [1e-4 * 1.2**place for place in range(settings)]}
        given = {"store": store, "enhancer": enhancer, "settings": config, "device": device}
        sweep_s, single_s = [], []
        for number in range(1 + max(1, rounds // 3)):
            start_s = time.perf_counter()
            sweep(SweepOrder(**given, sweep=folder / f"sweep-{number}", vary=vary, seed=0))
            middle_s = time.perf_counter()
            seconds = [_single(given, folder / "model") for _ in range(singles)]
            sweep_s.append(middle_s - start_s)
            single_s.append(sum(seconds))
    sweep_s, single_s = sweep_s[1:], single_s[1:]  # the first round warms caches and clocks
    ratios = [ours / theirs for ours, theirs in zip(sweep_s, single_s, strict=True)]
    return (
        f"sweep of {settings} settings: {median(sweep_s):.1f} s; the loops alone of {singles} single trainings: "
        f"{median(single_s):.1f} s; {Ratio(median(ratios), min(ratios), max(ratios))} of them"
    )


def _single(given: dict, model: Path) -> float:
    """Train once and return the seconds in the loop alone, as its own log counts them."""
    train(EnhancerOrder(**given, model=model, seed=0))
    rows = [json.loads(line) for line in (model / "train.jsonl").read_text().splitlines()]
    pairs = round(0.9 * _pairs_of(given["store"]))
    return sum(pairs / row["pairs_per_s"] for row in rows)


def _pairs_of(store: Path) -> int:
    return len(EmbeddingStore(store))


def _store(path: Path, utterances: int, dim: int = 256) -> Path:
    rng = np.random.default_rng(0)
    centre_UVD = rng.normal(size=(utterances, 1, dim)) + 0.5 * rng.normal(size=(utterances, len(_VIEWS), dim))
    rows = [
        {"utterance_id": f"utt-{u:06d}", "speaker_id": None, "view": view, "crop": 0}
        for u in range(utterances)
        for view in _VIEWS
    ]
    schema = pa.schema(
        [("utterance_id", pa.string()), ("speaker_id", pa.string()), ("view", pa.string()), ("crop", pa.int64())]
    )
    declaration = Declaration(
        dim, "float32", {view: {"kind": view} for view in _VIEWS}, 1, "made:0", DeclaredInputs(further={"made": 0})
    )
    vectors_MD = centre_UVD.reshape(-1, dim).astype(np.float32)
    name = write_shard(path, 0, vectors_MD, pa.Table.from_pylist(rows, schema=schema), declaration)
    finalise(path, declaration, [name], utterances, [])
    return path


def _config(enhancer: str, **settings: object) -> object:
    return ENHANCERS[enhancer].Config.model_validate(settings)


def _weights(network: TrainedEnhancer) -> int:
    """Count the weights of linear layers: each costs two operations forward and four backward per pair."""
    return sum(module.weight.numel() for module in network.modules() if isinstance(module, nn.Linear))


def _matmul_rate(device: str, precision: str, size: int | None = None) -> float:
    """Return operations per second of one large matrix product on the device, in the precision of the training."""
    size = size or (8192 if device == "cuda" else 1536)
    a, b = torch.randn(2, size, size, device=device, dtype=getattr(torch, precision))
    run = _synchronised(lambda: float((a @ b).shape[0]), device)
    seconds: Rounds = take_turns({"matmul": run}, 5)
    return 2 * size**3 / min(seconds["matmul"])


def _synchronised(run: Callable[[], float], device: str) -> Callable[[], float]:
    def whole() -> float:
        answer = run()
        if device == "cuda":
            torch.cuda.synchronize()
        return answer

    return whole


if __name__ == "__main__":
    main()
