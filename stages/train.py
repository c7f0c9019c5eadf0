"""`reseed train`: fit an enhancer on the cached vectors of one store. No audio is opened."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from stages.cache import PairReader, open_pairs
from stages.enhancers import TrainedEnhancer, TrainingSettings, make_enhancer
from stages.model import ModelInfo, check_replaceable, save_model, torch_device
from stages.section import Section
from store import EmbeddingStore, ModelError, StoreError

CLEAN_VIEW = "clean"

Row = dict[str, float]
_LOG_LINES = 10


def train(
    *,
    store: Path,
    model: Path,
    enhancer: str,
    settings: Section,
    seed: int,
    device: str = "cpu",
    resident_limit_bytes: int | None = None,
) -> None:
    """Train an enhancer on a store and write the model directory.

    Every vector is paired with the clean view of its own crop, the clean one with itself, as SEED does. The whole
    cache lies on the device where it fits, else it is streamed from disk in another order. On the CPU the same store,
    settings, seed, number of threads and side of the limit give the same weights.

    Args:
        store: directory of the store to train on; needs the view "clean" and another one.
        model: directory to write; an older model there is replaced.
        enhancer: a name in the table `stages.enhancers.ENHANCERS`.
        settings: that enhancer's `Config`.
        seed: seeds the initial weights and everything random in training.
        device: torch device, e.g. "cpu" or "cuda".
        resident_limit_bytes: a cache larger than this, as float32, is streamed; None for half of the device's free
            memory.

    Raises:
        ConfigError: no such enhancer or device, or settings of another enhancer.
        StoreError: a store that cannot be trained on.
        ModelError: training diverged, or `model` is something other than a model.
    """
    source = EmbeddingStore(store)
    check_trainable(source)
    check_replaceable(model)
    network = make_enhancer(enhancer, settings, source.dim, seed).to(torch_device(device))
    pairs = open_pairs(
        source,
        batch=settings.batch if isinstance(settings, TrainingSettings) else 1,  # a closed form reads no batches
        seed=seed,
        device=device,
        clean_view=CLEAN_VIEW,
        resident_limit_bytes=resident_limit_bytes,
    )
    _log(f"train {enhancer} on {store}, {pairs.kind}: {_coverage(source)}, {pairs.pairs_per_epoch} pairs")
    network.fit(pairs.blocks(), source.views)
    history = optimise(network, pairs, seed) if isinstance(network, TrainedEnhancer) else []
    save_model(model, network, _describe(source, enhancer, settings, seed), history)


def check_trainable(source: EmbeddingStore) -> None:
    """Check that a store has what training needs.

    Raises:
        StoreError: fewer than two utterances, no view "clean", or no other view.
    """
    views = ", ".join(source.views)
    if CLEAN_VIEW not in source.views:
        raise StoreError(f"{source.path} has no view {CLEAN_VIEW!r} to train towards, only {views}; extract with it")
    if len(source.views) < 2:
        raise StoreError(f"{source.path} has the view {views} alone; extract it with a noisy view too")
    if source.header.stored < 2:
        raise StoreError(f"{source.path}: {_coverage(source)}, training needs 2 or more; see its rejects.parquet")


def optimise(network: TrainedEnhancer, pairs: PairReader, seed: int) -> list[Row]:
    """Minimise the enhancer's loss over all pairs, in place, by AdamW.

    Args:
        pairs: on the device of the network.
        seed: seeds everything random in the loss.

    Returns:
        One row per epoch: epoch, step, loss (mean over its pairs), pairs_per_s, lr.

    Raises:
        ModelError: the loss of an epoch is not finite.
    """
    settings = network.config
    steps_per_epoch = pairs.batches_per_epoch
    generator = torch.Generator(pairs.device).manual_seed(seed)
    optimiser = torch.optim.AdamW(network.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True)
    scheduler = LambdaLR(optimiser, _lr_factor(settings, settings.epochs * steps_per_epoch))
    history: list[Row] = []
    with _progress(settings.epochs) as report:
        for epoch in range(1, settings.epochs + 1):
            lr, started = float(scheduler.get_last_lr()[0]), time.perf_counter()
            loss = _run_epoch(network, pairs, epoch, optimiser, scheduler, generator)
            pairs_per_s = round(pairs.pairs_per_epoch / (time.perf_counter() - started))
            if not math.isfinite(loss):
                raise ModelError(f"training diverged in epoch {epoch} (loss {loss}); lower lr, which is {settings.lr}")
            step = epoch * steps_per_epoch
            history.append({"epoch": epoch, "step": step, "loss": loss, "pairs_per_s": pairs_per_s, "lr": lr})
            report(history[-1])
    return history


def _run_epoch(
    network: TrainedEnhancer,
    pairs: PairReader,
    epoch: int,
    optimiser: torch.optim.Optimizer,
    scheduler: LRScheduler,
    generator: torch.Generator,
) -> float:
    total = torch.zeros((), device=pairs.device)  # read once per epoch: each read stalls a GPU
    for batch in pairs.batches(epoch):
        loss = network.loss(batch, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        scheduler.step()
        total += loss.detach() * len(batch.noisy_BD)
    return total.item() / pairs.pairs_per_epoch


def _lr_factor(settings: TrainingSettings, steps: int) -> Callable[[int], float]:
    if settings.schedule == "constant":
        return lambda step: 1.0
    return lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps)


def _describe(source: EmbeddingStore, enhancer: str, settings: Section, seed: int) -> ModelInfo:
    return ModelInfo(
        enhancer=enhancer,
        config=settings.model_dump(mode="json"),
        dim=source.dim,
        space=source.space,
        store_fingerprint=source.fingerprint,
        store_path=str(source.path),
        views=source.views,
        utterances=source.header.stored,
        seed=seed,
    )


def _coverage(source: EmbeddingStore) -> str:
    return f"{source.header.stored} of {source.header.expected} utterances stored, {source.header.rejected} rejected"


@contextmanager
def _progress(epochs: int) -> Iterator[Callable[[Row], None]]:
    """Yield a function that shows a row of the history: on a bar in a terminal, else as a few lines."""
    if not sys.stderr.isatty():
        every = max(1, epochs // _LOG_LINES)
        yield lambda row: _log(_line(row, epochs)) if row["epoch"] % every == 0 or row["epoch"] == epochs else None
        return
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=epochs)
        yield lambda row: progress.update(task, advance=1, description=_line(row, epochs))


def _line(row: Row, epochs: int) -> str:
    return f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.4f}, {row['pairs_per_s']:,} pairs/s"


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
