"""The loss of Grad-W, and its rivals: what makes a masked spectrum a good one for a frozen speaker network.

Ma et al., "Gradient weighting for speaker verification in extremely low signal-to-noise ratio" (arXiv 2401.02626),
section 2; the released code (mmmmayi/Grad-W), whose formulas `published` takes, has

    s = 32 cos(embedding, direction of the speaker);  g = ds/dA;  P = softmax over (f, t) of sum_c (g_enh - g_clean)
    loss = mean over rows of sum over (c, f, t) of P |A_clean - A_enh|

Shapes: B batch, C channels, P positions (frequency x time) of the activation map before pooling, T samples, K speakers,
D embedding dimension.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.features import in_full_precision
from reseed.stages.backbones.training.network import Crops
from reseed.stages.frontends.masked import masked_features
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.frontends.unet import MaskNet
from reseed.stages.training.loop import Trainable
from reseed.store import ModelError

_FLOOR = 1e-6
RELEASED_SCALE = 32.0  # of the cosine
START_LENGTH = 10.0  # of a speaker's direction

Pool = Callable[[Tensor], Tensor]
Score = Callable[[Tensor], Tensor]


def attention(pool: Pool, activation: Tensor, score: Score) -> Tensor:
    """Return the gradient of each row's score with respect to its activations, of their shape; nothing flows back.

    Args:
        pool: activations -> embeddings [B, D]; score: embeddings -> [B].
    """
    with torch.enable_grad():
        leaf = activation.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(score(pool(leaf)).sum(), leaf)
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
        if config.precision != "float32" and config.width % 16 == 0:  # as for resnet34_wespeaker
            # On a CPU half precision pays where the channels of a point lie side by side.
            for network in (self.mask, backbone):
                nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)

    @property
    def backbone(self) -> StagedBackbone:
        """The frozen network behind the mask."""
        return self._frozen.backbone

    def loss(self, crops: Crops, generator: torch.Generator) -> Tensor:
        """Return the scalar loss of a batch that is heard noisy and clean."""
        noisy_BMF, mask_BMF, clean_BMF = self.spectra(crops)
        if self.config.loss == "spectral":
            enhanced_BMF = in_full_precision(lambda mask_BMF: mask_BMF * noisy_BMF, mask_BMF)
            return ((enhanced_BMF + _FLOOR).log() - (clean_BMF + _FLOOR).log()).abs().mean()
        clean, enhanced = self.maps(noisy_BMF, mask_BMF, clean_BMF)
        scale = clean.shape[1] if self.config.published else 1  # the released code sums channels
        if self.config.loss == "equal_w":
            return scale * (clean - enhanced).abs().mean()
        return scale * weighted_distance(clean, enhanced, self.weights(clean, enhanced, crops))

    def spectra(self, crops: Crops) -> tuple[Tensor, Tensor, Tensor]:
        """Return the noisy spectrum of a batch, its mask and the clean spectrum, [B, M, F] each."""
        assert crops.clean_BT is not None
        with torch.no_grad():
            noisy_BMF, clean_BMF = (
                in_full_precision(self.backbone.spectrum, sound_BT) for sound_BT in (crops.waveform_BT, crops.clean_BT)
            )
        return noisy_BMF, self.mask(noisy_BMF), clean_BMF

    def maps(self, noisy_BMF: Tensor, mask_BMF: Tensor, clean_BMF: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activations that are compared, of the clean and the masked spectra.

        Raises:
            ModelError: they are to lie over frequency, and this network has none such.
        """
        backbone, published = self.backbone, self.config.published
        convolutional = self.config.activations == "convolutional"

        def seen_by(feature_BMF: Tensor) -> Tensor:
            activation = backbone.convolutional(feature_BMF)
            # What campplus does after its convolutions is not faster in half precision, on a CPU slower.
            return activation if convolutional else in_full_precision(backbone.pooled_of, activation)

        with torch.no_grad():
            clean = seen_by(in_full_precision(backbone.features_of, clean_BMF))
        if convolutional and clean.ndim < 4:
            raise ModelError(f"{backbone.name} has no activations over frequency; set activations: pooled")
        masked = in_full_precision(lambda mask_BMF: masked_features(backbone, noisy_BMF, mask_BMF, published), mask_BMF)
        return clean, seen_by(masked)

    def weights(self, clean: Tensor, enhanced: Tensor, crops: Crops) -> Tensor:
        """Return the weights of a batch, [B, P]."""
        score = self._score(crops)
        enhanced, clean = (attention(self._pool, activation, score) for activation in (enhanced, clean))
        return weights(enhanced, clean, self.config.sharpness)

    def _pool(self, activation: Tensor) -> Tensor:
        if self.config.activations == "convolutional":
            activation = self.backbone.pooled_of(activation)
        return self.backbone.pool(activation)

    def _score(self, crops: Crops) -> Score:
        head_KD, scale = self._frozen.head_KD, RELEASED_SCALE if self.config.published else 1.0
        if self.config.score == "anchor":
            anchor_BD = crops.anchor_BD
            assert anchor_BD is not None
            return lambda embedding_BD: scale * F.cosine_similarity(embedding_BD, anchor_BD, dim=-1)
        assert head_KD is not None
        own_BD = head_KD[crops.label_B]
        return lambda embedding_BD: (F.normalize(embedding_BD, dim=-1) * own_BD).sum(dim=-1)


def speaker_head(
    embedding_ND: Tensor,
    label_N: Tensor,
    classes: int,
    *,
    steps: int = 300,
    rows: int = 4096,
    published: bool = False,
) -> Tensor:
    """Return a direction per speaker, [K, D]: logistic regression on unit vectors, from the mean of each speaker.

    Rows are the stored embeddings of the frozen backbone; no audio is heard. The logit of a speaker is the product of
    direction and unit vector.

    Args:
        rows: drawn at random for each step.
        published: the directions stay of one length, so that a logit is 32 times the cosine; else they begin at
            length 10.
    """
    scale = RELEASED_SCALE if published else START_LENGTH

    def directions(head_KD: Tensor) -> Tensor:
        return scale * F.normalize(head_KD, dim=-1) if published else head_KD

    unit_ND = F.normalize(embedding_ND, dim=-1)
    sums_KD = unit_ND.new_zeros(classes, unit_ND.shape[1]).index_add_(0, label_N, unit_ND)
    head_KD = (scale * F.normalize(sums_KD, dim=-1)).requires_grad_()
    optimiser = torch.optim.Adam([head_KD], lr=0.05)
    generator = torch.Generator().manual_seed(0)
    with torch.enable_grad():
        for _ in range(steps):
            drawn = torch.randint(len(unit_ND), (min(rows, len(unit_ND)),), generator=generator).to(unit_ND.device)
            optimiser.zero_grad()
            F.cross_entropy(unit_ND[drawn] @ directions(head_KD).T, label_N[drawn]).backward()
            optimiser.step()
    return directions(head_KD).detach()
