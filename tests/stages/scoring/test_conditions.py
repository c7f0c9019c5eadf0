import pytest

from reseed.stages.scoring.conditions import describe


@pytest.mark.parametrize(
    ("recipe", "kind", "snr_db", "label"),
    [
        ({}, "clean", None, "clean"),
        ({"noise": 5.0}, "noise", (5, 5), "noise 5 dB"),
        ({"noise": 0}, "noise", (0, 0), "noise 0 dB"),
        ({"music": [5, 15]}, "music", (5, 15), "music 5 to 15 dB"),
        ({"babble": -2.5}, "babble", (-2.5, -2.5), "babble −2.5 dB"),
        ({"reverb": True}, "reverb", None, "reverb"),
        ({"babble": 10.0, "reverb": True}, "reverb+babble", (10, 10), "reverb + babble 10 dB"),
        ({"reverb": False, "noise": None}, "clean", None, "clean"),
        ({"codec": "mu-law", "noise": 10}, "noise+codec", (10, 10), "noise + codec 10 dB"),
    ],
)
def test_a_recipe_says_what_a_condition_is(recipe, kind, snr_db, label):
    condition = describe("some_view", recipe)
    assert (condition.kind, condition.snr_db, condition.label) == (kind, snr_db, label)


def test_several_noises_at_one_snr_are_three_decibels_louder_than_one():
    low, high = describe("v", {"noise": 10.0, "music": 10.0}).snr_db
    assert low == high == pytest.approx(10 - 3.0103, abs=1e-4)


@pytest.mark.parametrize("recipe", [None, "whatever", 3])
def test_a_recipe_from_elsewhere_is_a_kind_of_its_own_named_after_the_view(recipe):
    assert describe("phone", recipe).kind == "phone"
    assert not describe("phone", recipe).is_clean
    assert describe("clean", recipe).is_clean


def test_only_one_number_is_a_fixed_snr():
    assert describe("v", {"noise": 5}).fixed_snr_db == 5
    assert describe("v", {"noise": [5, 15]}).fixed_snr_db is None
    assert describe("v", {}).fixed_snr_db is None


def test_conditions_read_from_clean_over_mild_to_bad():
    recipes = {
        "a": {"reverb": True, "babble": 5},
        "b": {"noise": 0},
        "c": {"babble": 5},
        "d": {},
        "e": {"noise": 15},
        "f": {"reverb": True},
        "g": {"reverb": True, "babble": 15},
        "h": {"music": 5},
        "i": None,
    }
    conditions = sorted((describe(*item) for item in recipes.items()), key=lambda c: c.reading_order)
    assert [condition.view for condition in conditions] == ["d", "e", "b", "h", "c", "f", "i", "g", "a"]
