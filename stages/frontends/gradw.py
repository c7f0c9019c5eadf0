"""The loss of Grad-W, and its rivals: what makes a masked spectrum a good one for a frozen speaker network.

Ma et al., "Gradient weighting for speaker verification in extremely low signal-to-noise ratio" (arXiv 2401.02626),
section 2. Shapes: B batch, C channels, P positions (frequency x time) of the activation map before pooling, T samples,
K speakers, D embedding dimension.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.features import in_full_precision
from reseed.stages.backbones.training.network import Crops
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.frontends.unet import MaskNet
from reseed.stages.training.loop import Trainable

_FLOOR = 1e-6

Score = Callable[[Tensor], Tensor]


def attention(backbone: StagedBackbone, activation: Tensor, score: Score) -> Tensor:
    """Return the gradient of each row's score with respect to its activations, of their shape; nothing flows back.

    Args:
        score: embeddings [B, D] -> [B].
    """
    with torch.enable_grad():
        leaf = activation.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(score(backbone.pool(leaf)).sum(), leaf)
    return gradient


def weights(enhanced: Tensor, clean: Tensor, sharpness: float | None = None) -> Tensor:
    """Return how misplaced attention is at each position, [B, P], summing to 1 over all of them.

    The softmax over frequency and time of the gradients' difference, enhanced less clean, summed over channels.

    Args:
        enhanced, clean: gradients of the score, [B, C, ...].
        sharpness: scale the difference to this standard deviation first; none: as it is, as published.
    """
    difference_BP = (enhanced - clean).sum(dim=1).flatten(1)
    if sharpness is not None:
        difference_BP = sharpness * difference_BP / (difference_BP.std(dim=1, keepdim=True) + 1e-12)
    return difference_BP.softmax(dim=1)


def weighted_distance(clean: Tensor, enhanced: Tensor, weight_BP: Tensor) -> Tensor:
    """Return the mean over rows of the weighted absolute difference of activations, its channels averaged."""
    distance_BP = (clean - enhanced).abs().mean(dim=1).flatten(1)
    return (weight_BP * distance_BP).sum(dim=1).mean()


class Frozen:
    """What a training needs and does not change: neither saved nor averaged with what is trained, nor copied."""

    def __init__(self, backbone: StagedBackbone, head_KD: Tensor | None) -> None:
        self.backbone, self.head_KD = backbone, head_KD

    def __deepcopy__(self, memo: object) -> "Frozen":
        return self


class MaskTraining(Trainable[Crops]):
    """What is trained: the mask alone; the backbone stays as it is, on the device where it lies.

    Args:
        head_KD: directions of the speakers, for `score: speaker`.
    """

    config: FrontendTraining

    def __init__(self, config: FrontendTraining, backbone: StagedBackbone, head_KD: Tensor | None = None) -> None:
        super().__init__()
        self.config = config
        self.mask = MaskNet(config.width)
        self._frozen = Frozen(backbone, head_KD)

    @property
    def backbone(self) -> StagedBackbone:
        """The frozen network behind the mask."""
        return self._frozen.backbone

    def loss(self, crops: Crops, generator: torch.Generator) -> Tensor:
        """Return the scalar loss of a batch that is heard noisy and clean."""
        backbone = self.backbone
        _, enhanced_BMF, clean_BMF = self.spectra(crops)
        if self.config.loss == "spectral":
            return ((enhanced_BMF + _FLOOR).log() - (clean_BMF + _FLOOR).log()).abs().mean()
        with torch.no_grad():
            clean = backbone.activations(in_full_precision(backbone.features_of, clean_BMF))
        enhanced = backbone.activations(in_full_precision(backbone.features_of, enhanced_BMF))
        if self.config.loss == "equal_w":
            return (clean - enhanced).abs().mean()
        return weighted_distance(clean, enhanced, self.weights(clean, enhanced, crops))

    def spectra(self, crops: Crops) -> tuple[Tensor, Tensor, Tensor]:
        """Return the spectra of a batch, [B, M, F] each: noisy, enhanced and clean."""
        assert crops.clean_BT is not None
        with torch.no_grad():
            noisy_BMF, clean_BMF = (
                in_full_precision(self.backbone.spectrum, sound_BT) for sound_BT in (crops.waveform_BT, crops.clean_BT)
            )
        enhanced_BMF = in_full_precision(lambda mask_BMF: mask_BMF * noisy_BMF, self.mask(noisy_BMF))
        return noisy_BMF, enhanced_BMF, clean_BMF

    def weights(self, clean: Tensor, enhanced: Tensor, crops: Crops) -> Tensor:
        """Return the weights of a batch, [B, P]."""
        score = self._score(crops)
        enhanced, clean = (attention(self.backbone, activation, score) for activation in (enhanced, clean))
        return weights(enhanced, clean, self.config.sharpness)

    def _score(self, crops: Crops) -> Score:
        head_KD = self._frozen.head_KD
        if self.config.score == "anchor":
            anchor_BD = crops.anchor_BD
            assert anchor_BD is not None
            return lambda embedding_BD: F.cosine_similarity(embedding_BD, anchor_BD, dim=-1)
        assert head_KD is not None
        own_BD = head_KD[crops.label_B]
        return lambda embedding_BD: (F.normalize(embedding_BD, dim=-1) * own_BD).sum(dim=-1)


def speaker_head(
    embedding_ND: Tensor, label_N: Tensor, classes: int, *, steps: int = 300, rows: int = 4096, scale: float = 10.0
) -> Tensor:
    """Return a direction per speaker, [K, D]: logistic regression on unit vectors, from the mean of each speaker.

    Rows are the stored embeddings of the frozen backbone; no audio is heard. The logit of a speaker is the product of
    direction and unit vector.

    Args:
        rows: drawn at random for each step.
    """
    unit_ND = F.normalize(embedding_ND, dim=-1)
    sums_KD = unit_ND.new_zeros(classes, unit_ND.shape[1]).index_add_(0, label_N, unit_ND)
    head_KD = (scale * F.normalize(sums_KD, dim=-1)).requires_grad_()
    optimiser = torch.optim.Adam([head_KD], lr=0.05)
    generator = torch.Generator().manual_seed(0)
    with torch.enable_grad():
        for _ in range(steps):
            drawn = torch.randint(len(unit_ND), (min(rows, len(unit_ND)),), generator=generator).to(unit_ND.device)
            optimiser.zero_grad()
            F.cross_entropy(unit_ND[drawn] @ head_KD.T, label_N[drawn]).backward()
            optimiser.step()
    return head_KD.detach()
