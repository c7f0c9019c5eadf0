"""What every scorer must do.

Shapes: U utterances, C crops, V views, D embedding dimension, P trials.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest

from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.metrics import eer
from reseed.stages.trial_scoring.inputs.cohort import Cohort, Cohorts, CohortSettings
from reseed.stages.trial_scoring.inputs.sides import Indices, SideVectors, read_side
from reseed.stages.trial_scoring.inputs.stores import SideStores
from reseed.stages.trial_scoring.scorers.base import CohortScorer, Scorer
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.stages.trial_scoring.table import make_scorer, scorer_class
from reseed.store import EmbeddingStore, ScoringError
from reseed.testing.generated import simulate, write_enrolments, write_manifest, write_store

VIEWS = {"clean": {}, "noise_5db": {"noise": 5.0}}
SETTINGS: dict[str, Any] = {"cohort": {"top": 10}, "plda": {"dimensions": 8}}  # that fit a small store


class World(NamedTuple):
    """Ten speakers of four utterances, and thirty others of three: the cohort."""

    store: EmbeddingStore
    utterances: Path
    enrolments: Path
    cohorts: Cohorts

    def sides(self, scorer: Scorer[Any], enrolled: str, tested: str, enrolments: Path | None = None) -> tuple[Any, Any]:
        """Return what a scorer makes of the enrolment side in one view, and of the test side in another."""
        entries = read_side(SideStores(self.store), self.utterances, enrolments)
        enrolment, test = (SideVectors(SideStores(self.store), view, entries) for view in (enrolled, tested))
        return scorer.prepare(enrolment, enrolling=True), scorer.prepare(test, enrolling=False)


def make_world(root: Path) -> World:
    """Write it."""
    people = [f"{kind}{number:02d}" for kind, count in (("t", 10), ("c", 30)) for number in range(count)]
    names = [who for who in people for _ in range(4 if who.startswith("t") else 3)]
    ids = [f"{who}-{number}" for number, who in enumerate(names)]
    vectors_UCVD = simulate(names, VIEWS, dim=12, crops=3)
    utterances = write_manifest(root / "utterances.parquet", ids, names)
    settings = CohortSettings.model_validate(SETTINGS["cohort"])
    path = write_store(root / "cohort", ids[40:], names[40:], vectors_UCVD[40:], VIEWS)
    store = EmbeddingStore(write_store(root / "store", ids[:40], names[:40], vectors_UCVD[:40], VIEWS))
    entries = read_side(SideStores(store), utterances)
    cohort = Cohort(path, utterances, settings, (entries.ids, entries.speakers))
    enrolments = write_enrolments(root / "enrolments.parquet", [("model", name) for name in ids[:2]])
    return World(store, utterances, enrolments, Cohorts(cohort, cohort))


def pairs() -> Indices:
    """Return every pair of two of the forty utterances, [P, 2]."""
    first, second = np.triu_indices(40, k=1)
    return np.stack([first, second], axis=1)


class ScorerContract:
    """What every scorer must do.

    Attributes:
        scorer: its name, or package.module:Class.
        settings: those to test it with, where the defaults do not do.
        symmetric: whether it makes no difference which of two recordings is enrolled.
        with_domain: whether it needs vectors of another domain.
    """

    scorer: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    symmetric: ClassVar[bool] = True
    with_domain: ClassVar[bool] = False

    @pytest.fixture
    def name(self) -> str:
        """The scorer under test; reseed's own tests give all of their table."""
        return self.scorer

    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, tmp_path_factory: pytest.TempPathFactory) -> World:
        """What it scores."""
        return make_world(tmp_path_factory.mktemp("world"))

    def made(self, name: str, world: World) -> Scorer[Any]:
        """Return it with its settings and, if it needs them, cohorts."""
        own = {"scorings": [name], "settings": {name: self.settings}} if self.settings else {}
        settings = ScoreSettings.model_validate({**SETTINGS, **own}).of(name)
        cohorts = world.cohorts._replace(domain=world.cohorts.test) if self.with_domain else world.cohorts
        return make_scorer(name, settings, "cpu", cohorts)

    def scores(self, name: str, world: World, enrolled: str, tested: str) -> Floats:
        """Return the scores of all pairs."""
        scorer = self.made(name, world)
        return scorer.score(*world.sides(scorer, enrolled, tested), pairs())

    def test_its_settings_can_be_had_by_its_name(self, name: str) -> None:
        settings = ScoreSettings.model_validate({"scorings": [name]})
        assert type(settings.of(name)) is scorer_class(name).Config
        assert settings.need_cohort == ([name] if issubclass(scorer_class(name), CohortScorer) else [])

    def test_scores_are_finite_and_higher_for_one_speaker_than_for_two(self, name: str, world: World) -> None:
        score_P = self.scores(name, world, "clean", "noise_5db")
        same_P = pairs()[:, 0] // 4 == pairs()[:, 1] // 4
        found, wanted = (score_P.dtype, score_P.shape), (np.dtype(np.float64), (len(pairs()),))
        assert found == wanted, f"score returns {found[0]} {found[1]}; it must be one float64 for each trial, [P]"
        assert np.isfinite(score_P).all(), "scores are not finite for vectors that are; look for a division by zero"
        rate = eer(score_P[same_P], score_P[~same_P])
        assert rate < 0.3, (
            f"speakers are told apart at an EER of {100 * rate:.0f} %, not below 30 %: a higher score must mean that "
            "two recordings are more likely of one speaker (a distance needs a minus sign)"
        )

    def test_scores_depend_neither_on_the_order_of_trials_nor_on_those_beside_them(
        self, name: str, world: World
    ) -> None:
        scorer = self.made(name, world)
        sides = world.sides(scorer, "clean", "noise_5db")
        whole_P = scorer.score(*sides, pairs())
        order = np.random.default_rng(0).permutation(len(pairs()))
        because = "a trial is scored otherwise {}: score each row of pairs_P2 by itself, and normalise nothing over P"
        turned_P = scorer.score(*sides, pairs()[order])
        np.testing.assert_allclose(turned_P, whole_P[order], 1e-6, 1e-9, err_msg=because.format("in another order"))
        alone = [scorer.score(*sides, pairs()[trial : trial + 1]).item() for trial in order[:20]]
        np.testing.assert_allclose(alone, whole_P[order[:20]], 1e-6, 1e-6, err_msg=because.format("alone"))
        assert scorer.score(*sides, pairs()[:0]).shape == (0,), "score must return an empty array for no trials"

    def test_the_same_scorer_made_again_gives_the_same_scores(self, name: str, world: World) -> None:
        first_P, second_P = (self.scores(name, world, "clean", "noise_5db") for _ in range(2))
        np.testing.assert_array_equal(first_P, second_P, "two of the same settings score otherwise: seed what is drawn")

    def test_swapping_the_sides_changes_nothing_where_the_scorer_is_symmetric(self, name: str, world: World) -> None:
        scorer = self.made(name, world)
        forth_P = scorer.score(*world.sides(scorer, "clean", "noise_5db"), pairs())
        back_P = scorer.score(*world.sides(scorer, "noise_5db", "clean"), pairs()[:, ::-1])
        assert np.allclose(forth_P, back_P, rtol=1e-6, atol=1e-6) is self.symmetric, (
            "swapping enrolment and test changes scores; if that is meant, set symmetric = False in the test class"
            if self.symmetric
            else "swapping enrolment and test changes nothing; leave symmetric = False out of the test class"
        )

    def test_a_model_of_several_utterances_is_scored_or_refused_in_words(self, name: str, world: World) -> None:
        scorer, model = self.made(name, world), 40
        try:
            sides = world.sides(scorer, "clean", "clean", enrolments=world.enrolments)
        except ScoringError as error:
            refusal = str(error)
        else:
            refusal = ""
        if refusal:
            assert refusal.startswith("the 1 enrolment models of several utterances have no crops"), (
                "where it needs crops it must ask for side.crops_UCD, which refuses models in words"
            )
            return
        own, other = scorer.score(*sides, np.array([[model, 2], [model, 6]]))
        assert own > other, "a model of two utterances scores higher against another speaker than against its own"

    def test_what_scores_depend_on_is_json_of_plain_values(self, name: str, world: World) -> None:
        provenance = self.made(name, world).provenance
        assert json.loads(json.dumps(provenance)) == provenance, "provenance must be what JSON can hold"
        if issubclass(scorer_class(name), CohortScorer):
            assert provenance, "provenance must say which cohort it compares with: return self.cohorts.test.provenance"
