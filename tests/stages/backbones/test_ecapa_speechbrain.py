"""SpeechBrain's ECAPA-TDNN against its definition, computed anew from the same weights."""

import torch
from torch import Tensor
from torch.nn import functional as F

from reseed.stages.backbones.ecapa_speechbrain import ECAPASpeechBrain, ECAPASpeechBrainConfig
from tests.stages.backbones import by_hand, checkpoints
from tests.stages.backbones.by_hand import batch_norm, conv, relu, softmax


def tdnn(x: Tensor, state: dict[str, Tensor], name: str, dilation: int = 1) -> Tensor:
    reach = dilation * (state[f"{name}.conv.conv.weight"].shape[2] - 1) // 2
    if reach:
        x = F.pad(x, (reach, reach), mode="reflect")
    return batch_norm(relu(conv(x, state, f"{name}.conv.conv", dilation=dilation)), state, f"{name}.norm.norm")


def statistics(x: Tensor, weight: Tensor) -> Tensor:
    mean = (weight * x).sum(dim=2, keepdim=True)
    return torch.cat([mean, (weight * (x - mean) ** 2).sum(dim=2, keepdim=True).clamp(min=1e-12).sqrt()], dim=1)


def embed(state: dict[str, Tensor], wave_BT) -> Tensor:
    level = by_hand.decibels(wave_BT)
    x = tdnn(level - level.mean(dim=2, keepdim=True), state, "blocks.0")
    outputs = []
    for number in (1, 2, 3):
        at, shortcut = f"blocks.{number}", x
        parts = tdnn(x, state, f"{at}.tdnn1").tensor_split(8, dim=1)
        done = [parts[0]]
        for index in range(1, 8):
            fed = parts[index] if index == 1 else parts[index] + done[-1]
            done.append(tdnn(fed, state, f"{at}.res2net_block.blocks.{index - 1}", dilation=number + 1))
        x = tdnn(torch.cat(done, dim=1), state, f"{at}.tdnn2")
        squeezed = relu(conv(x.mean(dim=2, keepdim=True), state, f"{at}.se_block.conv1.conv"))
        x = x / (1 + torch.exp(-conv(squeezed, state, f"{at}.se_block.conv2.conv"))) + shortcut
        outputs.append(x)
    x = tdnn(torch.cat(outputs, dim=1), state, "mfa")
    context = statistics(x, torch.ones_like(x) / x.shape[2]).expand(-1, -1, x.shape[2])
    hidden = tdnn(torch.cat([x, context], dim=1), state, "asp.tdnn").tanh()
    pooled = statistics(x, softmax(conv(hidden, state, "asp.conv.conv")))
    return conv(batch_norm(pooled, state, "asp_bn.norm"), state, "fc.conv")[:, :, 0]


def test_embeddings_agree_with_the_definition(tmp_path):
    state, wave_BT = checkpoints.ecapa_speechbrain(), by_hand.waves()
    wave_BT[1, 4000:9000] = 0.0  # silence within speech, where the range of 80 dB decides
    weights = checkpoints.save(state, tmp_path / "embedding_model.ckpt")
    ours = ECAPASpeechBrain(ECAPASpeechBrainConfig(weights=weights)).frozen()
    assert ours.embedding_dim == 192
    by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), embed(state, wave_BT))
