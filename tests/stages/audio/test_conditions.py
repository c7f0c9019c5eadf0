from itertools import chain
from pathlib import Path

import pytest

from reseed.pipeline.loading import load_config
from reseed.stages.audio.conditions import Condition, describe
from reseed.stages.audio.recipe import RECIPES, View

LABELS = {
    "seed": ["clean", "noise 0 to 15 dB", "music 5 to 15 dB", "reverb"],
    "broad": ["clean", "any of reverb, noise, music, channel"],
    "grid": [
        "clean",
        *(f"{kind} {snr} dB" for kind in ("noise", "music", "babble") for snr in (15, 10, 5, 0)),
        "reverb",
        "GSM",
        "MP3",
        "Opus",
        "telephony + µ-law",
        "reverb + noise 5 dB",
    ],
}
PATHS = {path.stem: path for path in (Path(__file__).parents[3] / "configs").glob("*.yaml")}
CONFIGS = {
    "demo": [
        "clean",
        *(f"{kind} {snr} dB" for kind in ("noise", "music", "babble") for snr in (10, 5, 0)),
        "reverb",
        "reverb + noise 5 dB",
    ],
    "anchors": [
        "clean",
        "noise 10 dB",
        "noise 0 dB",
        "music 5 dB",
        "babble 10 dB",
        "babble 5 dB",
        "babble 0 dB",
        "reverb + babble 10 dB",
    ],
    "gradw": [
        "clean",
        *(f"{kind} {snr} dB" for kind in ("noise", "music") for snr in ("0", "−5", "−10")),
    ],
    "nessa": ["clean", "noise 5 dB", "music 5 dB", "babble 10 dB", "reverb"],
    "starter": ["clean", "noise 5 dB", "music 5 dB", "reverb"],
    "recordings": [
        "clean",
        *(f"{kind} {snr} dB" for kind in ("noise", "music", "babble") for snr in (15, 10, 5, 0)),
        "reverb",
        *(f"reverb + {kind} 10 dB" for kind in ("noise", "music", "babble")),
    ],
}


def conditions(recipes) -> list[Condition]:
    (found,) = describe(recipes)
    return sorted(found.values(), key=lambda condition: condition.reading_order)


def condition(recipe, view="some_view") -> Condition:
    (found,) = conditions({view: recipe})
    return found


def written(views) -> dict:
    return {name: View.model_validate(view).recipe() for name, view in views.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_every_view_of_a_published_recipe_has_a_label_of_its_own(name):
    assert [found.label for found in conditions(written(RECIPES[name]["views"]))] == LABELS[name]


@pytest.mark.parametrize("name", PATHS)
def test_every_view_of_a_published_config_has_a_label_of_its_own(name):
    views = load_config(PATHS[name]).extract.evaluation.views
    assert [found.label for found in conditions(written(views))] == CONFIGS[name]


@pytest.mark.parametrize(
    ("recipe", "kind", "snr_db", "label"),
    [
        ({}, "clean", None, "clean"),
        ({"noise": 5.0}, "noise", (5, 5), "noise 5 dB"),
        ({"noise": 0}, "noise", (0, 0), "noise 0 dB"),
        ({"music": [5, 15]}, "music", (5, 15), "music 5 to 15 dB"),
        ({"babble": -2.5}, "babble", (-2.5, -2.5), "babble −2.5 dB"),
        ({"reverb": True}, "reverb", None, "reverb"),
        ({"babble": 10.0, "reverb": True}, "reverb + babble", (10, 10), "reverb + babble 10 dB"),
        ({"reverb": False, "noise": None}, "clean", None, "clean"),
        ({"codec": "mp3", "noise": 10}, "noise + channel", (10, 10), "noise 10 dB + MP3"),
        ({"codec": ["opus", "vorbis"]}, "channel", None, "any of Opus, Vorbis"),
        ({"volume": [-10, 10]}, "channel", None, "volume −10 to 10 dB"),
        ({"speed": [0.9, 1.1]}, "speed", None, "speed 0.9 to 1.1"),
        ({"noise": 5, "chance": 0.5}, "noise", (5, 5), "noise 5 dB, in 50\u202f% of crops"),
        ({"noise": 5, "babble": 5, "chance": 0.5}, "mixed", (1.99, 1.99), "any of noise, babble"),
        (
            {"reverb": True, "noise": [0, 15], "music": [5, 15], "codec": "gsm"},
            "mixed",
            (-1.19, 11.99),
            "reverb + noise + music + channel",
        ),
    ],
)
def test_a_recipe_says_what_a_condition_is(recipe, kind, snr_db, label):
    found = condition(recipe)
    assert (found.kind, found.label) == (kind, label)
    assert found.snr_db == (None if snr_db is None else pytest.approx(snr_db, abs=0.01))


def test_views_that_would_share_a_short_label_are_told_apart_by_the_full_one():
    broad = {"noise": [0, 15], "music": [0, 15], "chance": 0.5}
    assert [found.label for found in conditions({"often": broad, "seldom": broad | {"chance": 0.25}})] == [
        "noise 0 to 15 dB + music 0 to 15 dB, each in 50\u202f% of crops",
        "noise 0 to 15 dB + music 0 to 15 dB, each in 25\u202f% of crops",
    ]


def test_views_of_one_recipe_are_told_apart_by_their_names():
    assert [found.label for found in conditions({"first": {"noise": 5}, "second": {"noise": 5}})] == [
        "noise 5 dB (first)",
        "noise 5 dB (second)",
    ]


def test_labels_are_told_apart_over_all_files_of_a_report():
    one, other = describe({"noise": {"noise": 5}}, {"noise": {"noise": 5}, "hiss": {"noise": 5}})
    assert one["noise"] == other["noise"]
    assert other["hiss"].label == "noise 5 dB (hiss)"


@pytest.mark.parametrize("recipe", [None, "whatever", 3, {"codec": "amr"}, {"vacuum": True}])
def test_a_recipe_from_elsewhere_is_a_kind_of_its_own_named_after_the_view(recipe):
    found = condition(recipe, view="phone")
    assert (found.label, found.kind, found.is_clean) == ("phone", "phone", False)
    assert condition(recipe, view="clean").is_clean


def test_of_views_without_any_recipe_only_the_one_called_clean_is_clean():
    assert [(found.label, found.is_clean) for found in conditions({"phone": {}, "clean": {}, "tape": {}})] == [
        ("clean", True),
        ("phone", False),
        ("tape", False),
    ]


def test_only_one_number_in_every_crop_is_a_fixed_snr():
    assert condition({"noise": 5}).fixed_snr_db == 5
    assert condition({"noise": [5, 15]}).fixed_snr_db is None
    assert condition({"noise": 5, "chance": 0.5}).fixed_snr_db is None
    assert condition({}).fixed_snr_db is None


def test_the_snr_of_one_noise_is_the_very_number_of_its_recipe():
    for snr_db in (-10, 0, 3, 5, 7.5):
        assert repr(condition({"noise": snr_db}).fixed_snr_db) == repr(float(snr_db))


def test_several_noises_at_one_snr_are_three_decibels_louder_than_one():
    low, high = condition({"noise": 10.0, "music": 10.0}).snr_db
    assert low == high == pytest.approx(10 - 3.0103, abs=1e-4)


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
    assert [found.view for found in conditions(recipes)] == ["d", "e", "b", "h", "c", "f", "i", "g", "a"]


def test_labels_are_short_enough_for_a_table_and_an_axis():
    assert max(map(len, chain(*LABELS.values(), *CONFIGS.values()))) <= 40
