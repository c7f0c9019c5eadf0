"""Every scorer of the table keeps the contract that those of other packages keep."""

import pytest

from reseed.stages.common.section import Section
from reseed.stages.trial_scoring.scorers.base import CohortScorer
from reseed.stages.trial_scoring.scorers.plda import PldaSettings
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.stages.trial_scoring.table import SCORERS, make_scorer, scorer_class
from reseed.store import ConfigError, ScoringError
from reseed.testing import ScorerContract
from reseed.testing.scorers import make_world

NEED_DOMAIN = ["plda_interpolated"]


class TestScorers(ScorerContract):
    @pytest.fixture(params=[name for name in SCORERS if name not in NEED_DOMAIN])
    def name(self, request):
        return request.param


class TestScorersOfTwoDomains(ScorerContract):
    with_domain = True

    @pytest.fixture(params=NEED_DOMAIN)
    def name(self, request):
        return request.param


def test_an_unknown_scorer_lists_the_choices():
    with pytest.raises(ConfigError, match="no scorer 'asnorm'; choose one of cosine, crop_pairs, crop_distance, as_"):
        scorer_class("asnorm")
    with pytest.raises(ValueError, match=rf"'cosine', 'crop_pairs', .* or '{[*SCORERS][-1]}'"):
        ScoreSettings(scorings=("asnorm",))


def test_a_config_of_another_scorer_and_cohorts_that_are_missing_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="scorer 'plda' takes a PldaSettings, not a Section"):
        make_scorer("plda", Section(), "cpu", make_world(tmp_path).cohorts)
    with pytest.raises(ScoringError, match="scorer 'as_norm' needs other speakers"):
        make_scorer("as_norm", Section(), "cpu", None)


@pytest.mark.parametrize("name", SCORERS)
def test_what_scores_depend_on_beside_vectors_is_said_by_those_that_need_a_cohort_alone(name, tmp_path):
    cohorts = make_world(tmp_path).cohorts
    settings = ScoreSettings.model_validate({"cohort": {"top": 10}, "plda": {"dimensions": 8}}).of(name)
    scorer = make_scorer(name, settings, "cpu", cohorts._replace(domain=cohorts.test))
    assert bool(scorer.provenance) is issubclass(SCORERS[name], CohortScorer)


def test_settings_of_a_scorer_are_found_by_its_name():
    assert ScoreSettings(plda=PldaSettings(dimensions=3)).of("plda") == PldaSettings(dimensions=3)
