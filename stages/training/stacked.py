"""Many networks of one shape, trained at once as one stack of parameters: on a GPU for little more than one of them.

They may differ in lr, weight decay and seed; each has initial weights and an order of the pairs of its own.

Shapes: B batch, K networks, M rows of the cache; a parameter of the stack has K in front of its own shape.
"""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from stages.cache import ResidentPairs
from stages.cache.resident import pairs_at
from stages.enhancers import Pairs, TrainedEnhancer, TrainingSettings
from stages.training.loop import lr_factor
from stages.training.record import Row
from stages.training.validation import HeldOut, equal_error_rate
from store import ModelError

_BETAS, _EPS = (0.9, 0.999), 1e-8  # AdamW's own
_OWN = {"lr", "weight_decay"}


def stack_key(settings: TrainingSettings) -> dict[str, Any]:
    """Return what networks must have in common to be stacked."""
    return settings.model_dump(mode="json", exclude=_OWN)


def stackable(settings: TrainingSettings) -> bool:
    """Whether the stack can do what these settings ask: all but what belongs to one network alone."""
    return settings.precision != "float16" and not settings.compile


def optimise_stacked(
    networks: Sequence[TrainedEnhancer], pairs: ResidentPairs, seeds: Sequence[int], held_out: HeldOut | None = None
) -> list[list[Row]]:
    """Train networks in place as `stages.training.optimise` would train each of them alone.

    Where a loss draws nothing at random the weights are the same, up to rounding; where it does, the draws are others.
    A network whose patience has ended is trained on with the rest, and keeps its best epoch.

    Args:
        networks: with settings that differ in lr and weight decay alone.
        pairs: the cache, on their device; its own seed is not used.
        seeds: one for each network.

    Returns:
        The history of each; pairs_per_s counts the pairs of all.

    Raises:
        ModelError: the loss of all networks is not finite. One that diverges alone ends with a loss that is none.
    """
    index = [pairs.device.index or 0] if pairs.device.type == "cuda" else []
    with torch.random.fork_rng(index):
        torch.manual_seed(seeds[0])
        stack = Stack(networks, pairs, seeds, held_out)
        for epoch in range(1, networks[0].config.epochs + 1):
            stack.run_epoch(epoch)
        stack.settle()
    return stack.histories


class _Methods(nn.Module):
    """An enhancer whose methods are all its forward: what `functional_call` can call."""

    def __init__(self, enhancer: TrainedEnhancer) -> None:
        super().__init__()
        self.enhancer = enhancer

    def forward(self, method: str, *arguments: Any) -> Tensor:
        return getattr(self.enhancer, method)(*arguments)


