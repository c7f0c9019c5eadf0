"""ERes2Net and ERes2NetV2 against their definitions, computed anew from the same weights."""

import numpy as np
import pytest
import torch
from torch import Tensor

from reseed.stages.backbones.table import load_backbone
from reseed.stages.backbones.training.network import make_backbone
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.store import ConfigError
from tests.stages.backbones import by_hand, checkpoints
from tests.stages.backbones.by_hand import batch_norm, conv, linear, relu

State = dict[str, Tensor]
SIZES = {
    "base": {},
    "huge": {"group": 24 / 64, "groups": 3, "expansion": 4, "width": 16},
    "w24s4ep4": {"group": 24 / 64, "groups": 4, "expansion": 4, "width": 16},
    "groups of odd size": {"group": 26 / 64, "width": 10},
}


def embed(state: State, wave_BT) -> Tensor:
    bands = [by_hand.kaldi_bands(wave.astype(np.float64), 16_000, 80, "povey") for wave in wave_BT]
    x = torch.from_numpy(np.stack([band - band.mean(axis=0) for band in bands])).transpose(1, 2)[:, None]
    x = relu(batch_norm(conv(x, state, "conv1", padding=1), state, "bn1"))
    maps = []
    for layer, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            x = res2(x, state, f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1)
        maps.append(x)
    if "layer3_ds.weight" in state:
        x = fused(maps[3], conv(maps[2], state, "layer3_ds", padding=1, stride=2), state, "fuse34")
    else:
        x = maps[0]
        for layer, name in enumerate(("12", "123", "1234"), start=1):
            halved = conv(x, state, f"layer{layer}_downsample", padding=1, stride=2)
            x = fused(maps[layer], halved, state, f"fuse_mode{name}")
    variance = (x - x.mean(dim=3, keepdim=True)).square().sum(dim=3) / (x.shape[3] - 1)
    pooled = [x.mean(dim=3).flatten(1), torch.sqrt(variance + 1e-8).flatten(1)]
    return linear(torch.cat(pooled, dim=1), state, "seg_1")


def res2(x: Tensor, state: State, at: str, stride: int) -> Tensor:
    whole = clipped(batch_norm(conv(x, state, f"{at}.conv1", stride=stride), state, f"{at}.bn1"))
    each, parts = state[f"{at}.convs.0.weight"].shape[0], []
    for part in range(whole.shape[1] // each):
        group = whole[:, part * each : (part + 1) * each]
        if part and f"{at}.fuse_models.0.local_att.0.weight" in state:
            group = fused(parts[-1], group, state, f"{at}.fuse_models.{part - 1}")
        elif part:
            group = group + parts[-1]
        group = conv(group, state, f"{at}.convs.{part}", padding=1)
        parts.append(clipped(batch_norm(group, state, f"{at}.bns.{part}")))
    out = batch_norm(conv(torch.cat(parts, dim=1), state, f"{at}.conv3"), state, f"{at}.bn3")
    if f"{at}.shortcut.0.weight" in state:
        x = batch_norm(conv(x, state, f"{at}.shortcut.0", stride=stride), state, f"{at}.shortcut.1")
    return clipped(out + x)


def fused(one: Tensor, other: Tensor, state: State, at: str) -> Tensor:
    hidden = conv(torch.cat([one, other], dim=1), state, f"{at}.local_att.0")
    hidden = batch_norm(hidden, state, f"{at}.local_att.1")
    hidden = hidden / (1 + torch.exp(-hidden))
    attention = torch.tanh(batch_norm(conv(hidden, state, f"{at}.local_att.3"), state, f"{at}.local_att.4"))
    return (1 + attention) * one + (1 - attention) * other


def clipped(x: Tensor) -> Tensor:
    return x.clamp(0, 20)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("eres2net", "base"), ("eres2net", "huge"), ("eres2netv2", "groups of odd size"), ("eres2netv2", "w24s4ep4")],
)
def test_embeddings_agree_with_the_definition(name, sizes, tmp_path):
    state, wave_BT = checkpoints.STATES[name](**SIZES[sizes]), by_hand.waves(0.4, 2)
    state["layer1.0.bn3.weight"] *= 40  # beyond the ceiling of the activations
    weights = checkpoints.save(state, tmp_path / "pretrained.ckpt")
    ours = load_backbone(name, {"weights": weights}).frozen()
    assert ours.embedding_dim == 24
    by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), embed(state, wave_BT))


def test_a_training_from_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="eres2net is not trained from nothing; give weights to start from"):
        make_backbone(BackboneTraining(backbone="eres2net"), 0)
    weights = checkpoints.save(checkpoints.eres2net(), tmp_path / "pretrained.ckpt")
    assert make_backbone(BackboneTraining(backbone="eres2net", weights=weights), 0).embedding_dim == 24
