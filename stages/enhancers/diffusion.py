"""The noise schedule and the samplers, as pure functions.

Shapes: B batch, D embedding dimension, T diffusion timesteps.
Notation as in DDPM (arXiv 2006.11239): x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) epsilon. What a network puts
out is read as one of four things, of which the other three follow:

    sample        x_0
    epsilon       the noise in x_t
    v_prediction  sqrt(alpha_bar_t) epsilon - sqrt(1 - alpha_bar_t) x_0     (arXiv 2202.00512)
    correction    x_0 - sqrt(alpha_bar_t) x_t: nothing where nothing is to be mended
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

TIMESTEPS = 1000

Prediction = Literal["correction", "sample", "epsilon", "v_prediction"]
Network = Callable[[Tensor, Tensor], Tensor]  # of x_t [B, D] and timestep [1]


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


def original(output_BD: Tensor, x_t_BD: Tensor, alpha_bar_B: Tensor, prediction: Prediction) -> Tensor:
    """Return the x0 [B, D] that a network's output at x_t stands for.

    Args:
        alpha_bar_B: [B], or [1] where all rows share one timestep.
    """
    if prediction == "sample":
        return output_BD
    signal_B1, noise_B1 = alpha_bar_B[:, None].sqrt(), (1.0 - alpha_bar_B[:, None]).sqrt()
    if prediction == "correction":
        return signal_B1 * x_t_BD + output_BD
    if prediction == "epsilon":
        return (x_t_BD - noise_B1 * output_BD) / signal_B1
    return signal_B1 * x_t_BD - noise_B1 * output_BD


def velocity(x_BD: Tensor, noise_BD: Tensor, alpha_bar_B: Tensor) -> Tensor:
    """Return v [B, D] of an x0 and a noise."""
    alpha_bar_B1 = alpha_bar_B[:, None]
    return alpha_bar_B1.sqrt() * noise_BD - (1.0 - alpha_bar_B1).sqrt() * x_BD


def ddim_step(
    output_BD: Tensor,
    x_t_BD: Tensor,
    alpha_bar_1: Tensor,
    alpha_bar_next_1: Tensor,
    prediction: Prediction,
    clip: float,
) -> Tensor:
    """Return x [B, D] one step further down the chain, without new noise (DDIM, arXiv 2010.02502, equation 12).

    As in diffusers' DDIMScheduler, x0 is clipped and the noise is what the unclipped x0 leaves over.

    Args:
        output_BD: what the network made of x_t.
        alpha_bar_1, alpha_bar_next_1: cumulative alphas [1] here and there; 1 there gives the clipped x0.
        clip: bound on each component of x0.
    """
    x0_BD = original(output_BD, x_t_BD, alpha_bar_1, prediction)
    noise_BD = (x_t_BD - alpha_bar_1.sqrt() * x0_BD) / (1.0 - alpha_bar_1).sqrt()
    return add_noise(x0_BD.clamp(-clip, clip), noise_BD, alpha_bar_next_1)


def descent(start: int, steps: int) -> list[int]:
    """Return `steps` timesteps, evenly spaced from `start` to 0; `start` alone where it is one step.

    descent(980, 50) is what DDIMScheduler.set_timesteps(50) gives.

    Args:
        start: in 0..T-1.
        steps: in 1..start + 1.
    """
    return [round(start * (steps - 1 - step) / (steps - 1)) for step in range(steps)] if steps > 1 else [start]


def sample(
    network: Network,
    x_BD: Tensor,
    noise_BD: Tensor,
    alpha_bar_T: Tensor,
    timesteps: Sequence[int],
    prediction: Prediction,
    clip: float,
) -> Tensor:
    """Return x0 [B, D]: the noisy-speech embedding enters the chain at the first timestep and follows DDIM to its end.

    Of one timestep this is SEED's one-step sampler (arXiv 2505.16798). With `noise_BD` zero it is deterministic.

    Args:
        noise_BD: standard normal, or zeros.
        timesteps: descending, in 0..T-1; see `descent`.
        clip: bound on each component of x0.
    """
    places = torch.tensor([*timesteps], device=x_BD.device).unbind()
    alpha_bars = [alpha_bar_T[place][None] for place in places] + [alpha_bar_T.new_ones(1)]
    x_t_BD = add_noise(x_BD, noise_BD, alpha_bars[0])
    for place, here_1, there_1 in zip(places, alpha_bars, alpha_bars[1:], strict=False):
        x_t_BD = ddim_step(network(x_t_BD, place[None]), x_t_BD, here_1, there_1, prediction, clip)
    return x_t_BD


def mean_of_draws(
    sampler: Callable[[Tensor], Tensor], like_BD: Tensor, draws: int, generator: torch.Generator
) -> Tensor:
    """Return the mean [B, D] of what `sampler` makes of some draws of noise; of zero draws, of no noise at all."""
    if draws == 0:
        return sampler(torch.zeros_like(like_BD))
    total_BD = torch.zeros_like(like_BD)
    for _ in range(draws):
        total_BD = total_BD + sampler(normal_like(like_BD, generator))
    return total_BD / draws


def normal_like(x_BD: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal noise of the shape of `x_BD`, drawn where the generator lives."""
    return torch.randn(x_BD.shape, generator=generator, device=generator.device).to(x_BD.device)
