"""The contract of every backbone, and the agreement of ge2e with the encoder of the package it comes from."""

import importlib
import importlib.util
import sys
import types

import numpy as np
import pytest
import soundfile
import torch

from reseed.pipeline.settings import validated
from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.ge2e import raise_volume, window_starts
from reseed.stages.backbones.table import BACKBONES, backbone_class
from reseed.store import ConfigError
from tests.corpus import REAL, needs_recordings, voice
from tests.stages.backbones.checkpoints import STATES, save, settings


@pytest.fixture(scope="module", params=sorted(BACKBONES))
def made(request, tmp_path_factory):
    """A backbone of the table with settings that suffice; its network, where weights are to be given, is random."""
    config = settings(request.param, tmp_path_factory.mktemp(request.param))
    return backbone_class(request.param)(config).frozen(), config


@pytest.fixture
def backbone(made):
    return made[0]


def batch(duration_s: float, size: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.stack([voice(i, i, duration_s) for i in range(size)]))


@pytest.mark.parametrize("duration_s", [0.3, 1.6, 2.7, 5.0])
def test_any_length_gives_finite_embeddings_of_the_declared_dimension(backbone, duration_s):
    embedding_BD = backbone(batch(duration_s))
    assert embedding_BD.shape == (3, backbone.embedding_dim)
    assert torch.isfinite(embedding_BD).all()


@pytest.mark.parametrize("duration_s", [0.010, 0.024, 0.040])
def test_a_clip_of_a_few_milliseconds_is_embedded_too(backbone, duration_s):
    embedding_BD = backbone(batch(duration_s))
    assert embedding_BD.shape == (3, backbone.embedding_dim)
    assert torch.isfinite(embedding_BD).all()


def test_a_batch_gives_what_single_waveforms_give(backbone):
    waveform_BT = batch(1.6, 8)
    single_BD = torch.cat([backbone(waveform_T[None]) for waveform_T in waveform_BT])
    assert ((backbone(waveform_BT) - single_BD).norm(dim=1) < 1e-5 * single_BD.norm(dim=1)).all()


def test_embedding_twice_gives_the_same_bits_and_no_gradients(backbone):
    waveform_BT = batch(1.6)
    assert torch.equal(backbone(waveform_BT), backbone(waveform_BT))
    assert not backbone(waveform_BT).requires_grad


@pytest.mark.parametrize("duration_s", [1.6, 3.0])
def test_a_staged_backbone_can_be_differentiated_from_its_embedding_back_to_features_and_sound(backbone, duration_s):
    if not isinstance(backbone, StagedBackbone):
        assert not hasattr(backbone, "activations")
        return
    waveform_BT = batch(duration_s, 2).requires_grad_()
    spectrum_BMF = backbone.spectrum(waveform_BT)
    assert backbone.filterbank_HM.shape[1] == spectrum_BMF.shape[1]
    assert (spectrum_BMF >= 0).all()
    feature_BMF = backbone.features_of(spectrum_BMF)
    torch.testing.assert_close(feature_BMF, backbone.features(waveform_BT))
    activation = backbone.activations(feature_BMF)
    embedding_BD = backbone.pool(activation)
    torch.testing.assert_close(embedding_BD, backbone(waveform_BT))
    assert activation.ndim >= 3
    for source in (activation, feature_BMF, waveform_BT):
        (gradient,) = torch.autograd.grad(
            embedding_BD.square().sum() + embedding_BD[:, 0].sum(), source, retain_graph=True
        )
        assert torch.isfinite(gradient).all()
        assert gradient.abs().max() > 0


def test_half_precision_by_autocast_hardly_turns_embeddings(backbone):
    waveform_BT = batch(0.5)
    with torch.autocast("cpu", torch.bfloat16):
        half_BD = backbone(waveform_BT).float()
    assert (torch.cosine_similarity(half_BD, backbone(waveform_BT)) > 0.99).all()


def test_silence_gives_a_finite_embedding(backbone):
    assert torch.isfinite(backbone(torch.zeros(1, 25_600))).all()


def test_different_voices_get_different_embeddings(backbone):
    embedding_BD = backbone(batch(1.6))
    assert (torch.pdist(embedding_BD) > 1e-3 * embedding_BD.norm(dim=1).mean()).all()


def test_the_space_is_named_by_what_decides_the_embeddings(made):
    backbone, config = made
    assert backbone.space.startswith(f"{backbone.name}:")
    assert backbone.space == type(backbone)(config).space


@pytest.mark.parametrize("name", sorted(STATES))
def test_other_weights_are_another_space(name, tmp_path):
    config = settings(name, tmp_path)
    first = backbone_class(name)(config).space
    save(STATES[name](seed=99), config.weights)
    assert backbone_class(name)(config).space != first


@pytest.mark.parametrize("name", sorted(set(BACKBONES) - {"ge2e", "campplus"}))
def test_a_backbone_without_its_weights_says_what_to_give(name, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    kind = backbone_class(name)
    with pytest.raises(ConfigError, match=r"backbone\.settings\.(weights|model):? is missing.*give "):
        kind(validated(kind.Config, {}, below="backbone.settings"))


def test_an_unknown_backbone_is_an_error_with_the_choices():
    with pytest.raises(ConfigError, match="no backbone 'ge3e'; choose one of ge2e"):
        backbone_class("ge3e")


@pytest.fixture(scope="module")
def package(monkeypatch_module):
    """The package's own encoder; its imports of a voice activity detector, unused here, are satisfied by stubs."""
    for name in ("webrtcvad", "scipy.ndimage.morphology"):
        stub = types.ModuleType(name)
        stub.binary_dilation = None
        monkeypatch_module.setitem(sys.modules, name, stub)
    return importlib.import_module("resemblyzer")


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def agreement(package, waveforms: list[np.ndarray]) -> float:
    """Lowest cosine between the package's embeddings and ours."""
    theirs, ours = package.VoiceEncoder("cpu", verbose=False), backbone_class("ge2e")().frozen()
    cosines = []
    for wave in waveforms:
        level = package.audio.normalize_volume(wave, -30, increase_only=True)
        cosines.append(float(theirs.embed_utterance(level) @ ours(torch.from_numpy(wave)[None])[0].numpy()))
    return min(cosines)


def test_ge2e_agrees_with_the_packages_encoder_on_generated_sounds(package):
    lengths_s = (0.4, 1.0, 1.6, 1.7, 2.2, 3.3, 4.9)
    waves = [voice(i, i, length_s) * level for i, length_s in enumerate(lengths_s) for level in (0.02, 1.0)]
    assert agreement(package, waves) >= 0.9999


@needs_recordings
def test_ge2e_agrees_with_the_packages_encoder_on_real_recordings(package):
    files = sorted((REAL / "speech" / "dev").rglob("*.flac"))[::40]
    assert agreement(package, [soundfile.read(path, dtype="float32")[0] for path in files]) >= 0.9999


def test_ge2e_windows_by_hand():
    assert window_starts(16_000) == [0]
    assert window_starts(25_600) == [0], "the second window would be covered by 52 %"
    assert window_starts(64_000) == [0, 77, 154, 231]


def test_ge2e_raises_quiet_recordings_and_leaves_loud_ones():
    waveform_BT = torch.stack([torch.full((100,), 0.001), torch.full((100,), 0.5), torch.zeros(100)])
    levelled_BT = raise_volume(waveform_BT)
    torch.testing.assert_close(levelled_BT[0], torch.full((100,), 10 ** (-30 / 20)))
    assert torch.equal(levelled_BT[1:], waveform_BT[1:])
