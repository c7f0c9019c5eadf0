"""The noise schedule and the samplers, as pure functions.

Shapes: B batch, D embedding dimension, T diffusion timesteps.
Notation as in DDPM (arXiv 2006.11239): x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) epsilon.
"""

from collections.abc import Callable

import torch
from torch import Tensor

TIMESTEPS = 1000


def alphas_cumprod(timesteps: int = TIMESTEPS, beta_first: float = 1e-4, beta_last: float = 0.02) -> Tensor:
    """Return alpha_bar [T] of the "scaled linear" schedule: betas linear in their square root (arXiv 2112.10752)."""
    betas_T = torch.linspace(beta_first**0.5, beta_last**0.5, timesteps) ** 2
    return torch.cumprod(1.0 - betas_T, dim=0)


def add_noise(x_BD: Tensor, noise_BD: Tensor, alpha_bar_B: Tensor) -> Tensor:
    """Return x_t [B, D]: `x_BD` carried forward to where the cumulative alpha is `alpha_bar_B` (DDPM, equation 4).

    Args:
        alpha_bar_B: [B], or [1] where all rows share one timestep.
    """
    alpha_bar_B1 = alpha_bar_B[:, None]
    return alpha_bar_B1.sqrt() * x_BD + (1.0 - alpha_bar_B1).sqrt() * noise_BD


def sample_one_step(
    predict_x0: Callable[[Tensor, Tensor], Tensor],
    x_BD: Tensor,
    noise_BD: Tensor,
    alpha_bar_T: Tensor,
    timestep: int,
    clip: float,
) -> Tensor:
    """SEED's one-step sampler (arXiv 2505.16798): x_t from the noisy-speech embedding, x0 from one prediction.

    Equals `pred_original_sample` of one step of diffusers' DDIMScheduler with prediction_type "sample".

    Args:
        predict_x0: a function of (x_t [B, D], timestep [1]).
        timestep: where the chain is entered, in 0..T-1.
        clip: bound on each component of x0.
    """
    timestep_1 = torch.tensor([timestep], device=x_BD.device)
    x_t_BD = add_noise(x_BD, noise_BD, alpha_bar_T[timestep_1])
    return predict_x0(x_t_BD, timestep_1).clamp(-clip, clip)
