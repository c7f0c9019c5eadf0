import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.score import score
from reseed.stages.trial_scoring.files import read_scores
from reseed.stages.trial_scoring.order import ScoreOrder
from reseed.stages.trial_scoring.origin import Origin, Provenance
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.store import (
    Declaration,
    EmbeddingStore,
    ManifestError,
    ScoringError,
    StoreError,
    finalise,
    write_shard,
)
from reseed.store.inputs import DeclaredInputs, EnhancedInputs
from tests.stages.scoring.example import write_manifest, write_store, write_trials

VIEWS = {"clean": {}, "noise_5db": {"noise": 5.0}, "noise_0db": {"noise": 0.0}}
IDS = ["a1", "a2", "b1", "b2", "c1"]
NAMES = ["a", "a", "b", "b", "c"]
TRIALS = [("a1", "a2", True, None), ("a1", "b1", False, None), ("b1", "b2", None, None)]


@pytest.fixture
def vectors():
    """[U, C, V, D]"""
    return np.random.default_rng(0).normal(size=(5, 2, 3, 4)).astype(np.float32)


@pytest.fixture
def scoring(tmp_path, vectors):
    """Score the example, with anything changed, and return both tables."""
    write_manifest(tmp_path / "utterances.parquet", IDS, NAMES)
    inputs = EnhancedInputs(parent="p", method="wccn", config={"shrinkage": 0.5}, model="m", seed=0)
    space = "ge2e:1a2b+wccn:3c4d"
    write_store(tmp_path / "store", IDS, NAMES, vectors, VIEWS, space, inputs, utterances_per_shard=2)

    def run(trials=TRIALS, **settings):
        files = {name: tmp_path / f"{name}.parquet" for name in ("scores", "identification")}
        run.said = score(
            ScoreOrder(
                store=tmp_path / "store",
                trials=write_trials(tmp_path / "trials.parquet", trials),
                utterances=tmp_path / "utterances.parquet",
                system="wccn",
                settings=ScoreSettings(**settings),
                **files,
            )
        )
        return pq.read_table(files["scores"]), pq.read_table(files["identification"])

    return run


def write_store_of_the_least(path):
    """A store with no more columns than a store must have."""
    declaration = Declaration(4, "float32", VIEWS, 1, "ge2e:1a2b", DeclaredInputs())
    rows = [{"utterance_id": name, "view": view, "crop": 0} for name in IDS for view in VIEWS]
    written = write_shard(path, 0, np.ones((len(rows), 4)), pa.Table.from_pylist(rows), declaration)
    finalise(path, declaration, [written], len(IDS))


def cosine(vectors, enrolment, test, view):
    units = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    first, second = units[enrolment, :, 0].mean(axis=0), units[test, :, view].mean(axis=0)
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def test_every_trial_is_scored_on_every_view_against_clean_enrolment(scoring, vectors):
    rows = scoring()[0].to_pylist()
    assert [row["condition"] for row in rows] == [view for view in VIEWS for _ in TRIALS]
    for row in rows:
        expected = cosine(
            vectors, IDS.index(row["enrolment_id"]), IDS.index(row["test_id"]), list(VIEWS).index(row["condition"])
        )
        assert row["score"] == pytest.approx(expected, abs=1e-6)


def test_rows_say_what_was_scored(scoring):
    row = scoring()[0].to_pylist()[1]
    assert row.pop("score") <= 1
    assert row == {
        "system": "wccn",
        "scoring": "cosine",
        "condition": "clean",
        "enrolment_id": "a1",
        "test_id": "b1",
        "is_target": False,
        "enrolment_speaker_id": "a",
        "test_speaker_id": "b",
    }


def test_unlabelled_trials_are_scored_and_stay_unlabelled(scoring):
    rows = scoring()[0].to_pylist()
    assert [row["is_target"] for row in rows[:3]] == [True, False, None]


def test_metadata_say_what_was_scored_and_how(scoring, tmp_path):
    scoring(enrolment_view="noise_5db")
    origin = read_scores(tmp_path / "scores.parquet")[1]
    assert origin == Origin(
        space="ge2e:1a2b+wccn:3c4d",
        fingerprint=EmbeddingStore(tmp_path / "store").fingerprint,
        conditions=VIEWS,
        enrolment_view="noise_5db",
        crops=2,
        crop_s=1.6,
        method="wccn",
        config={"shrinkage": 0.5},
        left_out=0,
        scorings={"cosine": Provenance()},
    )


def test_a_store_that_nothing_enhanced_is_raw_and_crops_of_unknown_length_stay_unknown(scoring, tmp_path):
    write_store_of_the_least(tmp_path / "store")
    scoring()
    origin = read_scores(tmp_path / "scores.parquet")[1]
    assert (origin.method, origin.config, origin.crop_s) == ("raw", {}, None)


def test_one_sentence_is_returned_and_nothing_is_printed(scoring, capsys):
    scoring()
    assert scoring.said == "wccn: 3 trials scored in 3 conditions, 1 of them unlabelled"
    assert capsys.readouterr() == ("", "")


