"""The loop: AdamW over batches, with what published recipes add to it; every part is a setting."""

import copy
import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from reseed.stages.training.cache.reader import Batch, BatchReader
from reseed.stages.training.checkpoint import State, TrainingCheckpoint
from reseed.stages.training.folder import Epoch
from reseed.stages.training.process_group import ONE_PROCESS, ProcessGroup
from reseed.stages.training.progress import progress
from reseed.stages.training.settings import TrainingSettings
from reseed.store import ModelError


class Trainable(nn.Module, Generic[Batch]):
    """A network as the loop trains it."""

    config: TrainingSettings

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the scalar training loss of a batch.

        Args:
            generator: the only source of randomness; on the device of the batch.
        """
        raise NotImplementedError

    def lr_factors(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return all parameters in groups, with what each group multiplies the learning rate by."""
        return [(list(self.parameters()), 1.0)]


Network = TypeVar("Network", bound=Trainable[Any])
Validated = TypeVar("Validated", contravariant=True)


class Validation(Protocol[Validated]):
    """What says after an epoch how good a network is."""

    def eer(self, network: Validated, /) -> float:
        """Return the EER on what is held out, a fraction."""


def optimise(
    network: Network,
    reader: BatchReader[Any],
    seed: int,
    *,
    validation: Validation[Network] | None = None,
    checkpoint: TrainingCheckpoint | None = None,
    tensorboard: Path | None = None,
    group: ProcessGroup = ONE_PROCESS,
) -> list[Epoch]:
    """Minimise a network's loss over all batches, in place, by AdamW, as its settings say.

    Left in `network` are the weights after the last epoch, or those of the epoch with the lowest EER where there is a
    validation; with `ema`, the average of the weights in place of the weights.

    Args:
        reader: the batches, on the device of the network.
        seed: seeds everything random in the loss; the global generators are put back as they were.
        checkpoint: resumed from if there is one that fits, and kept up to date.
        tensorboard: a folder for TensorBoard's files.
        group: the processes that train this network together, each with its share of every batch.

    Returns:
        One row per epoch: epoch, step, loss (mean over its rows), pairs_per_s, lr, and validation_eer if validated.

    Raises:
        ModelError: the loss of an epoch is not finite.
    """
    with torch.random.fork_rng([reader.device.index or 0] if reader.device.type == "cuda" else []):
        torch.manual_seed(seed + group.rank)
        training = Training(network, reader, seed, validation, checkpoint, group)
        if checkpoint is not None and (state := checkpoint.load()) is not None:
            training.load_state_dict(state)
        with progress(network.config.epochs, tensorboard) if group.is_main else nullcontext(lambda row: None) as show:
            while not training.ended:
                show(training.run_epoch())
        training.restore_kept()
    return training.history


def lr_factor(settings: TrainingSettings, steps: int, step: int) -> float:
    """Return the share of `lr` at a step in 0..steps-1: a straight rise over the warm-up, then the schedule."""
    warm = min(settings.warmup_steps, steps - 1)
    if step < warm:
        return (step + 1) / (warm + 1)
    if settings.schedule == "constant":
        return 1.0
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (steps - warm))


