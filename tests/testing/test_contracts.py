"""A wrong component fails the contract by a message that says what is wrong and what to do."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.settings import BackboneConfig
from reseed.stages.backbones.table import BACKBONES
from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer, TrainedEnhancer
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.training.settings import TrainingSettings
from reseed.stages.trial_scoring.scorers.cosine import Cosine
from reseed.stages.trial_scoring.table import SCORERS
from reseed.testing import BackboneContract, EnhancerContract, ScorerContract, TrainedEnhancerContract
from reseed.testing.backbones import Made
from reseed.testing.scorers import make_world


class Plain(Enhancer):
    Config = Section

    def enhance(self, embedding_BD, generator):
        return F.normalize(embedding_BD, dim=-1)


class Forgets(Plain):
    """Learns a mean, and does not keep it with the weights."""

    def fit(self, blocks, view_names, crops=1, speakers=()):
        self.mean_D = torch.cat([block.flatten(0, 1) for block in blocks]).mean(dim=0)

    def enhance(self, embedding_BD, generator):
        return F.normalize(embedding_BD - getattr(self, "mean_D", 0), dim=-1)


class LooksAround(Plain):
    def enhance(self, embedding_BD, generator):
        return F.normalize(embedding_BD - embedding_BD.mean(dim=0) / 2, dim=-1)


class Gambles(Plain):
    def enhance(self, embedding_BD, generator):
        return F.normalize(embedding_BD + torch.randn(embedding_BD.shape), dim=-1)


class Longer(Plain):
    def enhance(self, embedding_BD, generator):
        return 2 * super().enhance(embedding_BD, generator)


class Idle(TrainedEnhancer):
    """Trained, but a weight of it is out of the loss' reach."""

    Config = TrainingSettings

    def __init__(self, config, dim):
        super().__init__(config, dim)
        self.used, self.idle = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def enhance(self, embedding_BD, generator):
        return F.normalize(self.used(embedding_BD), dim=-1)

    def loss(self, pairs, generator):
        return (self.enhance(pairs.noisy_BD, generator) - pairs.clean_BD).square().mean()


class Noise(Backbone):
    """Its embeddings are those of a batch."""

    name, Config, sample_rate_hz, embedding_dim = "noise", BackboneConfig, 16_000, 2

    def __init__(self, config):
        super().__init__()

    def identity(self):
        return {"made": id(self)}

    def forward(self, waveform_BT):
        level_B = waveform_BT.square().mean(dim=1)
        return torch.stack([level_B - level_B.mean(), level_B.log()], dim=1)


class Distance(Cosine):
    def score(self, enrolment, test, pairs_P2):
        return -super().score(enrolment, test, pairs_P2)


class OfTheList(Cosine):
    def score(self, enrolment, test, pairs_P2):
        score_P = super().score(enrolment, test, pairs_P2)
        return score_P - np.sort(score_P)[:1].sum()


@pytest.mark.parametrize(
    ("kind", "test", "says"),
    [
        (Forgets, "test_loaded_enhancer_equals_the_saved_one", "must be a parameter or a buffer"),
        (LooksAround, "test_each_vector_is_enhanced_by_itself", "in a batch than one by one: what it takes from"),
        (Gambles, "test_enhance_keeps_shape_and_repeats_itself_for_the_same_seed", "draw from the `generator`"),
        (Longer, "test_enhanced_vectors_have_unit_length", "lengths from 2 to 2: end enhance with F.normalize"),
        (Idle, "test_loss_is_a_finite_scalar_with_gradients_for_every_parameter", "does not depend on idle.weight"),
        (Plain, "test_eight_pairs_are_overfitted", "test it by EnhancerContract"),
    ],
)
def test_a_wrong_enhancer_is_told_what_is_wrong(kind, test, says, monkeypatch, tmp_path):
    monkeypatch.setitem(ENHANCERS, "wrong", kind)
    of_trained = issubclass(kind, TrainedEnhancer) or "overfitted" in test
    contract = (TrainedEnhancerContract if of_trained else EnhancerContract)()
    given = ["wrong", *([tmp_path] if "saved" in test else [])]
    with pytest.raises(AssertionError, match=says):
        getattr(contract, test)(*given)


def test_one_that_is_trained_is_sent_to_the_contract_of_those(monkeypatch):
    monkeypatch.setitem(ENHANCERS, "wrong", Idle)
    with pytest.raises(AssertionError, match="derive the test class from TrainedEnhancerContract"):
        EnhancerContract().test_one_that_is_trained_has_the_settings_of_training("wrong")


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ("test_a_batch_gives_what_single_waveforms_give", "nothing may be normalised over the batch"),
        ("test_silence_gives_a_finite_embedding", "put a floor below log"),
    ],
)
def test_a_wrong_backbone_is_told_what_is_wrong(test, says, monkeypatch):
    monkeypatch.setitem(BACKBONES, "wrong", Noise)
    with pytest.raises(AssertionError, match=says):
        getattr(BackboneContract(), test)(Noise(BackboneConfig()).frozen())


def test_a_backbone_whose_identity_is_of_the_moment_is_told_so():
    made = Made(Noise(BackboneConfig()).frozen(), BackboneConfig())
    with pytest.raises(AssertionError, match="only what decides the embeddings belongs there"):
        BackboneContract().test_the_space_is_named_by_what_decides_the_embeddings(made)


@pytest.mark.parametrize(
    ("kind", "test", "says"),
    [
        (Distance, "test_scores_are_finite_and_higher_for_one_speaker_than_for_two", "a distance needs a minus sign"),
        (OfTheList, "test_scores_depend_neither_on_the_order_of_trials_nor_on_those_beside_them", "otherwise alone"),
    ],
)
def test_a_wrong_scorer_is_told_what_is_wrong(kind, test, says, monkeypatch, tmp_path):
    monkeypatch.setitem(SCORERS, "wrong", kind)
    with pytest.raises(AssertionError, match=says):
        getattr(ScorerContract(), test)("wrong", make_world(tmp_path))
