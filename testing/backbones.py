"""What every backbone must do.

Shapes: B batch, T samples, D embedding dimension.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from reseed.stages.backbones.base import Backbone, StagedBackbone
from reseed.stages.backbones.settings import BackboneConfig
from reseed.stages.backbones.table import backbone_class
from reseed.testing.generated import voice


class Made(NamedTuple):
    """A backbone with the settings that it was made of."""

    backbone: Backbone
    config: BackboneConfig


def batch(duration_s: float, size: int = 3, rate_hz: int = 16_000) -> Tensor:
    """Return waveforms of different voices, [B, T]."""
    return torch.from_numpy(np.stack([voice(i, i, duration_s, rate_hz) for i in range(size)]))


class BackboneContract:
    """What every backbone must do, whatever its weights.

    Attributes:
        backbone: its name, or package.module:Class.
        settings: those that it needs, such as the file of its weights.
    """

    backbone: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture(scope="class")
    @classmethod
    def name(cls) -> str:
        """The backbone under test; reseed's own tests give all of their table."""
        return cls.backbone

    @pytest.fixture(scope="class")
    @classmethod
    def config(cls, name: str) -> BackboneConfig:
        """The settings to test it with."""
        return backbone_class(name).Config.model_validate(cls.settings)

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, name: str, config: BackboneConfig) -> Made:
        """It, frozen, with these settings."""
        return Made(backbone_class(name)(config).frozen(), config)

    @pytest.fixture
    def network(self, made: Made) -> Backbone:
        """It, frozen."""
        return made.backbone

    def sound(self, network: Backbone, duration_s: float, size: int = 3) -> Tensor:
        """Return waveforms at its rate."""
        return batch(duration_s, size, network.sample_rate_hz)

    @pytest.mark.parametrize("duration_s", [0.010, 0.024, 0.040, 0.3, 1.6, 2.7, 5.0])
    def test_any_length_gives_finite_embeddings_of_the_declared_dimension(
        self, network: Backbone, duration_s: float
    ) -> None:
        embedding_BD = network(self.sound(network, duration_s))
        assert embedding_BD.shape == (3, network.embedding_dim), (
            f"3 waveforms of {duration_s:g} s give {list(embedding_BD.shape)}, not [3, {network.embedding_dim}]: "
            "forward maps [B, T] to [B, embedding_dim]"
        )
        assert torch.isfinite(embedding_BD).all(), (
            f"{duration_s:g} s of sound give values that are not finite; a deviation over one frame is NaN: use "
            "unbiased=False, or repeat what is too short"
        )

    def test_a_batch_gives_what_single_waveforms_give(self, network: Backbone) -> None:
        waveform_BT = self.sound(network, 1.6, 8)
        single_BD = torch.cat([network(waveform_T[None]) for waveform_T in waveform_BT])
        away_B = (network(waveform_BT) - single_BD).norm(dim=1) / single_BD.norm(dim=1)
        assert (away_B < 1e-5).all(), (
            f"embeddings in a batch differ from single ones by {away_B.max():.1g} of their length: nothing may be "
            "normalised over the batch (batch norm must be in evaluation), nor padded to the longest"
        )

    def test_embedding_twice_gives_the_same_bits_and_no_gradients(self, network: Backbone) -> None:
        waveform_BT = self.sound(network, 1.6)
        assert torch.equal(network(waveform_BT), network(waveform_BT)), (
            "one waveform gives two embeddings: no dropout, no random crop, no dither in forward"
        )
        assert not network(waveform_BT).requires_grad, "once frozen, embeddings still carry gradients"

    @pytest.mark.parametrize("duration_s", [1.6, 3.0])
    def test_a_staged_backbone_can_be_differentiated_from_its_embedding_back_to_features_and_sound(
        self, network: Backbone, duration_s: float
    ) -> None:
        if not isinstance(network, StagedBackbone):
            assert not hasattr(network, "activations"), "derive from StagedBackbone, or call `activations` otherwise"
            return
        waveform_BT = self.sound(network, duration_s, 2).requires_grad_()
        spectrum_BMF = network.spectrum(waveform_BT)
        assert network.filterbank_HM.shape[1] == spectrum_BMF.shape[1]
        assert (spectrum_BMF >= 0).all(), "spectrum must be power in bands, which is never negative"
        feature_BMF = network.features_of(spectrum_BMF)
        torch.testing.assert_close(feature_BMF, network.features(waveform_BT))
        activation = network.activations(feature_BMF)
        embedding_BD = network.pool(activation)
        torch.testing.assert_close(embedding_BD, network(waveform_BT))
        assert activation.ndim >= 3
        for source in (activation, feature_BMF, waveform_BT):
            total = embedding_BD.square().sum() + embedding_BD[:, 0].sum()
            (gradient,) = torch.autograd.grad(total, source, retain_graph=True)
            assert torch.isfinite(gradient).all()
            assert gradient.abs().max() > 0

    def test_half_precision_by_autocast_hardly_turns_embeddings(self, network: Backbone) -> None:
        waveform_BT = self.sound(network, 0.5)
        with torch.autocast("cpu", torch.bfloat16):
            half_BD = network(waveform_BT).float()
        cosine_B = torch.cosine_similarity(half_BD, network(waveform_BT))
        assert (cosine_B > 0.99).all(), (
            f"in bfloat16 by autocast embeddings turn to a cosine of {cosine_B.min():.3f} (`precision: bfloat16`): "
            "compute spectra in full precision (reseed.stages.backbones.features.in_full_precision)"
        )

    def test_silence_gives_a_finite_embedding(self, network: Backbone) -> None:
        embedding_BD = network(torch.zeros(1, round(1.6 * network.sample_rate_hz)))
        assert torch.isfinite(embedding_BD).all(), "silence gives values that are not finite: put a floor below log"

    def test_different_voices_get_different_embeddings(self, network: Backbone) -> None:
        embedding_BD = network(self.sound(network, 1.6))
        assert (torch.pdist(embedding_BD) > 1e-3 * embedding_BD.norm(dim=1).mean()).all(), (
            "different voices get the same embedding: are the weights loaded, does the sound reach the network?"
        )

    def test_the_space_is_named_by_what_decides_the_embeddings(self, made: Made) -> None:
        network, config = made
        assert network.space.startswith(f"{network.name}:"), "set `name`, a class attribute of letters, digits and _"
        identity = network.identity()
        assert json.loads(json.dumps(identity)) == identity, (
            "identity() must be what JSON can hold: texts and numbers, a digest in place of weights"
        )
        assert network.space == type(network)(config).space, (
            "identity() of two backbones of one kind and one configuration differ: only what decides the embeddings "
            "belongs there, no path, no time"
        )
