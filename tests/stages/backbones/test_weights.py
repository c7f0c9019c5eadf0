"""Checkpoints in the wrappers they come in are read; whatever does not fit is one line that says so."""

import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reseed.pipeline.settings import validated
from reseed.stages.backbones.ecapa_tdnn import ECAPATDNN, ECAPATDNNConfig
from reseed.stages.backbones.ge2e import GE2E
from reseed.stages.backbones.table import BACKBONES, backbone_class
from reseed.store import ConfigError, ModelError
from reseed.store.atomic import sha256_file
from tests.stages.backbones import by_hand, checkpoints
from tests.stages.backbones.checkpoints import save

STATE = checkpoints.ecapa_tdnn()
WAVE = torch.from_numpy(by_hand.waves(0.3, 2))


def embed(path) -> torch.Tensor:
    return ECAPATDNN(ECAPATDNNConfig(weights=path)).frozen()(WAVE)


def prefixed(prefix: str, state=STATE) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return embed(save(STATE, tmp_path_factory.mktemp("plain") / "plain.pt"))


@pytest.mark.parametrize(
    "wrapped",
    [
        {"state_dict": STATE},
        {"model": STATE},
        {"model_state": STATE, "step": 7},
        {"epoch": 3, "model_state_dict": prefixed("module.__S__."), "optimizer_state_dict": {"state": {}}},
        {"net": {"state_dict": prefixed("model.")}},
        prefixed("__S__.") | {"__L__.criterion.weight": torch.zeros(5994, 256), "__L__.w": torch.ones(1)},
        STATE | {f"__L__.{name}": torch.zeros(3) for name in ("softmax.fc.weight", "softmax.fc.bias", "w", "b")},
        prefixed("speaker_encoder.") | {"speaker_loss.weight": torch.zeros(5994, 256)},
        prefixed("embedding_model."),
        {name: tensor for name, tensor in STATE.items() if not name.endswith("num_batches_tracked")},
        {name: tensor.double() for name, tensor in STATE.items()},
    ],
    ids=[
        "state_dict",
        "model",
        "model_state",
        "trainer",
        "nested",
        "__S__",
        "SEED",
        "TaoRuijie",
        "embedding_model",
        "no counters",
        "double",
    ],
)
def test_wrappers_prefixes_and_training_weights_are_seen_through(wrapped, expected, tmp_path):
    assert torch.equal(embed(save(wrapped, tmp_path / "wrapped.model")), expected)


def test_safetensors_are_read(expected, tmp_path):
    save_file(prefixed("module."), tmp_path / "weights.safetensors")
    assert torch.equal(embed(tmp_path / "weights.safetensors"), expected)


def test_weights_in_half_precision_are_computed_with_in_single(expected, tmp_path):
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in STATE.items()}
    ours = embed(save(half, tmp_path / "half.pt"))
    assert ours.dtype == torch.float32
    by_hand.assert_agree(ours, expected, tolerance=1e-2)


def test_weights_are_identified_by_the_bytes_of_their_file(tmp_path):
    path = save(STATE, tmp_path / "weights.pt")
    backbone = ECAPATDNN(ECAPATDNNConfig(weights=path))
    assert backbone.identity()["weights_sha256"] == sha256_file(path)


def without(*names: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in STATE.items() if name not in names}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (without("layer2.bn3.running_var"), r"layer2\.bn3\.running_var is missing$"),
        (without("bn5.weight", "bn5.bias", "bn1.bias", "bn1.weight"), r"bn1\.weight is missing, .* and 1 more$"),
        (STATE | {"layer5.weight": torch.zeros(2)}, r"layer5\.weight is unknown"),
        (prefixed("encoder.") | {"decoder.weight": torch.zeros(2)}, r"decoder\.weight is unknown"),
        (
            STATE | {"layer4.weight": torch.zeros(512, 96, 1)},
            r"layer4\.weight is \[512, 96, 1\] in place of \[1536, 96, 1\]",
        ),
        (STATE | {"conv1.weight": torch.zeros(())}, r"conv1\.weight is missing or has too few axes"),
        (prefixed("student.") | prefixed("teacher."), r"holds 2 networks, at student\., teacher\."),
        ({"weight": torch.zeros(3)}, r"conv1\.weight is missing.* and 1 more$"),
        ({"config": {"lr": 0.1}, "epoch": 3}, r"holds no state dict, but only config, epoch"),
        ([1, 2], r"holds no state dict, but list"),
    ],
)
def test_weights_that_do_not_fit_are_named(state, said, tmp_path):
    path = save(state, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=said) as caught:
        embed(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


FILES = {name: make() for name, make in checkpoints.STATES.items() if name != "resnet_se34v2"}
FILES["resnet_se34v2"] = checkpoints.resnet_se34v2(dim=16, n_mels=8)


PAIRS = [(given, wanted) for given in (*FILES, "ge2e") for wanted in FILES if given != wanted]


@pytest.mark.parametrize(("given", "wanted"), PAIRS)
def test_a_checkpoint_of_another_network_is_recognised(given, wanted, tmp_path):
    path = GE2E()._weights if given == "ge2e" else save(prefixed("module.", FILES[given]), tmp_path / "w.pt")
    with pytest.raises(
        ModelError, match=rf"is no checkpoint of {wanted}: .*; it looks like {given}: set backbone\.name="
    ):
        backbone_class(wanted)(BACKBONES[wanted].Config(weights=path))


class Pickled:
    """An object of a class of its own, as torch.save(model) writes it."""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page, not the model"),
        (b"\n<html><head>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a git-lfs pointer"),
        (b"", "is empty"),
        (b"\x80\x02}q\x00.", "is no checkpoint|holds no state dict"),
        (np.random.default_rng(0).bytes(4096), "is no checkpoint that torch.load or safetensors can read"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_that_are_no_checkpoints_are_told_apart(content, said, suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=said):
        embed(path)


def test_a_download_cut_short_is_no_checkpoint(tmp_path):
    path = save(STATE, tmp_path / "weights.pt")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ModelError, match="is no checkpoint that"):
        embed(path)


def test_code_in_a_checkpoint_is_named_and_not_run(tmp_path):
    with pytest.raises(
        ModelError, match=r"holds code \(tests\.stages\.backbones\.test_weights\.Pickled\), which is not run"
    ):
        embed(save({"state_dict": STATE, "config": Pickled()}, tmp_path / "model.pt"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.pt cannot be read: No such file"):
        embed(tmp_path / "nowhere.pt")
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        embed(tmp_path)


def test_settings_without_weights_fail_before_any_work():
    with pytest.raises(ConfigError, match=r"backbone\.settings\.weights: is missing; give a path"):
        validated(ECAPATDNNConfig, {}, below="backbone.settings")
