"""Render drawn views, batched on the backbone's device: the room first, then what is added, then the channel.

No row depends on which others are in its batch, up to rounding.

Shapes: B batch, T samples, R = T + LEAD_SAMPLES.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from reseed.stages.audio.codec import mu_law, telephony, transcode
from reseed.stages.audio.decode import Waveform
from reseed.stages.audio.draw import LEAD_SAMPLES, Draw


def mix(draws: Sequence[Draw], sample_rate_hz: int, device: str | torch.device = "cpu") -> Tensor:
    """Return the waveforms [B, T] of some draws of one length, on `device`."""
    mixture_BT = _stacked([draw.speech for draw in draws], device)
    wet = [row for row, draw in enumerate(draws) if draw.rir is not None]
    if wet:
        rir_BR = _stacked([draw.rir for draw in draws if draw.rir is not None], device)
        mixture_BT[wet] = reverberate(mixture_BT[wet], rir_BR)
    power_B = mixture_BT.square().mean(dim=1)
    for index in range(max(len(draw.added) for draw in draws)):
        noisy = [row for row, draw in enumerate(draws) if len(draw.added) > index]
        noise_BT = _stacked([draws[row].added[index][0] for row in noisy], device)
        snr_B = torch.tensor([draws[row].added[index][1] for row in noisy], device=device)
        mixture_BT[noisy] += at_snr(noise_BT, power_B[noisy], snr_B)
    loud = [row for row, draw in enumerate(draws) if draw.gain_db is not None]
    if loud:
        gain_B = torch.tensor([draw.gain_db for draw in draws if draw.gain_db is not None], device=device)
        mixture_BT[loud] = (mixture_BT[loud] * 10 ** (gain_B / 20)[:, None]).clamp(-1, 1)
    _apply(mixture_BT, [draw.telephony for draw in draws], lambda rows_BT: telephony(rows_BT, sample_rate_hz))
    _apply(mixture_BT, [draw.mu_law for draw in draws], mu_law)
    coded = [row for row, draw in enumerate(draws) if draw.codec is not None]
    if coded:
        codecs = [draws[row].codec for row in coded]
        with ThreadPoolExecutor() as pool:  # encoders release the interpreter
            decoded = pool.map(transcode, mixture_BT[coded].cpu().numpy(), repeat(sample_rate_hz), codecs)
            mixture_BT[coded] = _stacked(list(decoded), device)
    return mixture_BT


def at_snr(noise_BT: Tensor, speech_power_B: Tensor, snr_db_B: Tensor) -> Tensor:
    """Scale noise so that speech power over noise power, both over the whole crop, is the SNR."""
    gain_B = (speech_power_B / noise_BT.square().mean(dim=1).clamp_min(1e-20) * 10 ** (-snr_db_B / 10)).sqrt()
    return noise_BT * gain_B[:, None]


def reverberate(waveform_BT: Tensor, rir_BR: Tensor) -> Tensor:
    """Convolve with room responses (see `direct_and_late`); the direct sound stays where it was, the length too."""
    samples = waveform_BT.shape[1]
    size = next_fast_len(2 * samples + LEAD_SAMPLES, real=True)
    spectrum = torch.fft.rfft(waveform_BT, size) * torch.fft.rfft(rir_BR, size)
    wet_BT: Tensor = torch.fft.irfft(spectrum, size)
    return wet_BT[:, LEAD_SAMPLES : LEAD_SAMPLES + samples]


def _apply(mixture_BT: Tensor, is_applied: Sequence[bool], effect: Callable[[Tensor], Tensor]) -> None:
    rows = [row for row, applied in enumerate(is_applied) if applied]
    if rows:
        mixture_BT[rows] = effect(mixture_BT[rows])


def _stacked(waveforms: Sequence[Waveform], device: str | torch.device) -> Tensor:
    return torch.from_numpy(np.stack(waveforms)).to(device)
