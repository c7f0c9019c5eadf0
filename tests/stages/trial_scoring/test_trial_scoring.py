"""Every scoring through `score`, on generated stores: what a file of several scorings holds, cohorts, models, Dask."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from reseed.pipeline.executor import executor
from reseed.stages.score import score
from reseed.stages.scoring.metrics import eer
from reseed.stages.scoring.plda import TwoCovariancePLDA
from reseed.stages.scoring.plda_adaptation import kaldi
from reseed.stages.trial_scoring.files import read_scores
from reseed.stages.trial_scoring.order import ScoreOrder
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.store import EmbeddingStore, ManifestError, ScoringError, StoreError
from tests.stages.scoring.example import simulate, write_enrolments, write_manifest, write_store, write_trials

VIEWS = {"clean": {}, "noise_5db": {"noise": 5.0}}
ADAPTED = ("plda_coral", "plda_coral_plus", "plda_kaldi")
EVERY = ("cosine", "crop_pairs", "crop_distance", "as_norm", "s_norm", "plda", *ADAPTED)
DIM, CROPS = 12, 3


def names(prefix: str, speakers: int, each: int) -> tuple[list[str], list[str]]:
    people = [f"{prefix}{number:02d}" for number in range(speakers) for _ in range(each)]
    return [f"{who}-{number % each}" for number, who in enumerate(people)], people


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Twelve speakers of four utterances under test, and thirty others of three: the cohort."""
    root = tmp_path_factory.mktemp("world")
    ids, people = names("t", 12, 4)
    others, their_names = names("c", 30, 3)
    vectors = simulate(people + their_names, VIEWS, dim=DIM, crops=CROPS, system="raw")
    pairs = [(a, b, ids[a].split("-")[0] == ids[b].split("-")[0]) for a in range(48) for b in range(48) if a < b]
    return {
        "store": write_store(root / "store", ids, people, vectors[:48], VIEWS),
        "cohort": write_store(root / "cohort", others, their_names, vectors[48:], VIEWS),
        "utterances": write_manifest(root / "utterances.parquet", ids, people),
        "cohort_utterances": write_manifest(root / "others.parquet", others, their_names),
        "trials": write_trials(root / "trials.parquet", [(ids[a], ids[b], same, None) for a, b, same in pairs]),
    }


def scored(world: dict[str, Path], out: Path, scorings: tuple[str, ...] = EVERY, **options: Any) -> pa.Table:
    given = {"cohort": {"top": 10} | options.pop("cohort_settings", {}), "plda": {"dimensions": 8}}
    settings = ScoreSettings(scorings=scorings, **(given | options.pop("settings", {})))
    files = {"scores": out / "scores.parquet", "identification": out / "identification.parquet"}
    execute = options.pop("execute", None)
    score(ScoreOrder(**{**world, **files, "system": "raw", "settings": settings, **options}), execute=execute)
    return pq.read_table(files["scores"])


def column(table: pa.Table, scoring: str, view: str = "clean") -> tuple[np.ndarray, np.ndarray]:
    rows = [row for row in table.to_pylist() if (row["scoring"], row["condition"]) == (scoring, view)]
    return np.array([row["score"] for row in rows]), np.array([row["is_target"] for row in rows])


def vectors_of(path: Path, view: str) -> np.ndarray:
    crops = EmbeddingStore(path).vectors(view).reshape(-1, CROPS, DIM).astype(float)
    return crops / np.linalg.norm(crops, axis=-1, keepdims=True)


