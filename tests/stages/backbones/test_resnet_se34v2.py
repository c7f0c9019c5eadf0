"""ResNetSE34V2 against its definition, computed anew from the same weights."""

import pytest
import torch
from torch import Tensor

from reseed.stages.backbones.resnet_se34v2 import ResNetSE34V2, ResNetSE34V2Config
from tests.stages.backbones import by_hand, checkpoints
from tests.stages.backbones.by_hand import batch_norm, conv, linear, relu, softmax


def embed(state: dict[str, Tensor], wave_BT, n_mels: int = 64, floor: float = 1e-4, deviation: bool = True) -> Tensor:
    log = by_hand.log_mel(wave_BT, n_mels, 0, 8000)
    centred = log - log.mean(dim=2, keepdim=True)
    x = (centred / torch.sqrt(centred.square().mean(dim=2, keepdim=True) + 1e-5))[:, None]
    x = batch_norm(relu(conv(x, state, "conv1", padding=1)), state, "bn1")
    for layer, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            at, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            out = batch_norm(relu(conv(x, state, f"{at}.conv1", padding=1, stride=stride)), state, f"{at}.bn1")
            out = batch_norm(conv(out, state, f"{at}.conv2", padding=1), state, f"{at}.bn2")
            squeezed = linear(relu(linear(out.mean(dim=(2, 3)), state, f"{at}.se.fc.0")), state, f"{at}.se.fc.2")
            out = out / (1 + torch.exp(-squeezed))[:, :, None, None]
            if stride == 2:
                x = batch_norm(conv(x, state, f"{at}.downsample.0", stride=2), state, f"{at}.downsample.1")
            x = relu(out + x)
    x = x.reshape(len(x), -1, x.shape[-1])
    hidden = batch_norm(relu(conv(x, state, "attention.0")), state, "attention.2")
    weight = softmax(conv(hidden, state, "attention.3"))
    mean = (x * weight).sum(dim=2)
    if not deviation:
        return linear(mean, state, "fc")
    spread = torch.sqrt(((x**2 * weight).sum(dim=2) - mean**2).clamp(min=floor))
    return linear(torch.cat([mean, spread], dim=1), state, "fc")


def backbone(state: dict[str, Tensor], folder, **settings) -> ResNetSE34V2:
    weights = checkpoints.save(state, folder / "resnet.model")
    return ResNetSE34V2(ResNetSE34V2Config(weights=weights, **settings)).frozen()


def test_embeddings_agree_with_the_definition(tmp_path):
    state, wave_BT = checkpoints.resnet_se34v2(), by_hand.waves()
    ours = backbone(state, tmp_path)
    assert ours.embedding_dim == 512
    by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), embed(state, wave_BT))


def test_other_published_sizes_follow_from_the_weights(tmp_path):
    state, wave_BT = checkpoints.resnet_se34v2(dim=256, n_mels=40, pooled=1, seed=2), by_hand.waves(0.5, 2)
    ours = backbone(state, tmp_path)
    assert ours.embedding_dim == 256
    by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), embed(state, wave_BT, n_mels=40, deviation=False))


@pytest.mark.parametrize("floor", [1e-4, 1e-5])
def test_the_floor_of_the_variance_is_that_of_seed_or_of_voxceleb_trainer(tmp_path, floor):
    state, wave_BT = checkpoints.resnet_se34v2(seed=3), by_hand.waves(0.3, 2)
    for name in ("layer4.2.bn2.weight", "layer4.2.bn2.bias", "layer4.0.downsample.1.weight", "layer4.1.bn2.weight"):
        state[name] *= 0.01  # variances about the floor, where the two definitions part
    ours = backbone(state, tmp_path, variance_floor=floor)
    by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), embed(state, wave_BT, floor=floor))
    by_hand_other = embed(state, wave_BT, floor=1.1e-4 - floor)
    with pytest.raises(AssertionError):
        by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), by_hand_other)


def test_the_layout_in_memory_changes_nothing(tmp_path):
    state, wave_BT = checkpoints.resnet_se34v2(), torch.from_numpy(by_hand.waves(0.5))
    ours = backbone(state, tmp_path)
    expected_BD = ours(wave_BT)
    torch.testing.assert_close(
        ours.to(memory_format=torch.contiguous_format)(wave_BT), expected_BD, rtol=1e-4, atol=1e-4
    )


def test_filter_banks_in_the_file_are_used_and_may_be_absent(tmp_path):
    state, wave_BT = checkpoints.resnet_se34v2(), torch.from_numpy(by_hand.waves(0.3))
    ours = backbone(state, tmp_path)
    saved = ours.state_dict()
    assert {name for name in saved if name not in state} == {
        "torchfb.0.flipped_filter",
        "torchfb.1.spectrogram.window",
        "torchfb.1.mel_scale.fb",
    }
    assert torch.equal(backbone(saved, tmp_path)(wave_BT), ours(wave_BT))
    saved["torchfb.1.spectrogram.window"] = torch.hann_window(400)
    assert not torch.allclose(backbone(saved, tmp_path)(wave_BT), ours(wave_BT))