def test_a_trial_bound_to_a_condition_is_scored_there_alone(scoring):
    rows = scoring([("a1", "a2", True, "noise_5db"), ("a1", "b1", False, None)])[0].to_pylist()
    assert [row["condition"] for row in rows if row["is_target"]] == ["noise_5db"]
    assert len([row for row in rows if not row["is_target"]]) == 3


def test_the_enrolment_view_can_be_another(scoring, vectors):
    row = scoring(enrolment_view="noise_0db")[0].to_pylist()[0]
    assert row["score"] == pytest.approx(cosine(vectors[:, :, ::-1], 0, 1, 2), abs=1e-6)


def test_identification_ranks_labelled_test_utterances_per_condition(scoring):
    rows = scoring([("a1", "a2", True, None), ("b1", "b2", True, None), ("b1", "c1", False, None)])[1].to_pylist()
    assert {row["condition"] for row in rows} == set(VIEWS)
    assert {(row["test_id"], row["speaker_id"]) for row in rows} == {("a2", "a"), ("b2", "b")}
    assert {row["speakers"] for row in rows} == {2}
    assert {row["rank"] for row in rows} <= {1, 2}


def test_unknown_speakers_are_null_and_nobody_is_identified(scoring, tmp_path):
    write_manifest(tmp_path / "utterances.parquet", IDS, [None] * 5)
    scores, identification = scoring()
    assert scores["enrolment_speaker_id"].null_count == scores.num_rows
    assert identification.num_rows == 0
    assert identification.column_names == ["system", "condition", "test_id", "speaker_id", "rank", "speakers"]


def test_an_utterance_that_the_manifest_lacks_has_no_speaker(scoring, tmp_path):
    write_manifest(tmp_path / "utterances.parquet", IDS[1:], NAMES[1:])
    assert scoring()[0]["enrolment_speaker_id"].to_pylist()[:3] == [None, None, "b"]


def test_trials_on_utterances_not_stored_are_an_error_that_names_three_and_counts(scoring, tmp_path):
    trials = [*TRIALS, ("x1", "a1", False, None), ("x1", "x4", True, None), ("a1", "x3", True, None)]
    with pytest.raises(ManifestError) as error:
        scoring([*trials, ("x2", "a1", False, None)])
    message = str(error.value)
    assert "4 of 7 trials name 4 utterances" in message
    assert "x1, x2, x3;" in message
    assert "rejects.parquet" in message
    assert "allow_missing=true" in message
    assert not (tmp_path / "scores.parquet").exists()


def test_trials_on_utterances_not_stored_can_be_left_out_and_are_counted(scoring, tmp_path):
    scores, _ = scoring([*TRIALS, ("x1", "a1", False, None)], allow_missing=True)
    assert scores.num_rows == 9
    assert read_scores(tmp_path / "scores.parquet")[1].left_out == 1
    assert scoring.said.endswith(", 1 left out (their utterances are not in the store)")


def test_a_list_without_a_single_stored_trial_is_an_error(scoring):
    with pytest.raises(ManifestError, match="no trial to score; 1 of 1 name utterances not stored"):
        scoring([("x1", "a1", False, None)], allow_missing=True)
    with pytest.raises(ManifestError, match="no trials; make a list with"):
        scoring([])


def test_a_missing_enrolment_view_names_the_views_there_are(scoring):
    with pytest.raises(StoreError, match="views clean, noise_5db, noise_0db, not 'dry' to enrol from"):
        scoring(enrolment_view="dry")


def test_a_condition_without_a_view_is_named(scoring):
    with pytest.raises(StoreError, match="not 'phone' that .*trials.parquet asks for"):
        scoring([("a1", "a2", True, "phone")])


def test_a_vector_without_direction_names_store_and_view(scoring, tmp_path, vectors):
    vectors[3, :, 1] = 0
    write_store(tmp_path / "store", IDS, NAMES, vectors, VIEWS)
    with pytest.raises(ScoringError, match="store, view noise_5db: 2 of 10 vectors have no direction"):
        scoring()
    assert not (tmp_path / "scores.parquet").exists()


@pytest.mark.parametrize("name", ["utterances", "trials"])
def test_a_missing_or_foreign_file_is_named(scoring, tmp_path, name):
    scoring()
    files = {key: tmp_path / f"{key}.parquet" for key in ("trials", "utterances", "scores", "identification")}
    fixed = {"store": tmp_path / "store", "system": "raw", "settings": ScoreSettings()}
    files[name].unlink()
    with pytest.raises(ManifestError, match=rf"{name}.parquet does not exist"):
        score(ScoreOrder(**files, **fixed))
    files[name].write_text("not parquet")
    with pytest.raises(ManifestError, match=rf"{name}.parquet is not a"):
        score(ScoreOrder(**files, **fixed))


def test_the_same_inputs_give_the_same_bytes(scoring, tmp_path):
    scoring()
    first = [(tmp_path / name).read_bytes() for name in ("scores.parquet", "identification.parquet")]
    scoring()
    assert first == [(tmp_path / name).read_bytes() for name in ("scores.parquet", "identification.parquet")]
