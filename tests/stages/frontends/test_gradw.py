"""The loss of Grad-W, worked out by hand and against finite differences."""

import copy

import pytest
import torch
import torch.nn.functional as F

from reseed.stages.backbones.table import load_backbone
from reseed.stages.backbones.training.network import Crops, make_backbone
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.frontends.gradw import MaskTraining, attention, speaker_head, weighted_distance, weights
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.frontends.unet import MaskNet
from reseed.store import ModelError
from tests.stages.backbones.checkpoints import STATES, save

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

    found = attention(network.pool, activation, score)
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


def released(network, mask, crops):
    """Return the loss of the released code, and the gradients of the mask's parameters."""
    spectrum = network.spectrum(crops.waveform_BT)
    enhanced = network.activations(network.features_of_log(network.log_of(spectrum) + (mask(spectrum) + 1e-6).log()))
    clean = network.activations(network.features(crops.clean_BT))
    gradients = []
    for activation in (enhanced, clean):
        leaf = activation.detach().clone().requires_grad_()
        embedding = network.pool(leaf)
        lengths = embedding.norm(dim=1) * crops.anchor_BD.norm(dim=1)
        (32 * (embedding * crops.anchor_BD).sum(1) / lengths).sum().backward()
        gradients.append(leaf.grad)
    loss = 0.0
    for row in range(len(spectrum)):
        heavy = (gradients[0][row] - gradients[1][row]).sum(0).exp()
        loss = loss + (heavy / heavy.sum() * (clean[row] - enhanced[row]).abs()).sum()
    loss = loss / len(spectrum)
    return loss, torch.autograd.grad(loss, list(mask.parameters()))


@pytest.mark.usefixtures("double")
def test_published_gives_loss_and_gradients_of_the_released_formula(network):
    settings = FrontendTraining(published=True, width=2)
    noisy_BT, clean_BT = sounds(), sounds().roll(7, dims=1)
    direction_BD = torch.randn(2, network.embedding_dim, generator=torch.Generator().manual_seed(1)).double()
    torch.manual_seed(0)
    training = MaskTraining(settings, network, 32 * F.normalize(direction_BD, dim=1)).double().train()
    torch.nn.init.normal_(training.mask.leave.weight, std=0.5)
    crops = Crops(noisy_BT, torch.arange(2), direction_BD, clean_BT)
    expected, gradients = released(network, training.mask, crops)
    value = training.loss(crops, torch.Generator())
    value.backward()
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    for parameter, gradient in zip(training.mask.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-6, atol=1e-6 * float(gradient.abs().max() + 1e-9))


def test_published_takes_the_released_codes_optimiser_unless_told_otherwise():
    released = FrontendTraining(published=True)
    assert (released.lr, released.schedule, released.grad_clip, released.warmup_epochs) == (5e-4, "constant", None, 5)
    assert released.warmed_up_over(7).warmup_steps == 35
    assert FrontendTraining(published=True, lr=1e-3).lr == 1e-3
    assert FrontendTraining(**released.model_dump(mode="json")) == released
    for wrong in ({"sharpness": 1.0}, {"loss": "spectral"}, {"warmup_steps": 9}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            FrontendTraining(published=True, **wrong)


def test_settings_of_before_are_written_as_they_were():
    written = FrontendTraining().model_dump(mode="json")
    assert not {"published", "activations", "warmup_epochs"} & set(written)
    assert FrontendTraining().warmed_up_over(7) == FrontendTraining()


@pytest.mark.parametrize("name", ["campplus", "resnet34_wespeaker"])
def test_weights_lie_over_frequency_and_time(name, tmp_path):
    network = load_backbone(name, {"weights": save(STATES[name](), tmp_path / "weights.pt")}).frozen()
    training = MaskTraining(FrontendTraining(activations="convolutional", score="anchor", width=2), network)
    noisy_BT, clean_BT = sounds().float(), sounds().float().roll(7, dims=1)
    feature_BMF = network.features(clean_BT)
    activation = network.convolutional(feature_BMF)
    assert torch.equal(network.pooled_of(activation), network.activations(feature_BMF))
    crops = Crops(noisy_BT, torch.zeros(2, dtype=torch.long), torch.randn(2, network.embedding_dim), clean_BT)
    clean, enhanced = training.maps(*training.spectra(crops))
    weight_BP = training.weights(clean, enhanced, crops)
    assert clean.shape == enhanced.shape == activation.shape
    places_BMF = weight_BP.unflatten(1, activation.shape[2:])
    assert torch.allclose(places_BMF.sum((1, 2)), torch.ones(2))
    assert (places_BMF.std(dim=1) > 0).any()
    assert (places_BMF.std(dim=2) > 0).any()
    training.loss(crops, torch.Generator()).backward()
    assert training.mask.leave.bias.grad.abs() > 0


def test_a_network_without_activations_over_frequency_is_refused():
    network = make_backbone(BackboneTraining(backbone="ge2e"), 0).frozen()
    training = MaskTraining(FrontendTraining(activations="convolutional", score="anchor", width=2), network)
    crops = Crops(sounds().float(), torch.zeros(2, dtype=torch.long), torch.randn(2, 256), sounds().float())
    with pytest.raises(ModelError, match="ge2e has no activations over frequency; set activations: pooled"):
        training.loss(crops, torch.Generator())


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


def test_half_precision_before_campplus_gives_the_loss_of_single_and_activations_in_single(tmp_path):
    network = load_backbone("campplus", {"weights": save(STATES["campplus"](), tmp_path / "weights.pt")}).frozen()
    crops = Crops(
        sounds().float(),
        torch.zeros(2, dtype=torch.long),
        torch.randn(2, network.embedding_dim),
        sounds().float().roll(7, dims=1),
    )
    losses = {}
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        training = MaskTraining(FrontendTraining(score="anchor", precision=precision), network)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            assert training.maps(*training.spectra(crops))[1].dtype == torch.float32
            losses[precision] = training.loss(crops, torch.Generator())
        losses[precision].backward()
        assert torch.isfinite(training.mask.leave.weight.grad).all()
    assert losses["bfloat16"].item() == pytest.approx(losses["float32"].item(), rel=0.05)


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
    released_KD = speaker_head(vectors, label_N, 5, published=True)
    assert torch.allclose(released_KD.norm(dim=1), torch.tensor(32.0))
    assert ((F.normalize(vectors, dim=-1) @ released_KD.T).argmax(dim=1) == label_N).all()


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
