"""Every enhancer of the table keeps the contract that those of other packages keep."""

import pytest

from reseed.pipeline.reference import meanings
from reseed.stages.enhancers.base import TrainedEnhancer
from reseed.stages.enhancers.table import ENHANCERS, enhancer_class, make_enhancer
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.store import ConfigError
from reseed.testing import EnhancerContract, TrainedEnhancerContract

TRAINED = [name for name, kind in ENHANCERS.items() if issubclass(kind, TrainedEnhancer)]


class TestInClosedForm(EnhancerContract):
    @pytest.fixture(params=[name for name in ENHANCERS if name not in TRAINED])
    def name(self, request):
        return request.param


class TestTrained(TrainedEnhancerContract):
    @pytest.fixture(params=[name for name in TRAINED if name != "seed"])
    def name(self, request):
        return request.param


class TestSeed(TrainedEnhancerContract):
    enhancer = "seed"
    unit_length = False
    overfitting = {"prediction": "sample"}  # its corrections are made in other coordinates


class TestSeedOfSeveralDraws(TestSeed):
    settings = {"noise_draws": 2}


def test_unknown_enhancer_lists_the_choices():
    with pytest.raises(ConfigError, match=r"no enhancer 'sed'; choose one of centre, wccn, seed, mse, vmf_pl"):
        enhancer_class("sed")


def test_config_of_another_enhancer_is_refused():
    with pytest.raises(ConfigError, match="'seed' takes a SeedConfig, not a WccnConfig"):
        make_enhancer("seed", WccnConfig(), 16)


@pytest.mark.parametrize("name", ENHANCERS)
def test_every_setting_has_a_meaning(name):
    assert meanings(ENHANCERS[name].Config).keys() >= ENHANCERS[name].Config.model_fields.keys()
