"""Which part of a backbone is trained: chosen parameters, low-rank updates of weights, or statistics alone.

Shapes: O outputs of a layer, I inputs times kernel, R rank.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.training.settings import BackboneTraining, LowRank
from reseed.store import ConfigError


class LowRankUpdate(nn.Module):
    """A weight [O, ...] plus an update of low rank, which is zero at first.

    Source: Hu et al., "LoRA" (arXiv 2106.09685), section 4.1.
    """

    def __init__(self, weight: Tensor, settings: LowRank) -> None:
        super().__init__()
        self.scale = settings.alpha / settings.rank
        self.up_OR = nn.Parameter(weight.new_zeros(len(weight), settings.rank))
        self.down_RI = nn.Parameter(weight.new_empty(settings.rank, weight[0].numel()))
        nn.init.kaiming_uniform_(self.down_RI, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            return weight + (self.scale * self.up_OR @ self.down_RI).view(weight.shape)


def choose(backbone: StagedBackbone, settings: BackboneTraining) -> None:
    """Let what the settings name be trained, and nothing else.

    Raises:
        ConfigError: a prefix fits no parameter, or nothing is left to train.
    """
    if settings.trained is None:
        _forget_statistics(backbone)
        return
    _choose_parameters(backbone, settings.trained, settings.frozen)
    if settings.lora is not None:
        _add_updates(backbone, settings.lora)


def merge_updates(backbone: StagedBackbone) -> None:
    """Put low-rank updates, where there are any, into the weights, which have their own names again."""
    for layer in list(backbone.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def normalisations(backbone: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the normalisations over a batch, whose statistics are estimated."""
    return [layer for layer in backbone.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]


def mix_weights(backbone: StagedBackbone, before: Mapping[str, Tensor], share: float) -> None:
    """Average the weights of a backbone with earlier ones, in place.

    Args:
        share: of the earlier ones.
    """
    state = backbone.state_dict()
    backbone.load_state_dict(
        {
            name: torch.lerp(now, before[name].to(now.device), share) if now.is_floating_point() else now
            for name, now in state.items()
        }
    )


def _forget_statistics(backbone: StagedBackbone) -> None:
    """Train no parameter; statistics become the mean of those of all batches (AdaBN, arXiv 1603.04779)."""
    layers = normalisations(backbone)
    if not layers:
        raise ConfigError(f"trained: null adapts statistics of normalisations, and this {backbone.name} has none")
    backbone.requires_grad_(False)
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None


def _add_updates(backbone: StagedBackbone, settings: LowRank) -> None:
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d)
    layers = [layer for layer in backbone.modules() if isinstance(layer, kinds) and layer.weight.requires_grad]
    if not layers:
        raise ConfigError(f"lora: no linear layer or convolution of {backbone.name} is among what is to be trained")
    backbone.requires_grad_(False)
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRankUpdate(layer.weight, settings))


def _choose_parameters(backbone: StagedBackbone, trained: tuple[str, ...], frozen: tuple[str, ...]) -> None:
    """Train parameters whose names begin with one of `trained` (none: all) and with none of `frozen`."""
    names = [name for name, _ in backbone.named_parameters()]
    for setting, prefixes in (("trained", trained), ("frozen", frozen)):
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in names):
                raise ConfigError(
                    f"{setting}: {backbone.name} has no parameter {prefix}...; its layers are {_layers(names, prefix)}"
                )
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(name.startswith(trained or "") and not name.startswith(frozen))
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        raise ConfigError(f"frozen: every parameter of {backbone.name} is; leave some to train")


def _layers(names: Sequence[str], prefix: str) -> str:
    """Return the layers among which a prefix is none, with what they lie in: of "xvector.block9" those of xvector."""
    above = f"{prefix.rpartition('.')[0]}."
    if not any(name.startswith(above) for name in names):
        above = ""
    below = [name.removeprefix(above) for name in names if name.startswith(above)]
    return ", ".join(dict.fromkeys(above + name.partition(".")[0] for name in below))
