"""The networks: residual MLPs of D in and out and hidden width 2D, with or without a diffusion timestep.

Shapes: B batch, D embedding dimension, H hidden width (2D), E width of the time embedding (D).
"""

import math

import torch
from torch import Tensor, nn

BLOCKS = 3


class ResidualBlock(nn.Module):
    """x + f(x) with pre-activation LayerNorm and SiLU; the identity before training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_layers = _in_layers(width)
        self.out_layers = _out_layers(width)

    def forward(self, x_BH: Tensor) -> Tensor:
        return x_BH + self.out_layers(self.in_layers(x_BH))


class TimedResidualBlock(nn.Module):
    """A residual block that adds a projection of the time embedding between its two halves."""

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.in_layers = _in_layers(width)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_width, width))
        self.out_layers = _out_layers(width)

    def forward(self, x_BH: Tensor, time_BE: Tensor) -> Tensor:
        return x_BH + self.out_layers(self.in_layers(x_BH) + self.emb_layers(time_BE))


class ResidualMlp(nn.Module):
    """A deterministic residual MLP, as the regression baselines use it (vMF-PL, arXiv 2610.06691)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        width = 2 * dim
        self.input_proj = nn.Linear(dim, width)
        self.res_blocks = nn.ModuleList(ResidualBlock(width) for _ in range(BLOCKS))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, dim))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Map [B, D] to [B, D]."""
        x_BH = self.input_proj(x_BD)
        for block in self.res_blocks:
            x_BH = block(x_BH)
        return self.out(x_BH)


class RdmMlp(nn.Module):
    """The diffusion network of SEED, taken there from RCG's representation diffusion model (arXiv 2312.03701).

    The state dict has the names and shapes of SEED's released checkpoints: 2,437,888 parameters at D=256 and
    9,725,440 at D=512, of three blocks.
    """

    def __init__(self, dim: int, blocks: int = BLOCKS) -> None:
        super().__init__()
        width = 2 * dim
        self.time_embed = nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.input_proj = nn.Linear(dim, width)
        self.res_blocks = nn.ModuleList(TimedResidualBlock(width, dim) for _ in range(blocks))
        self.out = nn.Sequential(nn.LayerNorm(width, eps=1e-6), nn.SiLU(), _zeroed(nn.Linear(width, dim)))

    def forward(self, x_BD: Tensor, timestep_B: Tensor) -> Tensor:
        """Predict x0 [B, D] from x_t [B, D].

        Args:
            timestep_B: integer timesteps [B], or [1] where all rows share one.
        """
        x_BH = self.input_proj(x_BD)
        time_BE = self.time_embed(timestep_embedding(timestep_B, x_BH.shape[-1]))
        for block in self.res_blocks:
            x_BH = block(x_BH, time_BE)
        return self.out(x_BH)


def timestep_embedding(timestep_B: Tensor, width: int, max_period: float = 10_000.0) -> Tensor:
    """Return sinusoids [B, width], cosines first, of frequencies falling from 1 to 1/max_period.

    Args:
        width: even.
    """
    half = width // 2
    exponent = torch.arange(half, dtype=torch.float32, device=timestep_B.device) / half
    angle = timestep_B[:, None].float() * torch.exp(-math.log(max_period) * exponent)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def _in_layers(width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width))


def _out_layers(width: int) -> nn.Sequential:
    # SEED's checkpoints number the last layer 3, after a dropout of 0
    return nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Identity(), _zeroed(nn.Linear(width, width)))


def _zeroed(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
