"""ReDimNet against its definition, computed anew from the same weights."""

import math

import pytest
import torch
from torch import Tensor

from reseed.stages.backbones.redimnet import ReDimNet, ReDimNetConfig
from reseed.store import ModelError
from tests.stages.backbones import by_hand, checkpoints
from tests.stages.backbones.by_hand import conv, linear, relu, softmax
from tests.stages.backbones.checkpoints import REDIMNET_STAGES

State = dict[str, Tensor]


def embed(state: State, wave_BT, channels: int = 4, bands: int = 12) -> Tensor:
    log = by_hand.log_mel(wave_BT, bands, 20, 7600)
    x = (log - log.mean(dim=2, keepdim=True))[:, None]
    outputs = [to_row(channel_norm(conv(x, state, "backbone.stem.0", padding=1), state, "backbone.stem.1"))]
    for stage, (stride, blocks, widening, inner) in enumerate(REDIMNET_STAGES):
        at = f"backbone.stage{stage}"
        x = summed(outputs, state, f"{at}.0.w")
        x = x.reshape(len(x), bands, channels, -1).permute(0, 2, 1, 3)
        x = conv(x, state, f"{at}.2", stride=(stride, 1))
        channels, bands, index = stride * channels, bands // stride, 3 + blocks
        for block in range(3, index):
            x = plane(x, state, f"{at}.{block}.conv_block")
        if widening > 1:
            x = conv(x, state, f"{at}.{index}.0", padding=1, groups=channels // 2)
            x = conv(gelu(batch_norm(x, state, f"{at}.{index}.1", eps=1e-6)), state, f"{at}.{index}.3")
            index += 1
        x = to_row(x)
        outputs.append(x if inner is None else context(x, state, f"{at}.{index + 1}"))
    x = summed(outputs, state, "backbone.fin_wght1d.w")
    mean, spread = x.mean(dim=2, keepdim=True), torch.sqrt(x.var(dim=2, keepdim=True) + 1e-7)
    seen = torch.cat([x, mean.expand_as(x), spread.expand_as(x)], dim=1)
    weight = softmax(conv(torch.tanh(conv(seen, state, "pool.linear1")), state, "pool.linear2"))
    mean = (weight * x).sum(dim=2)
    spread = torch.sqrt(((weight * x**2).sum(dim=2) - mean**2).clamp(min=1e-7))
    return linear(batch_norm(torch.cat([mean, spread], dim=1), state, "bn"), state, "linear")


def to_row(x: Tensor) -> Tensor:
    return x.permute(0, 2, 1, 3).reshape(len(x), -1, x.shape[3])


def summed(outputs: list[Tensor], state: State, name: str) -> Tensor:
    weight = state[name].double().exp() / state[name].double().exp().sum(dim=1, keepdim=True)
    return (weight * torch.stack(outputs, dim=1)).sum(dim=1)


def channel_norm(x: Tensor, state: State, name: str) -> Tensor:
    shape = (1, -1, *[1] * (x.ndim - 2))
    off = x - x.mean(dim=1, keepdim=True)
    scaled = off / torch.sqrt(off.square().mean(dim=1, keepdim=True) + 1e-6)
    return scaled * state[f"{name}.weight"].double().reshape(shape) + state[f"{name}.bias"].double().reshape(shape)


def batch_norm(x: Tensor, state: State, name: str, eps: float = by_hand.EPS) -> Tensor:
    moved = {**state, f"{name}.running_var": state[f"{name}.running_var"].double() + eps - by_hand.EPS}
    return by_hand.batch_norm(x, moved, name)


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def next_block(x: Tensor, state: State, at: str) -> Tensor:
    weight = state[f"{at}.dwconvs.0.weight"]
    padding = tuple(size // 2 for size in weight.shape[2:])
    hidden = conv(x, state, f"{at}.dwconvs.0", padding=padding, groups=x.shape[1] // weight.shape[1])
    return x + conv(gelu(batch_norm(hidden, state, f"{at}.norm")), state, f"{at}.pwconv1")


def plane(x: Tensor, state: State, at: str) -> Tensor:
    if f"{at}.norm.weight" in state:
        return next_block(x, state, at)
    out = x
    for number in (1, 2):
        groups = x.shape[1] // state[f"{at}.conv{number}.weight"].shape[1]
        out = conv(out, state, f"{at}.conv{number}", padding=1, groups=groups)
        out = conv(out, state, f"{at}.conv{number}pw") if groups > 1 else out
        out = batch_norm(relu(out) if number == 1 else out, state, f"{at}.bn{number}")
    if f"{at}.se.squeeze.weight" in state:
        hidden = relu(linear(out.mean(dim=(1, 3)), state, f"{at}.se.squeeze"))
        out = out / (1 + torch.exp(-linear(hidden, state, f"{at}.se.exitation")))[:, None, :, None]
    return relu(out + x)


def context(x: Tensor, state: State, at: str) -> Tensor:
    h = channel_norm(conv(x, state, f"{at}.red_dim_conv.0"), state, f"{at}.red_dim_conv.1")
    for index in range(4):
        h = next_block(h, state, f"{at}.tcm.{index}")
    at_layer, h = f"{at}.tcm.4", h.transpose(1, 2)
    q, k, v = (linear(h, state, f"{at_layer}.attention.{name}_proj") for name in "qkv")
    heads = []
    for part in torch.arange(h.shape[2]).chunk(4):
        weight = softmax(q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(len(part)))
        heads.append(weight @ v[..., part])
    h = h + linear(torch.cat(heads, dim=2), state, f"{at_layer}.attention.out_proj")
    h = channel_norm(h.transpose(1, 2), state, f"{at_layer}.layer_norm").transpose(1, 2)
    hidden = linear(h, state, f"{at_layer}.feed_forward.intermediate_dense")
    hidden = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3)))
    h = h + linear(hidden, state, f"{at_layer}.feed_forward.output_dense")
    h = channel_norm(h.transpose(1, 2), state, f"{at_layer}.final_layer_norm")
    return x + conv(h, state, f"{at}.exp_dim_conv")


