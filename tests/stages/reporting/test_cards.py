import re
from dataclasses import replace

import pytest

from reseed.stages.aligners.table import ALIGNERS
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.reporting.cards import cards, describe_scoring
from reseed.stages.trial_scoring.origin import CalibrationRecord, Provenance
from reseed.stages.trial_scoring.table import SCORERS
from tests.stages.reporting.example import results_of
from tests.stages.reporting.test_setup import scored


def made(*systems):
    return cards(results_of(systems=systems))


@pytest.mark.parametrize("method", ["raw", "fusion", *ENHANCERS, *ALIGNERS])
def test_every_method_is_explained_in_a_line(method):
    text = made(scored("mine", method=method))[0].method
    assert re.fullmatch(r"[\w].*\.", text)
    assert not text.startswith("Enhancer")


def test_a_method_from_elsewhere_is_named_with_its_settings_space_and_store():
    card = made(scored("x", method="mine", config={"depth": 2, "bold": True}))[0]
    assert (card.style.label, card.method) == ("x", "Enhancer mine.")
    assert dict(card.entries) == {
        "Settings": "bold True, depth 2",
        "Space": "ge2e:1",
        "Fingerprint of its store": "f" * 64,
        "cosine": "Cosine of the utterances' mean embeddings.",
    }


@pytest.mark.parametrize(
    ("config", "learns"),
    [
        ({"mean": "training", "prior": 10.0}, False),
        ({"mean": "views", "prior": 10.0}, True),
        ({"chain": [{"centre": {"mean": "store"}}, {"length_norm": {}}]}, True),
        ({"chain": [{"centre": {"mean": "training"}}, {"neighbours": {}}]}, True),
        ({"chain": [{"centre": {"mean": "training"}}, {"wccn": {"shrinkage": 3}}]}, False),
    ],
)
def test_what_learns_from_the_store_that_is_scored_says_so(config, learns):
    (card,) = made(scored("x", method="chain" if "chain" in config else "centre", config=config))
    assert ("its trials are not independent of each other" in card.method) == learns


def test_ways_of_scoring_share_a_card_and_say_what_they_were_made_from():
    cohort = {"cohort": {"store": "train", "top": 300}}
    fit = CalibrationRecord(("score of a", "snr, the lower"), (0.25, 2.0), -1.5, 0.01, ("held.parquet",))
    made_by = {"as_norm": Provenance(cohort), "as_norm+calibrated": Provenance(cohort, calibration=fit)}
    plain = scored("a", scorings=made_by)
    both = [replace(plain, system=replace(plain.system, scoring=name)) for name in ("as_norm", "as_norm+calibrated")]
    (card,) = made(*both)
    said = dict(card.entries)
    assert said["as_norm"].endswith("highest cohort scores. cohort: store train, top 300.")
    assert "on held-out trials. cohort:" in said["as_norm+calibrated"]
    assert said["as_norm+calibrated"].endswith(
        "calibration: features score of a; snr, the lower, held_out held.parquet, offset -1.5, p_target 0.01, "
        "weight_F 0.25; 2."
    )


@pytest.mark.parametrize("scoring", SCORERS)
def test_every_scoring_is_explained_in_a_line(scoring):
    assert re.fullmatch(r"[A-Z][^\n]+\.", describe_scoring(scoring))
    assert "Scores called" not in describe_scoring(scoring)
    assert describe_scoring(f"{scoring}+calibrated").endswith("on held-out trials.")
    assert describe_scoring("mine") == "Scores called mine."


def test_a_fused_system_has_no_store_and_says_what_made_the_scores_of_each_member():
    members = {"ge2e:1": {"cohort": {"store": "a", "top": 50}}, "ge2e:1+vire:2": {"cohort": {"store": "b", "top": 60}}}
    features = ("score of raw", "score of vire", "duration, the lower")
    fit = CalibrationRecord(features, (-1.5, 2.0, -3.0), 0.0, 0.05, ())
    fused = scored(
        "raw+vire",
        method="fusion",
        space="ge2e:1+fusion:3",
        config={"of": list(members)},
        scorings={"as_norm+calibrated": Provenance(members=members, calibration=fit)},
    )
    system = replace(fused.system, space="ge2e:1+fusion:3", scoring="as_norm+calibrated")
    card = made(scored("raw"), replace(fused, system=system))[1]
    said = dict(card.entries)
    assert card.method == (
        "The scores of several systems, added up with fitted weights. It weights raw negatively under as_norm."
    )
    assert said["Fused from"] == "raw, ge2e:1; ge2e:1+vire:2"
    assert "Of raw, cohort: store a, top 50. Of ge2e:1+vire:2, cohort: store b, top 60." in said["as_norm+calibrated"]
    assert not {"Fingerprint of its store", "Settings"} & set(said)


def test_a_system_that_is_not_shown_by_itself_has_no_card():
    first, second = scored("old~new:nessa-0"), scored("old~new:nessa-1")
    results = results_of(systems=[first, second])
    shown = {first.system: results.styles[first.system]}
    assert [card.style.label for card in cards(replace(results, styles=shown))] == ["old~new:nessa-0"]
