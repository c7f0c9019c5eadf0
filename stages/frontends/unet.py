"""The U-Net that predicts a mask on a power spectrum (Ronneberger et al., arXiv 1505.04597; Grad-W, arXiv 2401.02626).

Shapes: B batch, M bands, F frames, C channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reseed.store import ModelError

LEVELS = 3
STRIDE = 2**LEVELS
_FLOOR = 1e-6
_OPEN = 3.0  # the mask begins at sigmoid(3) = 0.95: nearly nothing is taken away


class MaskNet(nn.Module):
    """Power in bands [B, M, F] to a mask in 0..1 of the same shape.

    It sees the logarithm, of mean 0 and variance 1 over the crop: how loud a recording is plays no part.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS + 1)]
        self.enter = _block(1, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(n, n, kernel_size=2, stride=2), _block(n, 2 * n)) for n in widths[:-1]
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, kernel_size=2, stride=2) for n in reversed(widths[:-1]))
        self.join = nn.ModuleList(_block(2 * n, n) for n in reversed(widths[:-1]))
        self.leave = nn.Conv2d(widths[0], 1, kernel_size=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.constant_(self.leave.bias, _OPEN)  # type: ignore[arg-type]

    def forward(self, spectrum_BMF: Tensor) -> Tensor:
        """Return the mask.

        Raises:
            ModelError: fewer bands or frames than one step of the lowest level.
        """
        bands, frames = spectrum_BMF.shape[1:]
        if min(bands, frames) < STRIDE:
            raise ModelError(
                f"a spectrum of {bands} bands and {frames} frames is too small for the U-Net, which needs {STRIDE} of "
                "each; give a longer crop"
            )
        log_BMF = (spectrum_BMF + _FLOOR).log()
        spread_B, mean_B = torch.std_mean(log_BMF, dim=(1, 2), keepdim=True)
        seen_B1MF = ((log_BMF - mean_B) / (spread_B + 1e-3))[:, None]
        padded = F.pad(seen_B1MF, (0, -frames % STRIDE, 0, -bands % STRIDE), mode="replicate")
        maps = [self.enter(padded)]
        for down in self.down:
            maps.append(down(maps[-1]))
        map_BCMF = maps.pop()
        for up, join in zip(self.up, self.join, strict=True):
            map_BCMF = join(torch.cat([up(map_BCMF), maps.pop()], dim=1))
        mask_BMF: Tensor = self.leave(map_BCMF)[:, 0, :bands, :frames].sigmoid()
        return mask_BMF


def _block(n_in: int, n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in (n_in, n_out):
        layers += [nn.Conv2d(n, n_out, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
    return nn.Sequential(*layers)
