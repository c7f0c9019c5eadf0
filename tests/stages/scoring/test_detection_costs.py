import pytest

from reseed.stages.scoring.detection_costs import DETECTION_COSTS, detection_cost
from reseed.stages.scoring.metrics import actual_dcf, min_dcf
from reseed.store import ConfigError, ScoringError

TARGETS, NONTARGETS = [3.0, 1.0, 0.2, -0.5], [-4.0, -2.0, -1.0, 0.0, 0.4]


def test_the_cost_of_two_applications_is_the_mean_of_theirs():
    cost = detection_cost("sre16")
    assert str(cost) == "P_target 0.01 and P_target 0.005"
    for whole, single in ((cost.minimum, min_dcf), (cost.actual, actual_dcf)):
        expected = sum(single(TARGETS, NONTARGETS, p_target=prior) for prior in (0.01, 0.005)) / 2
        assert whole(TARGETS, NONTARGETS) == pytest.approx(expected, abs=1e-12)


def test_priors_stand_for_themselves_and_for_their_mean():
    assert detection_cost("0.05").applications == DETECTION_COSTS["vox"].applications
    assert detection_cost("0.01+0.005").applications == DETECTION_COSTS["sre16"].applications
    sre08 = detection_cost("sre08").applications[0]
    assert (sre08.of_misses, sre08.of_false_alarms) == pytest.approx((0.1, 0.99))


def test_what_is_neither_name_nor_prior_is_refused():
    with pytest.raises(ConfigError, match=r"there is no detection cost 'voxx'; choose one of vox, .*; did you mean"):
        detection_cost("voxx")
    with pytest.raises(ScoringError, match="a prior of targets lies between 0 and 1, e.g. 0.05; got 1.5"):
        detection_cost("1.5")
