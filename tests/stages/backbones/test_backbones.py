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
from reseed.stages.backbones.ge2e import raise_volume, window_starts
from reseed.stages.backbones.table import BACKBONES, backbone_class
from reseed.store import ConfigError
from reseed.testing import BackboneContract
from tests.corpus import REAL, needs_recordings, voice
from tests.stages.backbones.checkpoints import STATES, save, settings


class TestEveryBackbone(BackboneContract):
    """With settings that suffice; where weights are to be given, the network is random."""

    @pytest.fixture(scope="class", params=sorted(BACKBONES))
    @classmethod
    def name(cls, request):
        return request.param

    @pytest.fixture(scope="class")
    @classmethod
    def config(cls, name, tmp_path_factory):
        return settings(name, tmp_path_factory.mktemp(name))


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
