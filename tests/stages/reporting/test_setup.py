from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reseed.stages.audio.conditions import Condition
from reseed.stages.audio.recipe import View
from reseed.stages.reporting.results.styles import system_labels, system_styles
from reseed.stages.reporting.results.systems import ScoredSystem, System, TrialScores
from reseed.stages.reporting.setup import contradiction, set_up
from reseed.stages.trial_scoring.origin import Origin
from tests.stages.reporting.example import results_of
from tests.stages.reporting.results.test_summary import measured

CLEAN = Condition("clean", View(), "clean")
ORIGIN = Origin("ge2e:1", "f" * 64, {"clean": {}}, "clean", 3, 1.6, "raw", {}, 0)
NO_GROUPS = np.empty((3, 0), np.int8)


def scored(name="raw", **origin):
    same, other = np.array([[0, 0], [1, 1]]), np.array([[0, 1], [1, 0], [2, 1]])
    trials = TrialScores(np.ones(2), np.zeros(3), same, other, 0, NO_GROUPS[:2], NO_GROUPS)
    system = System(name, "ge2e:1", "cosine")
    return ScoredSystem(system, Path("x"), replace(ORIGIN, **origin), {CLEAN: trials})


def said(*systems, measurements=None):
    styles = system_styles(system_labels([scored.system for scored in systems]))
    measurements = measurements or [measured("raw", "clean", 0.1)]
    return dict(set_up(results_of(measurements, systems, styles=styles)))


def test_what_differs_between_systems_is_said_of_each():
    entries = said(scored("a"), scored("b"), scored("c", enrolment_view="phone", crops=1, crop_s=None))
    assert entries["Embedding"] == (
        "a and b: Mean of 3 crops of 1.6 s per utterance, each scaled to unit length first. "
        "c: One vector per utterance, scaled to unit length."
    )
    assert "c: Always from the view “phone”" in entries["Enrolment"]


def test_pairs_of_speakers_are_counted_whichever_of_the_two_enrolled():
    assert said(scored())["Non-targets"].endswith("2 of 3 possible pairs of speakers occur.")


@pytest.mark.parametrize(("recipe", "warned"), [({"reverb": True, "babble": 5}, True), ({"noise": 5}, False)])
def test_babble_is_warned_of_where_there_is_any(recipe, warned):
    assert ("Babble" in said(scored(), measurements=[measured("raw", "v", 0.1, recipe=recipe)])) is warned


def test_trials_left_out_or_unlabelled_are_said_only_where_there_are_any():
    assert said(scored())["Trials"] == "10 labelled trials per condition, 5 of them targets."
    measurements = [replace(measured("raw", "clean", 0.1), unlabelled=7)]
    text = said(scored(left_out=1234), measurements=measurements)["Trials"]
    assert "in no metric: 7 per condition at most." in text
    assert text.endswith("have no embedding: 1,234.")


def test_a_contradiction_counts_targets_of_two_speakers_and_non_targets_of_one_where_both_are_known():
    targets, nontargets = np.array([[0, 0], [0, 1], [-1, 1]]), np.array([[0, 1], [2, 2], [-1, -1]])
    trials = TrialScores(np.ones(3), np.zeros(3), targets, nontargets, 0, NO_GROUPS, NO_GROUPS)
    assert trials.contradicted_T.tolist() == [False, True, False]
    assert trials.contradicted_N.tolist() == [False, True, False]
    assert trials.contradictory == 2


def test_agreement_needs_no_warning():
    assert contradiction([measured("raw", "clean", 0.1)]) is None
