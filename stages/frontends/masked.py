"""A frozen backbone with a trained mask in front of it: a backbone like any other, with a space of its own.

Shapes: B batch, T samples, M bands, F frames, D embedding dimension.
"""

from typing import Any

from torch import Tensor

from reseed.stages.backbones.base import Backbone, StagedBackbone
from reseed.stages.backbones.features import LOG_OFFSET, in_full_precision
from reseed.stages.frontends.unet import MaskNet


class MaskedBackbone(Backbone):
    """Waveforms to embeddings by way of a masked spectrum.

    Args:
        method, sha256: what the mask was trained by, and the digest of its weights.
        published: put the mask on as the released code does.
    """

    def __init__(
        self, backbone: StagedBackbone, mask: MaskNet, method: str, sha256: str, published: bool = False
    ) -> None:
        super().__init__()
        self.backbone, self.mask = backbone, mask
        self.name = f"{backbone.name}-{method}"  # type: ignore[misc]
        self.sample_rate_hz, self.embedding_dim = backbone.sample_rate_hz, backbone.embedding_dim
        self._sha256, self._published = sha256, published

    def identity(self) -> dict[str, Any]:
        masking = {"masking": "published"} if self._published else {}
        return {**self.backbone.identity(), "backbone": self.name, "frontend_sha256": self._sha256, **masking}

    def forward(self, waveform_BT: Tensor) -> Tensor:
        features_BMF = in_full_precision(self._features, waveform_BT)
        return self.backbone.pool(self.backbone.activations(features_BMF))

    def _features(self, waveform_BT: Tensor) -> Tensor:
        spectrum_BMF = self.backbone.spectrum(waveform_BT)  # with the mask in full precision too: it is small
        return masked_features(self.backbone, spectrum_BMF, self.mask(spectrum_BMF), self._published)


def masked_features(backbone: StagedBackbone, spectrum_BMF: Tensor, mask_BMF: Tensor, published: bool) -> Tensor:
    """Return what a backbone sees of a masked spectrum, [B, M, F].

    Args:
        published: add the logarithm of the mask to that of the bands, as the released code does, so that the floor
            below the bands is masked too; else mask their power.
    """
    if published:
        return backbone.features_of_log(backbone.log_of(spectrum_BMF) + (mask_BMF + LOG_OFFSET).log())
    return backbone.features_of(mask_BMF * spectrum_BMF)
