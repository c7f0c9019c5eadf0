"""What a mask does, drawn: noisy, enhanced and clean spectra of a few crops, and where Grad-W's weights lie.

Shapes: M bands, F frames, P positions of the activation map.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from reseed.stages.backbones.training.network import Crops
from reseed.stages.common.figures import figure, to_svg
from reseed.stages.common.theme import THEMES
from reseed.stages.frontends.gradw import MaskTraining

ROWS = 2
_RANGE_DB = 50.0
_HEIGHT_IN = 1.9


def spectrograms(training: MaskTraining, crops: Crops) -> dict[str, str]:
    """Return the spectra of the first crops of a batch as SVG, by theme."""
    rows = [(name, list(images)) for name, *images in _panels(training, crops)]
    drawn = {}
    for theme in THEMES:
        with figure(theme, 0.5 + _HEIGHT_IN * ROWS) as drawing:
            grid = drawing.subplots(ROWS, len(rows), squeeze=False)
            for column, (name, images) in enumerate(rows):
                for row, image in enumerate(images):
                    axes = grid[row][column]
                    top = image.max()
                    low = image.min() if name.startswith("weights") else top - _RANGE_DB
                    axes.imshow(image, origin="lower", aspect="auto", vmin=low, vmax=top, interpolation="nearest")
                    axes.set_axis_off()
                    axes.set_title(name if row == 0 else "")
            drawn[theme.name] = to_svg(drawing)
    return drawn


@torch.no_grad()
def _panels(training: MaskTraining, crops: Crops) -> Iterator[tuple[Any, ...]]:
    """Yield (name, image of each crop): spectra in dB, and the weights, each over the frames of its crop."""
    training.eval()
    noisy, mask, clean = training.spectra(crops)
    for name, spectrum in (("noisy", noisy), ("enhanced", mask * noisy), ("clean", clean)):
        yield name, *(10 * np.log10(one.cpu().numpy() + 1e-12) for one in spectrum[:ROWS])
    if training.config.loss == "gradw":
        maps = training.maps(noisy, mask, clean)
        weight_BP = training.weights(*maps, crops)
        shape = (-1, maps[0].shape[-1])  # an activation map without frequencies is one row high
        yield "weights of Grad-W", *(one.reshape(shape) for one in weight_BP[:ROWS].cpu().numpy())
