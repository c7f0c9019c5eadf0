"""`reseed train`: fit an enhancer on the cached vectors of one store. No audio is opened.

Shapes: B batch, D embedding dimension, M rows (N x V), N utterances x crops, V views.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from stages.enhancers import Pairs, TrainedEnhancer, TrainingSettings, make_enhancer
from stages.model import ModelInfo, check_replaceable, save_model, torch_device
from stages.section import Section
from store import EmbeddingStore, ModelError, StoreError

CLEAN_VIEW = "clean"

Row = dict[str, float]
_LOG_LINES = 10


def train(*, store: Path, model: Path, enhancer: str, settings: Section, seed: int, device: str = "cpu") -> None:
    """Train an enhancer on a store and write the model directory.

    Every vector is paired with the clean view of its own crop, the clean one with itself, as SEED does. The whole
    cache lies on the device, so that an epoch is one permutation of row numbers. On the CPU the same store,
    settings, seed and number of threads give the same weights.

    Args:
        store: directory of the store to train on; needs the view "clean" and another one.
        model: directory to write; an older model there is replaced.
        enhancer: a name in the table `stages.enhancers.ENHANCERS`.
        settings: that enhancer's `Config`.
        seed: seeds the initial weights and everything random in training.
        device: torch device, e.g. "cpu" or "cuda".

    Raises:
        ConfigError: no such enhancer or device, or settings of another enhancer.
        StoreError: a store that cannot be trained on.
        ModelError: training diverged, or `model` is something other than a model.
    """
    source = EmbeddingStore(store)
    check_trainable(source)
    check_replaceable(model)
    network = make_enhancer(enhancer, settings, source.dim, seed).to(torch_device(device))
    vectors_NVD = load_vectors(source).to(device)
    _log(f"train {enhancer} on {store}: {_coverage(source)}, {len(source)} pairs")
    network.fit(vectors_NVD, source.views)
    history: list[Row] = []
    if isinstance(network, TrainedEnhancer):
        history = optimise(network, vectors_NVD, source.views.index(CLEAN_VIEW), seed)
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


def load_vectors(source: EmbeddingStore) -> Tensor:
    """Return all vectors of a store, float32 [N, V, D] on the CPU.

    Raises:
        StoreError: a vector is not finite; names the first such utterance.
    """
    n_crops = len(source) // len(source.views)
    vectors_NVD = torch.empty(n_crops, len(source.views), source.dim)
    filled = 0
    for shard, block_NVD in zip(source.shards, source.blocks(), strict=True):
        target = vectors_NVD[filled : filled + len(block_NVD)].numpy()
        np.copyto(target, block_NVD)
        _check_finite(source, shard.index, target)
        filled += len(block_NVD)
    return vectors_NVD


def optimise(network: TrainedEnhancer, vectors_NVD: Tensor, clean_view: int, seed: int) -> list[Row]:
    """Minimise the enhancer's loss over all pairs, in place, by AdamW.

    Args:
        clean_view: index of the clean view among V.

    Returns:
        One row per epoch: epoch, step, loss (mean over its pairs), pairs_per_s, lr.

    Raises:
        ModelError: the loss of an epoch is not finite.
    """
    settings = network.config
    n_pairs = vectors_NVD.shape[:2].numel()
    steps_per_epoch = math.ceil(n_pairs / settings.batch)
    generator = torch.Generator(device=vectors_NVD.device).manual_seed(seed)
    optimiser = torch.optim.AdamW(network.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True)
    scheduler = LambdaLR(optimiser, _lr_factor(settings, settings.epochs * steps_per_epoch))
    history: list[Row] = []
    with _progress(settings.epochs) as report:
        for epoch in range(1, settings.epochs + 1):
            lr, started = float(scheduler.get_last_lr()[0]), time.perf_counter()
            loss = _run_epoch(network, vectors_NVD, clean_view, optimiser, scheduler, generator)
            pairs_per_s = round(n_pairs / (time.perf_counter() - started))
            if not math.isfinite(loss):
                raise ModelError(f"training diverged in epoch {epoch} (loss {loss}); lower lr, which is {settings.lr}")
            step = epoch * steps_per_epoch
            history.append({"epoch": epoch, "step": step, "loss": loss, "pairs_per_s": pairs_per_s, "lr": lr})
            report(history[-1])
    return history


def pairs_at(vectors_NVD: Tensor, clean_view: int, index_B: Tensor) -> Pairs:
    """Return rows `index_B` of the cache, taken as [M, D], each beside the clean view of its crop."""
    rows_MD = vectors_NVD.flatten(0, 1)
    first_view_B = index_B - index_B % vectors_NVD.shape[1]
    return Pairs(clean_BD=rows_MD[first_view_B + clean_view], noisy_BD=rows_MD[index_B])


def _run_epoch(
    network: TrainedEnhancer,
    vectors_NVD: Tensor,
    clean_view: int,
    optimiser: torch.optim.Optimizer,
    scheduler: LRScheduler,
    generator: torch.Generator,
) -> float:
    n_pairs = vectors_NVD.shape[:2].numel()
    order_M = torch.randperm(n_pairs, generator=generator, device=vectors_NVD.device)
    total = torch.zeros((), device=vectors_NVD.device)  # read once per epoch: each read stalls a GPU
    for index_B in order_M.split(network.config.batch):
        loss = network.loss(pairs_at(vectors_NVD, clean_view, index_B), generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        scheduler.step()
        total += loss.detach() * len(index_B)
    return total.item() / n_pairs


def _lr_factor(settings: TrainingSettings, steps: int) -> Callable[[int], float]:
    if settings.schedule == "constant":
        return lambda step: 1.0
    return lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps)


def _check_finite(source: EmbeddingStore, shard_index: int, block_NVD: np.ndarray) -> None:
    bad_M = ~np.isfinite(block_NVD).all(axis=-1).ravel()
    if bad_M.any():
        row = source.shard_rows(shard_index, ["utterance_id", "view"]).slice(int(bad_M.argmax()), 1).to_pylist()[0]
        raise StoreError(
            f"{source.path}, shard {shard_index}: {bad_M.sum()} vectors are not finite, first utterance "
            f"{row['utterance_id']!r}, view {row['view']!r}; run `reseed verify`, then extract the shard again"
        )


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
