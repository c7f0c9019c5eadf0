"""The loop: AdamW over batches of cached pairs, with what published recipes add to it; every part is a setting."""

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from reseed.stages.training.cache.reader import BatchReader
from reseed.stages.training.checkpoint import Checkpoint, State
from reseed.stages.training.record import Row, told
from reseed.stages.training.settings import TrainingSettings
from reseed.stages.training.team import ALONE, Team
from reseed.store import ModelError


class Judge(Protocol):
    """What a network under training is judged by."""

    def eer(self, network: Any) -> float:
        """Return an EER, a fraction."""


def optimise(
    network: Any,
    pairs: BatchReader[Any],
    seed: int,
    *,
    held_out: Judge | None = None,
    checkpoint: Checkpoint | None = None,
    tensorboard: Path | None = None,
    team: Team = ALONE,
) -> list[Row]:
    """Minimise a network's loss over all batches, in place, by AdamW, as its settings say.

    Left in `network` are the weights after the last epoch, or those of the epoch with the lowest EER where some
    utterances are held out; with `ema`, the average of the weights in place of the weights.

    Args:
        network: a module with `config`, a TrainingSettings, and `loss(batch, generator)`.
        pairs: the batches, on the device of the network.
        seed: seeds everything random in the loss; the global generators are put back as they were.
        held_out: judged after every epoch.
        checkpoint: gone on from if it is there, and kept up to date.
        tensorboard: a folder for TensorBoard's files.
        team: the processes that train this network together, each with its share of every batch.

    Returns:
        One row per epoch: epoch, step, loss (mean over its pairs), pairs_per_s, lr, and validation_eer if judged.

    Raises:
        ModelError: the loss of an epoch is not finite.
    """
    with torch.random.fork_rng(_cuda_indices(pairs.device)):
        torch.manual_seed(seed + team.rank)
        training = Training(network, pairs, seed, held_out, checkpoint, team)
        if checkpoint is not None and (state := checkpoint.load()) is not None:
            training.load_state_dict(state)
        with told(network.config.epochs, tensorboard) if team.leads else _silence() as tell:
            while not training.ended:
                tell(training.run_epoch())
        training.settle()
    return training.history


def lr_factor(settings: TrainingSettings, steps: int, step: int) -> float:
    """Return the share of `lr` at a step in 0..steps-1: a straight rise over the warm-up, then the schedule."""
    warm = min(settings.warmup_steps, steps - 1)
    if step < warm:
        return (step + 1) / (warm + 1)
    if settings.schedule == "constant":
        return 1.0
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (steps - warm))


