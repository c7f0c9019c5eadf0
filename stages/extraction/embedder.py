"""Make drawn views audible and run a frozen backbone over them: device, precision, and what to do when memory runs out.

Shapes: B batch, T samples, D embedding dimension.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from reseed.stages.audio.draw import Draw
from reseed.stages.audio.mix import mix
from reseed.stages.audio.recipe import WindowSettings
from reseed.stages.backbones.base import Backbone
from reseed.stages.common.terminal import log
from reseed.store import ModelError

# What a network makes of more leaves a CPU's caches, and blocks above 32 MiB are asked of the kernel anew each time.
_PASS_S = 20.0
_OUT_OF_MEMORY = ("out of memory", "alloc_failed", "failed to allocate")


class Embedder:
    """A frozen backbone on a device: drawn views in, embeddings [B, D] in float32 out.

    Args:
        precision: "float32", or "bfloat16" or "float16" by autocast; how far vectors move is reported once.
        compile: let torch compile the backbone.
        windows: embed window by window, and average.
    """

    def __init__(
        self,
        backbone: Backbone,
        device: str,
        precision: str = "float32",
        compile: bool = False,
        windows: WindowSettings | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.backbone = backbone.frozen(self.device)
        self._run = torch.compile(self.backbone) if compile else self.backbone
        self._dtype = getattr(torch, precision)
        self._drift_reported = self._dtype is torch.float32
        self._most: int | None = None
        self._windows = windows

    def __call__(self, draws: Sequence[Draw]) -> Tensor:
        """Embed some draws; where the memory of the device does not suffice, fewer at a time from then on.

        Raises:
            torch.OutOfMemoryError: not even one fits.
        """
        size = min(self._most or len(draws), len(draws))
        try:
            return torch.cat([self._embed(draws[start : start + size]) for start in range(0, len(draws), size)])
        except (RuntimeError, ModelError) as error:
            if size == 1 or not _is_out_of_memory(error):
                raise
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._most = size // 2
        log(f"out of memory with {size} waveforms; going on with {self._most} at a time")
        return self(draws)

    def forward(self, waveform_BT: Tensor) -> Tensor:
        """Run the backbone alone, in the precision asked for: [B, T] to [B, D] in float32; on a CPU some at a time."""
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype is not torch.float32):
            return torch.cat([self._run(part_BT).float() for part_BT in waveform_BT.chunk(self._passes(waveform_BT))])

    def _passes(self, waveform_BT: Tensor) -> int:
        """Return into how many equal parts a batch is cut; a compiled network would be compiled for each size."""
        if self.device.type != "cpu" or self._run is not self.backbone:
            return 1
        batch, samples = waveform_BT.shape
        at_once = max(1, int(_PASS_S * self.backbone.sample_rate_hz / samples))
        return -(-batch // at_once)

    def _embed(self, draws: Sequence[Draw]) -> Tensor:
        with torch.inference_mode():
            waveform_BT = mix(draws, self.backbone.sample_rate_hz, self.device)
            embedding_BD = self._averaged(waveform_BT) if self._windows else self.forward(waveform_BT)
            if not self._drift_reported:
                self._report_drift(waveform_BT, embedding_BD)
        return embedding_BD

    def _averaged(self, waveform_BT: Tensor) -> Tensor:
        """Return the mean of the unit vectors of all windows, as many waveforms at a time as there are in the batch."""
        assert self._windows is not None
        rate, samples = self.backbone.sample_rate_hz, waveform_BT.shape[1]
        length, hop = (max(1, round(value_s * rate)) for value_s in (self._windows.length_s, self._windows.hop_s))
        last = max(0, samples - length)
        starts = sorted({*range(0, last, hop), last})
        found_WBD = [F.normalize(self.forward(waveform_BT[:, start : start + length]), dim=-1) for start in starts]
        return torch.stack(found_WBD).mean(dim=0)

    def _report_drift(self, waveform_BT: Tensor, embedding_BD: Tensor) -> None:
        cosine_B = F.cosine_similarity(embedding_BD, self.backbone(waveform_BT).float())
        agreement = f"cosine with float32: {cosine_B.mean():.6f} on average, {cosine_B.min():.6f} at least"
        log(f"{self.backbone.name} in {str(self._dtype).removeprefix('torch.')}: {agreement}")
        self._drift_reported = True


def _is_out_of_memory(error: Exception) -> bool:
    """Tell it from other faults, also as cuBLAS, cuDNN and onnxruntime say it."""
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(words in said for words in _OUT_OF_MEMORY)