class Stack:
    """The networks under way."""

    def __init__(
        self,
        networks: Sequence[TrainedEnhancer],
        pairs: ResidentPairs,
        seeds: Sequence[int],
        held_out: HeldOut | None,
    ) -> None:
        self.networks, self.pairs, self.held_out = networks, pairs, held_out
        self.settings = networks[0].config
        self.histories: list[list[Row]] = [[] for _ in networks]
        self.parameters, self.buffers = stack_module_state([_Methods(network) for network in networks])
        self._shape = copy.deepcopy(_Methods(networks[0])).to("meta")
        self._orders = [
            ResidentPairs(pairs.vectors_NVD, clean_view=pairs.clean_view, batch=pairs.batch, seed=seed)
            for seed in seeds
        ]
        self._generator = torch.Generator(pairs.device).manual_seed(seeds[0])
        self._adamw = StackedAdamW(self.parameters.values(), [network.config for network in networks], pairs.device)
        self._average = {name: value.detach().clone() for name, value in self.parameters.items()}
        self._best = {name: value.detach().clone() for name, value in self.parameters.items()}
        self._best_eer_K = torch.full((len(networks),), math.inf, device=pairs.device)
        self._best_epoch_K = torch.zeros_like(self._best_eer_K)
        self._steps = self.settings.epochs * pairs.batches_per_epoch

    @property
    def kept(self) -> dict[str, Tensor]:
        """The parameters that are kept: their averages, or they themselves."""
        return self._average if self.settings.ema else self.parameters

    def run_epoch(self, epoch: int) -> None:
        """Train all networks for one epoch and judge them."""
        started_s, pairs = time.perf_counter(), self.pairs
        step = (epoch - 1) * pairs.batches_per_epoch
        factor = lr_factor(self.settings, self._steps, step)
        total_K = torch.zeros(len(self.networks), device=pairs.device)
        order_KM = torch.stack([order.order(epoch) for order in self._orders])
        for index_KB in order_KM.split(pairs.batch, dim=1):
            batch = pairs_at(pairs.vectors_NVD, pairs.clean_view, index_KB.flatten())
            total_K += self._step(batch, lr_factor(self.settings, self._steps, step)) * index_KB.shape[1]
            step += 1
        loss_K = total_K / pairs.pairs_per_epoch
        if not loss_K.isfinite().any():
            raise ModelError(f"training diverged in epoch {epoch} for every setting; lower lr")
        rows = [{"epoch": epoch, "step": step, "loss": loss} for loss in loss_K.tolist()]
        pairs_per_s = round(len(rows) * pairs.pairs_per_epoch / (time.perf_counter() - started_s))
        eers = self._judge(epoch)
        for place, row in enumerate(rows):
            judged = {} if eers is None else {"validation_eer": eers[place]}
            lr = self.networks[place].config.lr * factor
            self.histories[place].append(row | {"pairs_per_s": pairs_per_s, "lr": lr} | judged)

    def settle(self) -> None:
        """Put the weights that are kept into the networks; a history ends where its own patience did."""
        if self.held_out is not None and self.settings.patience is not None:
            for history, best in zip(self.histories, self._best_epoch_K.tolist(), strict=True):
                del history[int(best) + self.settings.patience :]
        final = self.kept if self.held_out is None else self._best
        for place, network in enumerate(self.networks):
            own = {name.removeprefix("enhancer."): value[place] for name, value in final.items()}
            network.load_state_dict(own, strict=False)  # the buffers are still its own

    def _step(self, batch: Pairs, factor: float) -> Tensor:
        stacked = {
            field.name: value.unflatten(0, (len(self.networks), -1))
            for field in fields(batch)
            if (value := getattr(batch, field.name)) is not None
        }

        def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor], own: dict[str, Tensor]) -> Tensor:
            return functional_call(self._shape, (parameters, buffers), ("loss", Pairs(**own), self._generator))

        dtype = getattr(torch, self.settings.precision)
        self._shape.train()
        with torch.autocast(self.pairs.device.type, dtype, enabled=dtype is not torch.float32):
            loss_K = vmap(loss, randomness="different")(self.parameters, self.buffers, stacked)
        loss_K.sum().backward()
        self._adamw.step(factor, self.settings.grad_clip)
        if self.settings.ema:
            for name, average in self._average.items():
                average.lerp_(self.parameters[name].detach(), 1 - self.settings.ema)
        return loss_K.detach()

    @torch.no_grad()
    def _judge(self, epoch: int) -> list[float] | None:
        if self.held_out is None:
            return None

        def scores(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            def enhance(embedding_BD: Tensor, generator: torch.Generator) -> Tensor:
                return functional_call(self._shape, (parameters, buffers), ("enhance", embedding_BD, generator))

            return self.held_out.scores(enhance)

        self._shape.eval()
        eer_K = equal_error_rate(vmap(scores, randomness="same")(self.kept, self.buffers))
        better_K = eer_K <= self._best_eer_K
        if self.settings.patience is not None:
            better_K &= (epoch - 1 - self._best_epoch_K < self.settings.patience) | (self._best_epoch_K == 0)
        self._best_eer_K = torch.where(better_K, eer_K, self._best_eer_K)
        self._best_epoch_K = torch.where(better_K, float(epoch), self._best_epoch_K)
        for name, best in self._best.items():
            best[better_K] = self.kept[name][better_K].detach()
        return eer_K.tolist()


class StackedAdamW:
    """AdamW (arXiv 1711.05101) for parameters with K in front, of which each has its own lr and weight decay."""

    def __init__(self, parameters: Any, settings: Sequence[TrainingSettings], device: torch.device) -> None:
        self._parameters = list(parameters)
        self._mean = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._square = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._lr_K = torch.tensor([each.lr for each in settings], device=device)
        self._decay_K = torch.tensor([each.weight_decay for each in settings], device=device)
        self._steps = 0

    @torch.no_grad()
    def step(self, factor: float, grad_clip: float | None) -> None:
        """Take a step with lr times `factor`, and forget the gradients.

        Args:
            grad_clip: bound on the norm of all gradients of a network together.
        """
        self._steps += 1
        (first, second), lr_K = _BETAS, factor * self._lr_K
        correction = 1 - second**self._steps
        clip_K = None if grad_clip is None else self._clip(grad_clip)
        for parameter, mean, square in zip(self._parameters, self._mean, self._square, strict=True):
            shape = (-1, *[1] * (parameter.ndim - 1))
            gradient = parameter.grad if clip_K is None else parameter.grad * clip_K.view(shape)
            parameter.grad = None
            mean.lerp_(gradient, 1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            parameter.mul_((1 - lr_K * self._decay_K).view(shape))
            scaled = mean / (square.div(correction).sqrt_().add_(_EPS))
            parameter.sub_(scaled.mul_((lr_K / (1 - first**self._steps)).view(shape)))

    def _clip(self, bound: float) -> Tensor:
        squares_K = sum(parameter.grad.square().flatten(1).sum(dim=1) for parameter in self._parameters)
        return (bound / (squares_K.sqrt() + 1e-6)).clamp(max=1.0)
