"""What every speaker backbone offers: a frozen network from waveforms to embeddings.

Shapes: B batch, T samples, D embedding dimension, M features per frame, F frames, C channels.

    Backbone            waveforms to embeddings
    └── StagedBackbone  in four differentiable steps: spectrum, features, activation map, embedding; trainable
"""

from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from reseed.stages.backbones.features import LOG_OFFSET, in_full_precision
from reseed.stages.backbones.settings import BackboneConfig
from reseed.store import ModelError
from reseed.store.atomic import digest


class Backbone(nn.Module):
    """Base of the backbones; a subclass lives in one file with its Config and its exact features.

    A subclass sets `name`, `Config`, `sample_rate_hz` and `embedding_dim`, implements `forward`, and returns
    from `identity` all that decides its output. `landmarks` are names of weights by which a checkpoint of this
    network is told from those of the others.
    """

    name: ClassVar[str]
    Config: ClassVar[type[BackboneConfig]]
    landmarks: ClassVar[tuple[str, ...]] = ()
    sample_rate_hz: int
    embedding_dim: int

    def identity(self) -> dict[str, Any]:
        """Return what decides the embeddings (JSON-like): digest of the weights, features, front end."""
        raise NotImplementedError

    def forward(self, waveform_BT: Tensor) -> Tensor:
        """Map waveforms [B, T] in -1..1 at `sample_rate_hz` to embeddings [B, D]."""
        raise NotImplementedError

    @property
    def space(self) -> str:
        """The name of the embedding space, e.g. "ge2e:1a2b3c4d"; equal for equal identities."""
        return f"{self.name}:{digest(self.identity())[:8]}"

    def frozen(self, device: str | torch.device = "cpu") -> Self:
        """Move to `device`, switch to evaluation and stop gradients; returns self."""
        return self.to(device).eval().requires_grad_(False)


class StagedBackbone(Backbone):
    """A backbone whose spectrum, features and activation map before pooling are open, and differentiable.

    A subclass implements the four steps, the third as `activations` or as `convolutional` and `pooled_of`; `forward` is
    one after the other. What stands in front of a backbone masks the spectrum; what is trained with it looks at the
    activations.
    """

    def spectrum(self, waveform_BT: Tensor) -> Tensor:
        """Map waveforms [B, T] to power in bands, [B, M, F], in full precision; 10 ms from frame to frame."""
        raise NotImplementedError

    def log_of(self, spectrum_BMF: Tensor) -> Tensor:
        """Map power in bands to its logarithm as the network takes it, with a floor below, [B, M, F]."""
        return (spectrum_BMF + LOG_OFFSET).log()

    def features_of_log(self, log_BMF: Tensor) -> Tensor:
        """Map the logarithm of power in bands to what the network sees, [B, M, F]."""
        raise NotImplementedError

    def features_of(self, spectrum_BMF: Tensor) -> Tensor:
        """Map power in bands to what the network sees, [B, M, F]."""
        return self.features_of_log(self.log_of(spectrum_BMF))

    @property
    def filterbank_HM(self) -> Tensor:
        """How much each of H frequencies from 0 to half the sample rate counts in each band."""
        raise NotImplementedError

    def features(self, waveform_BT: Tensor) -> Tensor:
        """Map waveforms [B, T] to what the network sees, [B, M, F], in full precision."""
        return self.features_of(self.spectrum(waveform_BT))

    def activations(self, feature_BMF: Tensor) -> Tensor:
        """Map features [B, M, F] to what is pooled: [B, C, ...], frames last."""
        return self.pooled_of(self.convolutional(feature_BMF))

    def convolutional(self, feature_BMF: Tensor) -> Tensor:
        """Map features to the last activations that lie over frequency as well as time, [B, C, bands, frames].

        Where there are none, or they are what is pooled: just that.
        """
        return self.activations(feature_BMF)

    def pooled_of(self, convolutional: Tensor) -> Tensor:
        """Map what `convolutional` returns to what is pooled."""
        return convolutional

    def pool(self, activation: Tensor) -> Tensor:
        """Map activations to embeddings [B, D]."""
        raise NotImplementedError

    def forward(self, waveform_BT: Tensor) -> Tensor:
        return self.pool(self.activations(in_full_precision(self.features, waveform_BT)))


def require_stages(backbone: Backbone, why: str) -> StagedBackbone:
    """Return a backbone whose spectrum and activations are open.

    Raises:
        ModelError: this one's are not.
    """
    if not isinstance(backbone, StagedBackbone):
        raise ModelError(
            f"{backbone.name} does not open its spectrum and its activation map, which {why} needs; choose ge2e, "
            "campplus, resnet_se34v2, resnet34_wespeaker, eres2net, eres2netv2, redimnet, titanet, ecapa_tdnn or "
            "ecapa_taoruijie"
        )
    return backbone