def means(crops: np.ndarray) -> np.ndarray:
    mean = crops.mean(axis=1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def test_one_file_holds_every_scoring_of_every_trial_and_each_tells_speakers_apart(world, tmp_path):
    table = scored(world, tmp_path)
    assert table.num_rows == 1128 * len(EVERY) * len(VIEWS)
    for scoring in EVERY:
        values, same = column(table, scoring)
        assert eer(values[same], values[~same]) < 0.3, scoring


def test_crop_scores_are_those_of_a_loop_over_the_crops(world, tmp_path):
    table = scored(world, tmp_path, ("crop_pairs", "crop_distance"))
    enrolled, tested = vectors_of(world["store"], "clean"), vectors_of(world["store"], "noise_5db")
    row = next(row for row in table.to_pylist() if (row["scoring"], row["condition"]) == ("crop_pairs", "noise_5db"))
    ids = EmbeddingStore(world["store"]).utterance_ids()
    first, second = enrolled[ids.index(row["enrolment_id"])], tested[ids.index(row["test_id"])]
    assert row["score"] == pytest.approx(np.mean([a @ b for a in first for b in second]), abs=1e-6)
    distance, _ = column(table, "crop_distance", "noise_5db")
    assert distance[0] == pytest.approx(-np.mean([np.linalg.norm(a - b) for a in first for b in second]), abs=1e-5)


def test_as_norm_is_worked_out_by_hand(world, tmp_path):
    values, _ = column(scored(world, tmp_path, ("as_norm",)), "as_norm", "noise_5db")
    enrolled, tested = (means(vectors_of(world["store"], view)) for view in ("clean", "noise_5db"))
    cohort = means(vectors_of(world["cohort"], "clean")).reshape(30, 3, DIM).sum(axis=1)
    cohort /= np.linalg.norm(cohort, axis=1, keepdims=True)

    def z(cosine: float, side: np.ndarray) -> float:
        nearest = np.sort(cohort @ side)[-10:]
        return (cosine - nearest.mean()) / nearest.std()

    cosine = enrolled[0] @ tested[1]
    assert values[0] == pytest.approx((z(cosine, enrolled[0]) + z(cosine, tested[1])) / 2, rel=1e-4)


def test_a_model_of_several_utterances_is_scored_as_one_and_counts_in_plda(world, tmp_path):
    rows = [("t00", f"t00-{number}") for number in range(3)] + [("t01", "t01-0"), ("t01", "t01-1"), ("t02", "gone")]
    enrolments = write_enrolments(tmp_path / "enrolments.parquet", rows)
    trials = [("t00", "t00-3", True, None), ("t01", "t00-3", False, None), ("t02", "t00-3", False, None)]
    changed = {**world, "trials": write_trials(tmp_path / "trials.parquet", trials), "enrolments": enrolments}
    table = scored(changed, tmp_path, ("cosine", "plda"), settings={"allow_missing": True})
    cosine, _ = column(table, "cosine")
    unit = means(vectors_of(world["store"], "clean"))
    model = unit[:3].mean(axis=0)
    assert cosine.size == 2
    assert cosine[0] == pytest.approx(unit[3] @ model / np.linalg.norm(model), abs=1e-6)
    assert table["enrolment_speaker_id"].to_pylist()[0] == "t00"
    plda, _ = column(table, "plda")
    assert plda[0] > 0 > plda[1]
    with pytest.raises(ScoringError, match="2 enrolment models of several utterances have no crops"):
        scored(changed, tmp_path, ("crop_distance",), settings={"allow_missing": True})


def test_a_list_of_no_models_changes_nothing(world, tmp_path):
    enrolments = write_enrolments(tmp_path / "enrolments.parquet", [])
    assert scored({**world, "enrolments": enrolments}, tmp_path, ("cosine",)).equals(
        scored(world, tmp_path, ("cosine",))
    )


def test_a_model_of_two_speakers_or_of_an_utterance_name_is_refused(world, tmp_path):
    for rows, message in (
        ([("m", "t00-0"), ("m", "t01-0")], "the model m holds utterances of two speakers"),
        ([("t00-0", "t00-1")], "t00-0 is the name of a model and of an utterance"),
    ):
        write_enrolments(tmp_path / "enrolments.parquet", rows)
        with pytest.raises(ManifestError, match=message):
            scored({**world, "enrolments": tmp_path / "enrolments.parquet"}, tmp_path, ("cosine",))


def test_scores_say_what_they_were_normalised_by(world, tmp_path):
    scored(world, tmp_path, ("cosine", "as_norm", "plda"))
    made_by = {name: found.inputs for name, found in read_scores(tmp_path / "scores.parquet")[1].scorings.items()}
    assert made_by["cosine"] == {}
    assert made_by["as_norm"]["cohort"] | {"store": "", "per": ""} == {
        "store": "",
        "utterances": 90,
        "speakers": 30,
        "vectors": 30,
        "per": "",
        "views": ["clean"],
        "top": 10,
    }
    assert made_by["plda"]["plda"]["vectors"] == 180
    assert made_by["plda"]["plda"]["dimensions"] == 8


def test_a_cohort_that_shares_speakers_with_the_trials_is_refused_excluded_or_allowed(world, tmp_path):
    ids, _ = names("t", 12, 4)
    mixed = {**world, "cohort": world["store"], "cohort_utterances": world["utterances"]}
    trials = [(ids[0], ids[1], True, None), (ids[0], ids[5], False, None)]
    mixed["trials"] = write_trials(tmp_path / "trials.parquet", trials)
    with pytest.raises(ScoringError, match=r"8 of 48 utterances of the cohort .* e\.g\. t00-0, t00-1, t00-2"):
        scored(mixed, tmp_path, ("as_norm",))
    scored(mixed, tmp_path, ("as_norm",), cohort_settings={"overlap": "exclude"})
    assert read_scores(tmp_path / "scores.parquet")[1].scorings["as_norm"].inputs["cohort"]["speakers"] == 10
    scored(mixed, tmp_path, ("as_norm",), cohort_settings={"overlap": "allow"})
    assert read_scores(tmp_path / "scores.parquet")[1].scorings["as_norm"].inputs["cohort"]["speakers"] == 12


def test_a_cohort_that_does_not_fit_is_named(world, tmp_path):
    alone = {key: value for key, value in world.items() if not key.startswith("cohort")}
    with pytest.raises(ScoringError, match="as_norm and plda of .* need other speakers: give --cohort"):
        scored(alone, tmp_path, ("cosine", "as_norm", "plda"))
    with pytest.raises(ScoringError, match="cohort.*30.*31|31.*30"):
        scored(world, tmp_path, ("as_norm",), cohort_settings={"top": 31})
    with pytest.raises(StoreError, match="not 'phone'; change score.cohort.views"):
        scored(world, tmp_path, ("as_norm",), cohort_settings={"views": ["phone"]})
    ids, people = names("c", 30, 3)
    vectors = simulate(people, VIEWS, dim=DIM, crops=CROPS, system="raw")
    foreign = write_store(tmp_path / "foreign", ids, people, vectors, VIEWS, space="other:2")
    with pytest.raises(ScoringError, match="holds embeddings of other:2, .* those of toy:1"):
        scored({**world, "cohort": foreign}, tmp_path, ("as_norm",))


def test_plda_leaves_out_speakers_of_too_few_utterances(world, tmp_path):
    scored(world, tmp_path, ("plda",), settings={"plda": {"dimensions": 8, "min_utterances": 3}})
    assert read_scores(tmp_path / "scores.parquet")[1].scorings["plda"].inputs["plda"]["speakers"] == 30
    with pytest.raises(ScoringError, match="3 or more speakers with two or more vectors each; there are 0 among 0"):
        scored(world, tmp_path, ("plda",), settings={"plda": {"dimensions": 8, "min_utterances": 4}})


def test_plda_is_adapted_to_both_sides_of_a_condition_each_about_its_own_mean(world, tmp_path):
    units = np.concatenate([means(vectors_of(world["cohort"], view)) for view in VIEWS])
    model = TwoCovariancePLDA(8).fit(units, np.array(names("c", 30, 3)[1] * 2))
    sides = [means(vectors_of(world["store"], view)) for view in VIEWS]
    centred = [model.centred_on(side.mean(axis=0)) for side in sides]
    domain = np.concatenate([one.reduce(side) for one, side in zip(centred, sides, strict=True)])
    adapted = kaldi(model, domain, 0.3, 0.7, 1.0)
    first, second = (adapted.centred_on(one.mean_).transform(side) for one, side in zip(centred, sides, strict=True))
    expected = adapted.score_trials(first, second, np.stack(np.triu_indices(48, 1), axis=1))
    found, _ = column(scored(world, tmp_path, ("plda_kaldi",)), "plda_kaldi", "noise_5db")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_an_adaptation_without_labels_asks_nobody_who_speaks(world, tmp_path):
    known = scored(world, tmp_path / "known", ADAPTED)
    nobody = write_manifest(tmp_path / "nobody.parquet", names("t", 12, 4)[0], [None] * 48)
    unknown = scored({**world, "utterances": nobody}, tmp_path / "unknown", ADAPTED)
    np.testing.assert_array_equal(known["score"].to_numpy(), unknown["score"].to_numpy())
    inputs = read_scores(tmp_path / "known" / "scores.parquet")[1].scorings["plda_coral_plus"].inputs
    to = "the vectors scored, each condition by itself"
    assert inputs["adaptation"] == {"to": to, "within_scale": 0.8, "between_scale": 0.8}


def test_a_declared_domain_takes_the_place_of_what_is_scored_and_may_not_share_speakers_with_it(world, tmp_path):
    ids, people = names("d", 10, 4)
    vectors = simulate(people, {"phone": {}}, dim=DIM, crops=CROPS, system="raw")
    store = write_store(tmp_path / "domain", ids, people, vectors, {"phone": {}})
    declared = {**world, "domain": store, "domain_utterances": write_manifest(tmp_path / "d.parquet", ids, people)}
    table = scored(declared, tmp_path, (*ADAPTED, "plda_interpolated"))
    for scoring in (*ADAPTED, "plda_interpolated"):
        values, same = column(table, scoring)
        assert eer(values[same], values[~same]) < 0.3, scoring
        inputs = read_scores(tmp_path / "scores.parquet")[1].scorings[scoring].inputs["adaptation"]
        assert inputs["to"]["utterances"] == 40
        assert inputs["to"]["views"] == ["phone"]
    with pytest.raises(ScoringError, match="48 of 48 utterances of the cohort .* are of utterances or speakers of the"):
        scored({**declared, "domain": world["store"], "domain_utterances": world["utterances"]}, tmp_path, ADAPTED)
    with pytest.raises(ScoringError, match="--domain STORE and --domain-utterances MANIFEST go together"):
        scored({**world, "domain": store}, tmp_path, ADAPTED)
    with pytest.raises(ScoringError, match="plda_interpolated needs labelled speech of the domain: give --domain"):
        scored(world, tmp_path, ("plda_interpolated",))
    few = {**declared, "domain_utterances": write_manifest(tmp_path / "few.parquet", ids[:8], people[:8])}
    with pytest.raises(ScoringError, match="8 vectors are too few to adapt a PLDA of 8 dimensions to; set score.plda"):
        scored(few, tmp_path, ("plda_coral",))


def test_dask_workers_write_the_same_scores(world, tmp_path):
    ways = ("cosine", "as_norm", "plda", "plda_coral_plus")
    alone = scored(world, tmp_path / "alone", ways)
    with executor("local:2") as execute:
        spread = scored(world, tmp_path / "spread", ways, execute=execute)
    for name in alone.column_names:
        if name == "score":
            np.testing.assert_allclose(alone[name].to_numpy(), spread[name].to_numpy(), atol=1e-9)
        else:
            assert alone[name].to_pylist() == spread[name].to_pylist()
    assert sorted(path.name for path in (tmp_path / "spread").iterdir()) == ["identification.parquet", "scores.parquet"]


def test_workers_that_stand_in_another_folder_find_the_files(world, tmp_path, monkeypatch):
    def elsewhere(function, numbers):
        (tmp_path / "other").mkdir()
        for number in numbers:
            monkeypatch.chdir(tmp_path / "other")
            found = function(number)
            monkeypatch.chdir(world["store"].parent)
            yield found

    monkeypatch.chdir(world["store"].parent)
    relative = {name: Path(path.name) for name, path in world.items()}
    spread = scored(relative, Path("spread"), ("cosine", "as_norm"), execute=elsewhere)
    assert spread.equals(scored(world, tmp_path, ("cosine", "as_norm")))


def test_a_list_of_many_row_groups_is_scored_in_parts(world, tmp_path, monkeypatch):
    whole = scored(world, tmp_path, ("cosine",))
    table = pq.read_table(world["trials"])
    pq.write_table(table, tmp_path / "cut.parquet", row_group_size=100)
    monkeypatch.setattr("reseed.stages.trial_scoring.inputs.trial_list._PART_P", 250)
    monkeypatch.setattr("reseed.stages.trial_scoring.inputs.trial_list._BATCH_P", 64)
    cut = scored({**world, "trials": tmp_path / "cut.parquet"}, tmp_path, ("cosine",))
    assert cut.to_pylist() == whole.to_pylist()


def test_a_protocol_stands_for_its_settings_and_those_that_are_given_win():
    named = ScoreSettings.model_validate({"protocol": "vox1-o-wespeaker", "cohort": {"top": 100}})
    plain = ScoreSettings.model_validate({"scorings": ["cosine", "as_norm"], "cohort": {"top": 100}})
    assert named.model_dump() == plain.model_dump()
    assert "protocol" not in named.model_dump()
    assert ScoreSettings.model_validate({"protocol": "seed"}).scorings == ("crop_distance",)
    with pytest.raises(ValidationError):
        ScoreSettings.model_validate({"protocol": "vox1"})


def test_settings_name_each_scoring_once():
    with pytest.raises(ValueError, match="names cosine twice"):
        ScoreSettings(scorings=("cosine", "cosine"))
