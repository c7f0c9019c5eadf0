"""The loss of Grad-W, worked out by hand and against finite differences."""

import copy

import pytest
import torch
import torch.nn.functional as F

from reseed.stages.backbones.training.network import Crops, make_backbone
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.frontends.gradw import MaskTraining, attention, speaker_head, weighted_distance, weights
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.frontends.unet import MaskNet
from reseed.store import ModelError

NETWORKS = {
    "ge2e": {},
    "ecapa_tdnn": {"channels": 8, "dimensions": 8, "bands": 24},
    "resnet_se34v2": {"bands": 16, "dimensions": 8},
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    settings = BackboneTraining(backbone=request.param, **NETWORKS[request.param])
    return make_backbone(settings, 0).frozen().double()


def sounds(rows: int = 2, samples: int = 25_600) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return 0.1 * torch.randn(rows, samples, generator=generator, dtype=torch.float64)


@pytest.fixture
def double(monkeypatch):
    """Compute in double precision also where networks leave half precision for single."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.usefixtures("double")
def test_attention_is_the_gradient_of_the_score(network):
    activation = network.activations(network.features(sounds()))
    direction_D = torch.ones(network.embedding_dim, dtype=torch.float64)

    def score(embedding_BD):
        return F.normalize(embedding_BD, dim=-1) @ direction_D

    found = attention(network, activation, score)
    assert found.shape == activation.shape
    assert not found.requires_grad
    places = found[0].flatten().abs().topk(3).indices
    step = 1e-6
    for place in places:
        moved = []
        for sign in (1, -1):
            changed = activation.clone(memory_format=torch.contiguous_format)
            changed[0].view(-1)[place] += sign * step
            moved.append(score(network.pool(changed))[0])
        assert found[0].flatten()[place] == pytest.approx(float(moved[0] - moved[1]) / (2 * step), rel=1e-4)


def test_weights_are_a_softmax_over_frequency_and_time_of_what_only_the_enhanced_one_attracts():
    enhanced, clean = torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 3)
    enhanced[0, :, 0, 1] = torch.tensor([1.0, 2.0])
    clean[0, 0, 1, 2] = 1.0
    difference = torch.tensor([0.0, 3.0, 0.0, 0.0, 0.0, -1.0])
    assert torch.allclose(weights(enhanced, clean), difference.exp() / difference.exp().sum())
    scaled = 2 * difference / difference.std()
    assert torch.allclose(weights(enhanced, clean, sharpness=2.0), scaled.softmax(0)[None])


def test_the_distance_is_weighed_position_by_position():
    clean, enhanced = torch.zeros(1, 2, 1, 2), torch.tensor([[[[1.0, -2.0]], [[3.0, 0.0]]]])
    assert weighted_distance(clean, enhanced, torch.tensor([[0.25, 0.75]])) == pytest.approx(0.25 * 2 + 0.75 * 1)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("loss", ["gradw", "equal_w", "spectral"])
def test_the_masks_gradients_agree_with_finite_differences(network, loss):
    """The weights of Grad-W are constants of the step: they are held while the mask is moved."""
    settings = FrontendTraining(loss=loss, score="anchor", width=2, sharpness=1.0)
    torch.manual_seed(0)
    training = MaskTraining(settings, network).double().eval()
    torch.nn.init.normal_(training.mask.leave.weight, std=0.5)
    noisy_BT, clean_BT = sounds(), sounds().roll(7, dims=1)
    anchor_BD = network.pool(network.activations(network.features(clean_BT))).detach()
    crops = Crops(noisy_BT, torch.zeros(2, dtype=torch.long), anchor_BD, clean_BT)
    held = training.weights
    kept = []

    def once(*arguments):
        kept.append(held(*arguments)) if not kept else None
        return kept[0]

    training.weights = once
    value = training.loss(crops, torch.Generator())
    value.backward()
    bias, step = training.mask.leave.bias, 1e-5
    moved = []
    for sign in (1, -1):
        with torch.no_grad():
            bias.add_(sign * step)
            moved.append(training.loss(crops, torch.Generator()).item())
            bias.sub_(sign * step)
    assert bias.grad.item() == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=2e-3)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("loss", ["gradw", "spectral"])
def test_a_mask_is_trained_in_half_precision_with_spectra_in_full(loss):
    network = make_backbone(BackboneTraining(backbone="ge2e"), 0).frozen()
    training = MaskTraining(FrontendTraining(loss=loss, score="anchor", width=2), network)
    noisy_BT, clean_BT = sounds().float(), sounds().float().roll(7, dims=1)
    crops = Crops(noisy_BT, torch.zeros(2, dtype=torch.long), network(clean_BT), clean_BT)
    with torch.autocast("cpu", torch.bfloat16):
        value = training.loss(crops, torch.Generator())
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(training.mask.leave.bias.grad).all()


def test_the_average_of_the_weights_shares_the_frozen_backbone():
    network = make_backbone(BackboneTraining(backbone="ge2e"), 0).frozen()
    training = MaskTraining(FrontendTraining(width=2), network)
    assert copy.deepcopy(training).backbone is network
    assert all(name.startswith("mask.") for name in training.state_dict())


def test_the_head_knows_its_speakers():
    torch.manual_seed(0)
    centres = F.normalize(torch.randn(5, 16), dim=-1)
    label_N = torch.arange(5).repeat_interleave(6)
    vectors = centres[label_N] + 0.1 * torch.randn(30, 16)
    head_KD = speaker_head(vectors, label_N, 5)
    assert ((F.normalize(vectors, dim=-1) @ head_KD.T).argmax(dim=1) == label_N).all()


def test_a_mask_begins_nearly_open_and_has_the_shape_of_what_it_masks():
    mask = MaskNet(2).eval()
    for shape in ((1, 40, 161), (2, 24, 8), (1, 9, 13)):
        found = mask(torch.rand(shape))
        assert found.shape == shape
        assert (found > 0.9).all()


def test_a_mask_does_not_depend_on_loudness_or_company():
    mask = MaskNet(2).eval()
    torch.nn.init.normal_(mask.leave.weight)
    spectrum = 1 + torch.rand(2, 16, 24)
    assert torch.allclose(mask(spectrum), mask(100 * spectrum), atol=1e-4)
    assert torch.allclose(mask(spectrum)[1:], mask(spectrum[1:]), atol=1e-6)


def test_a_spectrum_shorter_than_the_strides_is_refused():
    with pytest.raises(ModelError, match="40 bands and 7 frames is too small for the U-Net, which needs 8 of each"):
        MaskNet(2)(torch.rand(1, 40, 7))
