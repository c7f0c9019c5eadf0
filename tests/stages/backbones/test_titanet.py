"""TitaNet against its definition, computed anew from the same weights, and its archives."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from reseed.stages.backbones.titanet import TitaNet, TitaNetConfig
from reseed.store import ModelError
from tests.stages.backbones import by_hand, checkpoints
from tests.stages.backbones.by_hand import conv, relu, softmax

State = dict[str, Tensor]
WORDS = {
    "preprocessor": {"window": "hann", "window_size": 0.025, "n_fft": 512, "normalize": "per_feature", "dither": 1e-5},
    "encoder": {"activation": "relu", "jasper": [{"filters": 16, "stride": [1], "dilation": [1], "se": True}]},
    "decoder": {"pool_mode": "attention", "emb_sizes": "${model.size}", "num_classes": 31},
}

LAUGHS: list[object] = ["ha"] * 9  # a few lines of YAML, nine to the power of thirty words
for _ in range(29):
    LAUGHS = [LAUGHS] * 9


def slaney(hz: np.ndarray) -> np.ndarray:
    """Mel of Slaney's Auditory Toolbox: linear up to 1 kHz, 27 to a factor of 6.4 from there."""
    return np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))


def features(wave_T: np.ndarray, n_mels: int = 80) -> Tensor:
    grid = np.linspace(0, 8000, 800_001)
    edges = np.interp(np.linspace(0, slaney(np.array(8000.0)), n_mels + 2), slaney(grid), grid)
    bins = np.linspace(0, 8000, 257)
    filters = [np.interp(bins, edges[m : m + 3], [0, 1, 0]) * 2 / (edges[m + 2] - edges[m]) for m in range(n_mels)]
    sharper = wave_T - 0.97 * np.concatenate([[0], wave_T[:-1]])
    window = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399), 56)
    padded = np.pad(sharper, 256)
    starts = range(0, 160 * (len(wave_T) // 160), 160)
    power = np.stack([np.abs(np.fft.rfft(window * padded[start : start + 512])) ** 2 for start in starts])
    log = torch.from_numpy(np.log(power @ np.stack(filters, axis=1) + 2.0**-24)).T
    return (log - log.mean(dim=1, keepdim=True)) / (log.std(dim=1, keepdim=True) + 1e-5)


def batch_norm(x: Tensor, state: State, name: str) -> Tensor:
    moved = {**state, f"{name}.running_var": state[f"{name}.running_var"].double() + 1e-3 - by_hand.EPS}
    return by_hand.batch_norm(x, moved, name)


def statistics(x: Tensor, weight: Tensor) -> list[Tensor]:
    mean = (weight * x).sum(dim=2)
    return [mean, (weight * (x - mean[..., None]) ** 2).sum(dim=2).clamp(min=1e-10).sqrt()]


def embed(state: State, wave_BT: np.ndarray, channels: int = 16, last: int = 24) -> Tensor:
    x = torch.stack([features(wave.astype(np.float64)) for wave in wave_BT])
    for number, (_, kernel, repeat) in enumerate(checkpoints.titanet_blocks(channels, last)):
        at, came = f"encoder.encoder.{number}", x
        for run in range(repeat):
            x = relu(x) if run else x
            x = conv(x, state, f"{at}.mconv.{5 * run}.conv", padding=kernel // 2, groups=x.shape[1])
            x = batch_norm(conv(x, state, f"{at}.mconv.{5 * run + 1}.conv"), state, f"{at}.mconv.{5 * run + 2}")
        squeeze, excite = (state[f"{at}.mconv.{5 * repeat - 2}.fc.{index}.weight"].double() for index in (0, 2))
        x = x / (1 + torch.exp(-relu(x.mean(dim=2) @ squeeze.T) @ excite.T))[..., None]
        x = relu(x + batch_norm(conv(came, state, f"{at}.res.0.0.conv"), state, f"{at}.res.0.1") if repeat > 1 else x)
    at = "decoder._pooling.attention_layer"
    every = [each[..., None].expand_as(x) for each in statistics(x, torch.full_like(x, 1 / x.shape[2]))]
    hidden = by_hand.batch_norm(
        relu(conv(torch.cat([x, *every], dim=1), state, f"{at}.0.conv_layer")), state, f"{at}.0.bn"
    )
    pooled = torch.cat(statistics(x, softmax(conv(torch.tanh(hidden), state, f"{at}.2"))), dim=1)[..., None]
    last_norm = by_hand.batch_norm(pooled, state, "decoder.emb_layers.0.0")
    return conv(last_norm, state, "decoder.emb_layers.0.1").squeeze(2)


def archive(path: Path, state: State, words: object = WORDS, mode: str = "w", at: str = "./", **more: bytes) -> Path:
    """Write what NeMo's save_to does."""
    weights = io.BytesIO()
    torch.save(state, weights)
    held = {**more, "model_config.yaml": yaml.safe_dump(words).encode(), "model_weights.ckpt": weights.getvalue()}
    with tarfile.open(path, mode) as tar:
        for name, content in held.items():
            entry = tarfile.TarInfo(at + name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def backbone(path: Path) -> TitaNet:
    return TitaNet(TitaNetConfig(weights=path)).frozen()


@pytest.mark.parametrize(("mode", "at"), [("w", "./"), ("w:gz", "")])
def test_embeddings_agree_with_the_definition(mode, at, tmp_path):
    state, wave_BT = checkpoints.titanet(), by_hand.waves(0.7)
    ours = backbone(archive(tmp_path / "titanet.nemo", state, mode=mode, at=at))
    assert ours.embedding_dim == 20
    by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), embed(state, wave_BT))


def test_windows_and_filter_banks_of_the_file_are_used(tmp_path):
    state, wave_BT = checkpoints.titanet(), torch.from_numpy(by_hand.waves(0.4))
    ours = backbone(archive(tmp_path / "titanet.nemo", state))
    state |= {"preprocessor.featurizer.window": torch.hann_window(400, periodic=False)}
    state |= {"preprocessor.featurizer.fb": ours.preprocessor["featurizer"].fb}
    assert torch.equal(backbone(archive(tmp_path / "whole.nemo", state))(wave_BT), ours(wave_BT))
    state["preprocessor.featurizer.window"] = torch.hamming_window(400)
    assert not torch.allclose(backbone(archive(tmp_path / "other.nemo", state))(wave_BT), ours(wave_BT))


def changed(section: str, **settings: object) -> Mapping[str, object]:
    return WORDS | {section: WORDS[section] | settings}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (changed("preprocessor", normalize="all_features"), r"preprocessor\.normalize='all_features', but this is"),
        (changed("encoder", jasper=[{"dilation": [2]}]), r"encoder\.jasper\.0\.dilation=\[2\], but this is built"),
        (changed("decoder", pool_mode="xvector"), r"decoder\.pool_mode='xvector', but this is built for 'attention'"),
        (changed("decoder", pool_mode=LAUGHS), r"decoder\.pool_mode=\[.{79}, but this is built for 'attention'"),
    ],
)
def test_an_archive_whose_words_name_another_network_is_refused(words, said, tmp_path):
    with pytest.raises(ModelError, match=said):
        backbone(archive(tmp_path / "titanet.nemo", checkpoints.titanet(), words))