class LossOf(nn.Module, Generic[Batch]):
    """A network's loss as a module's forward, which is what several processes can share."""

    def __init__(self, network: Trainable[Batch]) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the scalar loss."""
        return self.network.loss(batch, generator)


class Training(Generic[Network]):
    """A training under way: all of its state, and how an epoch changes it."""

    def __init__(
        self,
        network: Network,
        reader: BatchReader[Any],
        seed: int,
        validation: Validation[Network] | None,
        checkpoint: TrainingCheckpoint | None,
        group: ProcessGroup,
    ) -> None:
        settings = network.config
        self.network, self.reader, self.settings = network, reader, settings
        self.validation, self.checkpoint, self.group = validation, checkpoint, group
        self.average = copy.deepcopy(network).requires_grad_(False) if settings.ema else None
        self.history: list[Epoch] = []
        self.best: State | None = None
        self.total = torch.zeros((), device=reader.device)  # read once per epoch: each read stalls a GPU
        self.generator = torch.Generator(reader.device).manual_seed(seed + group.rank)
        self._parameters = list(network.parameters())
        groups, self._lr_factors = zip(*network.lr_factors(), strict=True)
        self._optimiser = torch.optim.AdamW(
            [{"params": group} for group in groups], settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        self._scaler = torch.amp.GradScaler(reader.device.type, enabled=settings.precision == "float16")
        self._dtype: torch.dtype = getattr(torch, settings.precision)
        self._loss = _loss_of(network, group)
        self._steps = settings.epochs * reader.batches_per_epoch
        reader.epoch, reader.position = 1, 0

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or none of the last `patience` was the best."""
        epochs = len(self.history)
        waited = epochs - self.best["epoch"] if self.best is not None else 0
        return epochs >= self.settings.epochs or (
            self.settings.patience is not None and waited >= self.settings.patience
        )

    @property
    def kept(self) -> Network:
        """The network whose weights are kept: the average, or the trained one itself."""
        return self.network if self.average is None else self.average

    def run_epoch(self) -> Epoch:
        """Go through the rest of the current epoch, and validate.

        Raises:
            ModelError: its mean loss is not finite.
        """
        epoch, start = self.reader.epoch, self.reader.position
        started_s = time.perf_counter()
        step = (epoch - 1) * self.reader.batches_per_epoch + start
        for batch in self.reader.batches(epoch, start):
            self._step(batch, step)
            step += 1
            if self.group.size == 1 and self.reader.position:
                self._save_if_due([self._random_state()])
        loss = sum(self.group.gather(self.total.item())) / self.reader.rows_per_epoch
        left = self.reader.rows_per_epoch - start * self.reader.batch
        rows_per_s = round(left / (time.perf_counter() - started_s))
        if not math.isfinite(loss):
            raise ModelError(f"training diverged in epoch {epoch} (loss {loss}); lower lr, which is {self.settings.lr}")
        lr = self.settings.lr * lr_factor(self.settings, self._steps, step - self.reader.batches_per_epoch)
        row: Epoch = {"epoch": epoch, "step": step, "loss": loss, f"{self.reader.unit}_per_s": rows_per_s, "lr": lr}
        if self.validation is not None:
            row["validation_eer"] = self._validated(self.validation, epoch)
        self.total.zero_()
        self.history.append(row)
        self._save_if_due(self.group.gather(self._random_state()))
        return row

    def restore_kept(self) -> None:
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
            "place": self.reader.state_dict(),
            "total": self.total,
            "history": self.history,
            "best": self.best,
        }

    def load_state_dict(self, state: State) -> None:
        """Resume from what `state_dict` returned."""
        self.reader.load_state_dict(state["place"])  # first: it says in words what else would be a shape
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        own, everywhere, *on_gpu = state["random"][self.group.rank]
        self.generator.set_state(own)
        torch.set_rng_state(everywhere)
        for there in on_gpu:
            torch.cuda.set_rng_state(there, self.reader.device)
        self.total.copy_(state["total"])
        self.history, self.best = state["history"], state["best"]

    def _step(self, batch: Any, step: int) -> None:
        lr = self.settings.lr * lr_factor(self.settings, self._steps, step)
        for parameters, factor in zip(self._optimiser.param_groups, self._lr_factors, strict=True):
            parameters["lr"] = factor * lr
        mine, rows = self.group.share(batch)
        with torch.autocast(self.reader.device.type, self._dtype, enabled=self._dtype is not torch.float32):
            loss: Tensor = self._loss(mine, self.generator)
        if loss.requires_grad:  # not where statistics alone are learnt
            # The gradients of the processes are averaged: a share of another size than the mean must weigh accordingly.
            self._descend(loss * (rows * self.group.size / len(batch)) if self.group.size > 1 else loss)
        if self.average is not None:
            average = list(self.average.parameters())
            get_ema_multi_avg_fn(self.settings.ema)(average, self._parameters, 0)
            for kept, current in zip(self.average.buffers(), self.network.buffers(), strict=True):
                kept.copy_(current)  # statistics of normalisations are averages already
        self.total += loss.detach() * rows

    def _descend(self, loss: Tensor) -> None:
        self._optimiser.zero_grad()
        self._scaler.scale(loss).backward()
        if self.settings.grad_clip is not None:
            self._scaler.unscale_(self._optimiser)  # else the bound would be on the scaled gradients
            nn.utils.clip_grad_norm_(self._parameters, self.settings.grad_clip)
        self._scaler.step(self._optimiser)
        self._scaler.update()

    def _validated(self, validation: Validation[Network], epoch: int) -> float:
        eer = self.group.broadcast(validation.eer(self.kept) if self.group.is_main else math.nan)
        if self.best is None or eer <= self.best["eer"]:  # of equals the later: its loss is lower
            weights = {name: tensor.detach().clone() for name, tensor in self.kept.state_dict().items()}
            self.best = {"epoch": epoch, "eer": eer, "weights": weights}
        return eer

    def _save_if_due(self, random_states: list[list[Tensor]]) -> None:
        if self.checkpoint is not None and self.group.is_main and self.checkpoint.due:
            self.checkpoint.save(self.state_dict(random_states))

    def _random_state(self) -> list[Tensor]:
        on_gpu = [torch.cuda.get_rng_state(self.reader.device)] if self.reader.device.type == "cuda" else []
        return [self.generator.get_state(), torch.get_rng_state(), *on_gpu]


def _loss_of(network: Trainable[Any], group: ProcessGroup) -> nn.Module:
    if network.config.compile:
        for child in network.children():
            child.compile(dynamic=False)
    loss = LossOf(network)
    return DistributedDataParallel(loss, broadcast_buffers=False) if group.size > 1 else loss
