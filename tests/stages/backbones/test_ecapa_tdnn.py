"""The ECAPA-TDNN of SEED and that of TaoRuijie against their definitions, computed anew from the same weights."""

import pytest
import torch
from torch import Tensor

from reseed.stages.backbones.table import backbone_class
from tests.stages.backbones import by_hand, checkpoints
from tests.stages.backbones.by_hand import batch_norm, conv, linear, relu, softmax


def frame_map(state: dict[str, Tensor], x: Tensor, gate) -> Tensor:
    x = batch_norm(relu(conv(x, state, "conv1", padding=2)), state, "bn1")
    total, outputs = x, []
    for dilation, layer in enumerate(("layer1", "layer2", "layer3"), start=2):
        parts = batch_norm(relu(conv(total, state, f"{layer}.conv1")), state, f"{layer}.bn1").tensor_split(8, dim=1)
        done = [parts[0].clone() * 0]
        for index in range(7):
            out = conv(done[-1] + parts[index], state, f"{layer}.convs.{index}", padding=dilation, dilation=dilation)
            done.append(batch_norm(relu(out), state, f"{layer}.bns.{index}"))
        out = batch_norm(
            relu(conv(torch.cat([*done[1:], parts[7]], dim=1), state, f"{layer}.conv3")), state, f"{layer}.bn3"
        )
        outputs.append(out / (1 + torch.exp(-gate(out.mean(dim=2, keepdim=True), f"{layer}.se.se"))) + total)
        total = total + outputs[-1]
    return relu(conv(torch.cat(outputs, dim=1), state, "layer4"))


def in_context(x: Tensor) -> Tensor:
    mean = x.mean(dim=2, keepdim=True)
    deviation = torch.sqrt(((x - mean) ** 2).sum(dim=2, keepdim=True) / (x.shape[2] - 1)).clamp(min=1e-2)
    return torch.cat([x, mean + 0 * x, deviation + 0 * x], dim=1)


def seed_embed(state: dict[str, Tensor], wave_BT) -> Tensor:
    def gate(mean: Tensor, at: str) -> Tensor:
        return conv(batch_norm(relu(conv(mean, state, f"{at}.1")), state, f"{at}.3"), state, f"{at}.4")

    mfcc = by_hand.cosine_transform(by_hand.log_mel(wave_BT, 80, 20, 7600))
    x = frame_map(state, mfcc - mfcc.mean(dim=2, keepdim=True), gate)
    hidden = batch_norm(relu(conv(in_context(x), state, "attention.0")), state, "attention.2")
    weight = softmax(conv(hidden, state, "attention.3"))
    mean, moment = (x * weight).sum(dim=2), (x**2 * weight).sum(dim=2)
    pooled = torch.cat([moment.clamp(min=1e-4).sqrt(), (moment - mean**2).clamp(min=1e-4).sqrt()], dim=1)
    return linear(batch_norm(pooled, state, "bn5"), state, "fc6")


def taoruijie_embed(state: dict[str, Tensor], wave_BT) -> Tensor:
    def gate(mean: Tensor, at: str) -> Tensor:
        return conv(relu(conv(mean, state, f"{at}.1")), state, f"{at}.3")

    log = by_hand.log_mel(wave_BT, 80, 20, 7600)
    x = frame_map(state, log - log.mean(dim=2, keepdim=True), gate)
    hidden = batch_norm(relu(conv(in_context(x), state, "attention.0")), state, "attention.2").tanh()
    weight = softmax(conv(hidden, state, "attention.4"))
    mean = (x * weight).sum(dim=2)
    pooled = torch.cat([mean, ((x**2 * weight).sum(dim=2) - mean**2).clamp(min=1e-4).sqrt()], dim=1)
    return batch_norm(linear(batch_norm(pooled, state, "bn5"), state, "fc6"), state, "bn6")


def backbone(name: str, state: dict[str, Tensor], folder):
    weights = checkpoints.save(state, folder / "ecapa.model")
    return backbone_class(name)(backbone_class(name).Config(weights=weights)).frozen()


@pytest.mark.parametrize(
    ("state", "dim"),
    [
        (checkpoints.ecapa_tdnn(), 256),
        (checkpoints.ecapa_tdnn(channels=64, dim=192, seed=1), 192),
        (checkpoints.ecapa_tdnn(attended=1, seed=2), 256),
    ],
    ids=["as SEED's, of few channels", "of other sizes", "one attention for all channels"],
)
def test_embeddings_agree_with_seeds_definition(tmp_path, state, dim):
    wave_BT = by_hand.waves()
    ours = backbone("ecapa_tdnn", state, tmp_path)
    assert ours.embedding_dim == dim
    by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), seed_embed(state, wave_BT))


def test_the_last_normalisation_among_seeds_weights_is_not_used(tmp_path):
    state, wave_BT = checkpoints.ecapa_tdnn(), torch.from_numpy(by_hand.waves())
    before_BD = backbone("ecapa_tdnn", state, tmp_path)(wave_BT)
    state["bn6.weight"] *= 5
    assert torch.equal(backbone("ecapa_tdnn", state, tmp_path)(wave_BT), before_BD)


def test_embeddings_agree_with_taoruijies_definition(tmp_path):
    state, wave_BT = checkpoints.ecapa_taoruijie(), by_hand.waves()
    published = {f"speaker_encoder.{name}": tensor for name, tensor in state.items()}
    published["speaker_loss.weight"] = torch.zeros(5994, 192)
    ours = backbone("ecapa_taoruijie", published, tmp_path)
    assert ours.embedding_dim == 192
    by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), taoruijie_embed(state, wave_BT))