def backbone(held: object, folder) -> ReDimNet:
    return ReDimNet(ReDimNetConfig(weights=checkpoints.save(held, folder / "b2-vox2-ft_lm.pt"))).frozen()


@pytest.mark.parametrize("kind", ["convnext", "resnet", "whole", "excited"])
def test_embeddings_agree_with_the_definition(kind, tmp_path):
    state, wave_BT = checkpoints.redimnet(kind), by_hand.waves(0.7)
    ours = backbone(
        {"model_config": {"F": 12, "hop_length": 160, "spec_params": {"f_min": 20.0}}, "state_dict": state}, tmp_path
    )
    assert ours.embedding_dim == 20
    by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), embed(state, wave_BT))
    assert torch.isfinite(backbone({"model_config": [1], "state_dict": state}, tmp_path)(torch.zeros(1, 8000))).all()


def test_layers_that_classified_are_left_out_and_filter_banks_of_the_file_are_used(tmp_path):
    state, wave_BT = checkpoints.redimnet(), torch.from_numpy(by_hand.waves(0.4))
    ours = backbone(state, tmp_path)
    whole = {name.removeprefix("network."): tensor for name, tensor in ours.state_dict().items()}
    assert {name for name in whole if name not in state} == {
        "spec.torchfbank.1.flipped_filter",
        "spec.torchfbank.2.spectrogram.window",
        "spec.torchfbank.2.mel_scale.fb",
    }
    whole |= {"cls_head.2.weight": torch.zeros(7, 20), "cls_head.2.bias": torch.zeros(7)}
    assert torch.equal(backbone(whole, tmp_path)(wave_BT), ours(wave_BT))
    assert torch.equal(backbone(ours.state_dict(), tmp_path)(wave_BT), ours(wave_BT))
    whole["spec.torchfbank.2.spectrogram.window"] = torch.hann_window(400)
    assert not torch.allclose(backbone(whole, tmp_path)(wave_BT), ours(wave_BT))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"hop_length": 240}, "says hop_length=240, but this is built for 160"),
        ({"block_2d_type": "convnext_like_relu"}, "says block_2d_type='convnext_like_relu'"),
        ({"hop_length": torch.ones(3)}, r"says hop_length=tensor\(\[1\., 1\., 1\.\]\), but"),
        ({"spec_params": {"spec_norm": "mvn"}}, r"says spec_params\.spec_norm='mvn', but this is built for 'mn'"),
    ],
)
def test_a_file_whose_words_name_another_network_is_refused(words, said, tmp_path):
    with pytest.raises(ModelError, match=said):
        backbone({"model_config": words, "state_dict": checkpoints.redimnet()}, tmp_path)


@pytest.mark.parametrize("duration_ms", [10, 20])
def test_a_clip_too_short_is_repeated_up_to_a_window(tmp_path, duration_ms):
    ours = backbone(checkpoints.redimnet(), tmp_path)
    clip_BT = torch.from_numpy(by_hand.waves()[:, 8000 : 8000 + 16 * duration_ms])
    assert torch.isfinite(ours(clip_BT)).all()
    assert torch.equal(ours(clip_BT), ours(torch.cat([clip_BT] * 3, dim=1)[:, :400]))