class LossOf(nn.Module):
    """A network's loss as a module's forward: what can be shared out and stacked."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Any, generator: torch.Generator) -> Tensor:
        """Return the scalar loss."""
        return self.network.loss(batch, generator)


class Training:
    """A training under way: all of its state, and how an epoch changes it."""

    def __init__(
        self,
        network: Any,
        pairs: BatchReader[Any],
        seed: int,
        held_out: Judge | None,
        checkpoint: Checkpoint | None,
        team: Team,
    ) -> None:
        settings = network.config
        self.network, self.pairs, self.settings = network, pairs, settings
        self.held_out, self.checkpoint, self.team = held_out, checkpoint, team
        self.average = copy.deepcopy(network).requires_grad_(False) if settings.ema else None
        self.history: list[Row] = []
        self.best: State | None = None
        self.total = torch.zeros((), device=pairs.device)  # read once per epoch: each read stalls a GPU
        self.generator = torch.Generator(pairs.device).manual_seed(seed + team.rank)
        self._parameters = list(network.parameters())
        self._optimiser = torch.optim.AdamW(
            self._parameters, settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        self._scaler = torch.amp.GradScaler(pairs.device.type, enabled=settings.precision == "float16")
        self._dtype = getattr(torch, settings.precision)
        self._loss = _prepared(network, settings, team)
        self._steps = settings.epochs * pairs.batches_per_epoch
        pairs.epoch, pairs.position = 1, 0

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or none of the last `patience` was the best."""
        epochs = len(self.history)
        waited = epochs - self.best["epoch"] if self.best is not None else 0
        return epochs >= self.settings.epochs or (
            self.settings.patience is not None and waited >= self.settings.patience
        )

    @property
    def kept(self) -> Any:
        """The network whose weights are kept: the average, or the trained one itself."""
        return self.network if self.average is None else self.average

    def run_epoch(self) -> Row:
        """Go through the rest of the current epoch, and judge it.

        Raises:
            ModelError: its mean loss is not finite.
        """
        epoch, start = self.pairs.epoch, self.pairs.position
        started_s = time.perf_counter()
        step = (epoch - 1) * self.pairs.batches_per_epoch + start
        for pairs in self.pairs.batches(epoch, start):
            self._step(pairs, step)
            step += 1
            if self.team.size == 1 and self.pairs.position:
                self._save_if_due([self._random_state()])
        loss = sum(self.team.gathered(self.total.item())) / self.pairs.rows_per_epoch
        left = self.pairs.rows_per_epoch - start * self.pairs.batch
        rows_per_s = round(left / (time.perf_counter() - started_s))
        if not math.isfinite(loss):
            raise ModelError(f"training diverged in epoch {epoch} (loss {loss}); lower lr, which is {self.settings.lr}")
        lr = self.settings.lr * lr_factor(self.settings, self._steps, step - self.pairs.batches_per_epoch)
        row: Row = {"epoch": epoch, "step": step, "loss": loss, f"{self.pairs.unit}_per_s": rows_per_s, "lr": lr}
        if self.held_out is not None:
            row["validation_eer"] = self._judge(epoch)
        self.total.zero_()
        self.history.append(row)
        self._save_if_due(self.team.gathered(self._random_state()))
        return row

    def settle(self) -> None:
        """Put the weights that are kept into the network."""
        self.network.load_state_dict(self.kept.state_dict() if self.best is None else self.best["weights"])

    def state_dict(self, random_states: list[list[Tensor]]) -> State:
        """Return everything that the rest of the training depends on."""
        return {
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "random": random_states,
            "place": self.pairs.state_dict(),
            "total": self.total,
            "history": self.history,
            "best": self.best,
        }

    def load_state_dict(self, state: State) -> None:
        """Take up what `state_dict` returned."""
        self.pairs.load_state_dict(state["place"])  # first: it says in words what else would be a shape
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        own, everywhere, *on_gpu = state["random"][self.team.rank]
        self.generator.set_state(own)
        torch.set_rng_state(everywhere)
        for there in on_gpu:
            torch.cuda.set_rng_state(there, self.pairs.device)
        self.total.copy_(state["total"])
        self.history, self.best = state["history"], state["best"]

    def _step(self, pairs: Any, step: int) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.lr * lr_factor(self.settings, self._steps, step)
        mine, rows = self.team.share(pairs)
        with torch.autocast(self.pairs.device.type, self._dtype, enabled=self._dtype is not torch.float32):
            loss = self._loss(mine, self.generator)
        self._optimiser.zero_grad()
        # The gradients of a team are averaged: a share of another size than the mean must weigh accordingly.
        weighed = loss * (rows * self.team.size / len(pairs)) if self.team.size > 1 else loss
        self._scaler.scale(weighed).backward()
        if self.settings.grad_clip is not None:
            self._scaler.unscale_(self._optimiser)  # else the bound would be on the scaled gradients
            nn.utils.clip_grad_norm_(self._parameters, self.settings.grad_clip)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        if self.average is not None:
            average = list(self.average.parameters())
            get_ema_multi_avg_fn(self.settings.ema)(average, self._parameters, 0)
            for kept, current in zip(self.average.buffers(), self.network.buffers(), strict=True):
                kept.copy_(current)  # statistics of normalisations are averages already
        self.total += loss.detach() * rows

    def _judge(self, epoch: int) -> float:
        eer = self.team.agreed(self.held_out.eer(self.kept) if self.team.leads else None)
        if self.best is None or eer <= self.best["eer"]:  # of equals the later: its loss is lower
            weights = {name: tensor.detach().clone() for name, tensor in self.kept.state_dict().items()}
            self.best = {"epoch": epoch, "eer": eer, "weights": weights}
        return eer

    def _save_if_due(self, random_states: list[list[Tensor]]) -> None:
        if self.checkpoint is not None and self.team.leads and self.checkpoint.due:
            self.checkpoint.save(self.state_dict(random_states))

    def _random_state(self) -> list[Tensor]:
        on_gpu = [torch.cuda.get_rng_state(self.pairs.device)] if self.pairs.device.type == "cuda" else []
        return [self.generator.get_state(), torch.get_rng_state(), *on_gpu]


def _prepared(network: Any, settings: TrainingSettings, team: Team) -> Any:
    if settings.compile:
        for child in network.children():
            child.compile(dynamic=False)
    loss = LossOf(network)
    return DistributedDataParallel(loss, broadcast_buffers=False) if team.size > 1 else loss


def _cuda_indices(device: torch.device) -> list[int]:
    return [device.index or 0] if device.type == "cuda" else []


@contextmanager
def _silence() -> Iterator[Any]:
    yield lambda row: None
