"""A waveform that is the same everywhere, and what published weights make of it: a wrong front end shows at once.

Shapes: T samples, D embedding dimension.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reseed.stages.backbones.base import Backbone

NUMBERS = 8
TOLERANCE = 1e-3  # of the vector's length
_DURATION_S = 3.0
_QUIET_S = 1.0


@dataclass(frozen=True)
class Golden:
    """What is known of the weights of a file.

    Attributes:
        name: what they are, and where they are published.
        numbers: the first eight of the embedding of the generated waveform.
    """

    name: str
    numbers: tuple[float, ...]


# By the SHA-256 of the file; each agrees with the code of those who publish it (docs/backbones.md).
GOLDEN = {
    "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e": Golden(
        "resemblyzer's GE2E",
        (0.10562, 0.01606, 0.06856, 0.0, 0.0, 0.00248, 0.0, 0.0),
    ),
    "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199": Golden(
        "3D-Speaker's CAM++, Chinese and English (campplus_cn_en_common.pt)",
        (0.3842, -0.58897, 0.12599, -0.22018, -0.10091, -0.19325, 0.40812, 1.29316),
    ),
    "5ef208a9da1453335308a6b6f4e6dfbd7e183a38b604de0a57664f45d257fe94": Golden(
        "WeSpeaker's ResNet34 of VoxCeleb2 (voxceleb_resnet34.onnx)",
        (0.00917, 0.01756, 0.07208, -0.00873, -0.00614, 0.09279, 0.03314, -0.03894),
    ),
}


def generated_waveform(sample_rate_hz: int) -> NDArray[np.float32]:
    """Return 3 s of sound in 16 bits [T]: a voice that rises and falls under hiss, at last 60 dB quieter.

    Loud and quiet, low and high: window, pre-emphasis, bands, scale and mean of the features all leave their mark.
    """
    time_s = np.arange(round(_DURATION_S * sample_rate_hz)) / sample_rate_hz
    phase = 2 * np.pi * (130 * time_s + 4 * np.sin(2 * np.pi * 1.5 * time_s))
    harmonics = sum(np.sin(k * phase) * (0.6 + 0.4 * np.cos(0.9 * k + 5 * time_s)) / k for k in range(1, 25))
    loudness = 0.15 * (1.1 + np.sin(2 * np.pi * 3 * time_s))
    sound = loudness * harmonics + 0.01 * _hiss(len(time_s))
    sound[time_s >= _DURATION_S - _QUIET_S] *= 1e-3
    return (np.round(sound * 2**15).clip(-(2**15), 2**15 - 1) / 2**15).astype(np.float32)


def _hiss(samples: int) -> NDArray[np.float64]:
    """Return uniform noise in -1..1 from a linear congruential generator (Numerical Recipes' constants)."""
    state, values = 1, np.empty(samples)
    for index in range(samples):
        state = (1_664_525 * state + 1_013_904_223) % 2**32
        values[index] = state / 2**31 - 1
    return values


def golden_vector(backbone: Backbone) -> NDArray[np.float32]:
    """Return the embedding [D] of the generated waveform."""
    with torch.inference_mode():
        waveform_BT = torch.from_numpy(generated_waveform(backbone.sample_rate_hz))[None]
        embedding_D: NDArray[np.float32] = backbone(waveform_BT)[0].numpy()
    return embedding_D


def known(backbone: Backbone) -> Golden | None:
    """Return what is known of a backbone's weights, whichever network runs them."""
    digests = backbone.identity().get("weights_sha256", "")  # one of another package may have none
    return GOLDEN.get(digests if isinstance(digests, str) else digests[0])
