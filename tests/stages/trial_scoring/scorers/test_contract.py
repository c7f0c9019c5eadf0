"""What every scorer of the table must do."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from reseed.stages.common.section import Section
from reseed.stages.scoring.metrics import eer
from reseed.stages.trial_scoring.inputs.cohort import Cohort, Cohorts, CohortSettings
from reseed.stages.trial_scoring.inputs.sides import SideVectors, read_side
from reseed.stages.trial_scoring.inputs.stores import SideStores
from reseed.stages.trial_scoring.scorers.base import CohortScorer, Scorer
from reseed.stages.trial_scoring.scorers.plda import PldaSettings
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.stages.trial_scoring.table import SCORERS, make_scorer, scorer_class
from reseed.store import ConfigError, EmbeddingStore, ScoringError
from tests.stages.scoring.example import simulate, write_enrolments, write_manifest, write_store

VIEWS = {"clean": {}, "noise_5db": {"noise": 5.0}}
SETTINGS = {"cohort": {"top": 10}, "plda": {"dimensions": 8}}  # that fit a small store
ASYMMETRIC: set[str] = set()  # scorers to which it matters which of two recordings is enrolled
every_scorer = pytest.mark.parametrize("name", SCORERS)


class World(NamedTuple):
    """Ten speakers of four utterances, and thirty others of three: the cohort."""

    store: EmbeddingStore
    utterances: Path
    enrolments: Path
    cohorts: Cohorts

    def scorer(self, name: str) -> Scorer[Any]:
        cohorts = self.cohorts._replace(domain=self.cohorts.test) if name == "plda_interpolated" else self.cohorts
        return make_scorer(name, ScoreSettings.model_validate(SETTINGS).of(name), "cpu", cohorts)

    def sides(self, scorer: Scorer[Any], *views: str, enrolments: Path | None = None) -> list[Any]:
        """Return what a scorer makes of the enrolment side in one view, and of the test side in another."""
        entries = read_side(SideStores(self.store), self.utterances, enrolments)
        return [
            scorer.prepare(SideVectors(SideStores(self.store), view, entries), enrolling=number == 0)
            for number, view in enumerate(views)
        ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    people = [f"{kind}{number:02d}" for kind, count in (("t", 10), ("c", 30)) for number in range(count)]
    names = [who for who in people for _ in range(4 if who.startswith("t") else 3)]
    ids = [f"{who}-{number}" for number, who in enumerate(names)]
    vectors = simulate(names, VIEWS, dim=12, crops=3, system="raw")
    utterances = write_manifest(root / "utterances.parquet", ids, names)
    settings = CohortSettings.model_validate(SETTINGS["cohort"])
    path = write_store(root / "cohort", ids[40:], names[40:], vectors[40:], VIEWS)
    store = EmbeddingStore(write_store(root / "store", ids[:40], names[:40], vectors[:40], VIEWS))
    entries = read_side(SideStores(store), utterances)
    cohort = Cohort(path, utterances, settings, (entries.ids, entries.speakers))
    enrolments = write_enrolments(root / "enrolments.parquet", [("model", name) for name in ids[:2]])
    return World(store, utterances, enrolments, Cohorts(cohort, cohort))


def pairs() -> np.ndarray:
    first, second = np.triu_indices(40, k=1)
    return np.stack([first, second], axis=1)


def test_an_unknown_scorer_lists_the_choices():
    with pytest.raises(ConfigError, match="no scorer 'asnorm'; choose one of cosine, crop_pairs, crop_distance, as_"):
        scorer_class("asnorm")
    with pytest.raises(ValueError, match=rf"'cosine', 'crop_pairs', .* or '{[*SCORERS][-1]}'"):
        ScoreSettings(scorings=("asnorm",))


def test_a_config_of_another_scorer_and_cohorts_that_are_missing_are_refused(world):
    with pytest.raises(ConfigError, match="scorer 'plda' takes a PldaSettings, not a Section"):
        make_scorer("plda", Section(), "cpu", world.cohorts)
    with pytest.raises(ScoringError, match="scorer 'as_norm' needs other speakers"):
        make_scorer("as_norm", Section(), "cpu", None)


@every_scorer
def test_settings_name_the_scorer_and_have_a_field_for_its_own(name):
    settings = ScoreSettings(scorings=(name,))
    assert type(settings.of(name)) is SCORERS[name].Config
    assert settings.need_cohort == ([name] if issubclass(SCORERS[name], CohortScorer) else [])


def test_settings_of_a_scorer_are_found_by_its_name():
    assert ScoreSettings(plda=PldaSettings(dimensions=3)).of("plda") == PldaSettings(dimensions=3)


@every_scorer
def test_scores_are_finite_and_higher_for_one_speaker_than_for_two(name, world):
    scorer = world.scorer(name)
    score_P = scorer.score(*world.sides(scorer, "clean", "noise_5db"), pairs())
    same = pairs()[:, 0] // 4 == pairs()[:, 1] // 4
    assert (score_P.dtype, score_P.shape) == (np.float64, (len(pairs()),))
    assert np.isfinite(score_P).all()
    assert eer(score_P[same], score_P[~same]) < 0.3


@every_scorer
def test_scores_depend_neither_on_the_order_of_trials_nor_on_those_beside_them(name, world):
    scorer = world.scorer(name)
    sides = world.sides(scorer, "clean", "noise_5db")
    whole = scorer.score(*sides, pairs())
    order = np.random.default_rng(0).permutation(len(pairs()))
    np.testing.assert_allclose(scorer.score(*sides, pairs()[order]), whole[order], rtol=1e-6, atol=1e-9)
    alone = [scorer.score(*sides, pairs()[trial : trial + 1]).item() for trial in order[:20]]
    np.testing.assert_allclose(alone, whole[order[:20]], rtol=1e-6, atol=1e-6)
    assert scorer.score(*sides, pairs()[:0]).shape == (0,)


@every_scorer
def test_the_same_scorer_made_again_gives_the_same_scores(name, world):
    first, second = (
        scorer.score(*world.sides(scorer, "clean", "noise_5db"), pairs())
        for scorer in (world.scorer(name), world.scorer(name))
    )
    np.testing.assert_array_equal(first, second)


@every_scorer
def test_swapping_the_sides_changes_nothing_where_the_scorer_is_symmetric(name, world):
    scorer = world.scorer(name)
    forth = scorer.score(*world.sides(scorer, "clean", "noise_5db"), pairs())
    back = scorer.score(*world.sides(scorer, "noise_5db", "clean"), pairs()[:, ::-1])
    assert np.allclose(forth, back, rtol=1e-6, atol=1e-6) is (name not in ASYMMETRIC)


@every_scorer
def test_a_model_of_several_utterances_is_scored_or_refused_in_words(name, world):
    scorer, model, refusal = world.scorer(name), 40, ""
    try:
        sides = world.sides(scorer, "clean", "clean", enrolments=world.enrolments)
    except ScoringError as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith("the 1 enrolment models of several utterances have no crops")
    else:
        own, other = scorer.score(*sides, np.array([[model, 2], [model, 6]]))
        assert own > other


@every_scorer
def test_what_scores_depend_on_is_json_of_plain_values(name, world):
    provenance = world.scorer(name).provenance
    assert json.loads(json.dumps(provenance)) == provenance
    assert bool(provenance) is issubclass(SCORERS[name], CohortScorer)