def test_of_a_damaged_archive_or_one_too_large_one_line_is_said(tmp_path):
    path = archive(tmp_path / "swollen.nemo", {}, mode="w:gz", bomb=bytes(1 << 20))
    with pytest.raises(ModelError, match=r"swollen\.nemo is no checkpoint that"):
        backbone(path)
    path = archive(tmp_path / "wordless.nemo", checkpoints.titanet(), ["a", "list"])
    assert backbone(path).embedding_dim == 20
    path = tmp_path / "cut.nemo"
    path.write_bytes((tmp_path / "wordless.nemo").read_bytes()[:2000])
    with pytest.raises(ModelError, match=r"cut\.nemo is no checkpoint that"):
        backbone(path)


def test_another_network_of_nemo_is_refused(tmp_path):
    state = {name: tensor for name, tensor in checkpoints.titanet().items() if "_pooling" not in name}
    with pytest.raises(ModelError, match=r"attention_layer.* is missing"):
        backbone(archive(tmp_path / "speakernet.nemo", state))


def test_a_clip_too_short_is_repeated_up_to_a_window(tmp_path):
    ours = backbone(archive(tmp_path / "titanet.nemo", checkpoints.titanet()))
    clip_BT = torch.from_numpy(by_hand.waves()[:, 8000:8160])
    assert torch.equal(ours(clip_BT), ours(torch.cat([clip_BT] * 3, dim=1)[:, :400]))
