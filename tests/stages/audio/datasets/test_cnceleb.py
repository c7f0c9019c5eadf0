import numpy as np
import pyarrow.parquet as pq
import pytest

from reseed.stages.score import score
from reseed.stages.trial_scoring.order import ScoreOrder
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.store import ManifestError
from tests.stages.audio.datasets.miniature import listed, manifest_of, models_of, tried, unpack, write_list
from tests.stages.scoring.example import write_store


@pytest.fixture
def root(tmp_path):
    root = unpack(
        tmp_path / "data",
        *(f"CN-Celeb_flac/data/id00010/singing-01-00{take}.flac" for take in (1, 2)),
        *(f"CN-Celeb_flac/data/id00800/speech-01-00{take}.flac" for take in (1, 2, 3)),
        "CN-Celeb_flac/data/id00801/vlog-02-001.flac",
        *(f"CN-Celeb_flac/eval/enroll/id0080{speaker}-enroll.flac" for speaker in (0, 1)),
        *(f"CN-Celeb_flac/eval/test/id0080{speaker}-singing-01-005.flac" for speaker in (0, 1)),
        "CN-Celeb2_flac/data/id10000/vlog-01-001.flac",
    )
    lists = root / "CN-Celeb_flac/eval/lists"
    write_list(root / "CN-Celeb_flac/dev/dev.lst", "id00010")
    write_list(lists / "enroll.lst", *(f"id0080{n}-enroll enroll/id0080{n}-enroll.wav" for n in (0, 1)))
    models = (
        "id00800-enroll id00800/speech-01-001.wav id00800/speech-01-003.wav",
        "id00801-enroll id00801/vlog-02-001.wav",
    )
    write_list(lists / "enroll.map", *models)
    trials = [
        f"id0080{model}-enroll test/id0080{test}-singing-01-005.wav {int(model == test)}"
        for model in (0, 1)
        for test in (0, 1)
    ]
    write_list(lists / "trials.lst", *trials)
    return root


def test_the_speakers_for_training_are_those_of_dev_lst(root):
    rows = listed("cnceleb", root, "dev")
    assert {name: row.speaker_id for name, row in rows.items()} == {
        "id00010/singing-01-001": "id00010",
        "id00010/singing-01-002": "id00010",
    }


def test_trials_name_models_and_wav_files_and_meet_the_flac_files_of_the_release(root):
    rows = listed("cnceleb", root, "eval")
    assert rows["eval/test/id00801-singing-01-005"].speaker_id == "id00801"
    trials, message = tried(root, root / "CN-Celeb_flac/eval/lists/trials.lst")
    assert trials[:2] == [
        ("eval/enroll/id00800-enroll", "eval/test/id00800-singing-01-005", True),
        ("eval/enroll/id00800-enroll", "eval/test/id00801-singing-01-005", False),
    ]
    assert message == "4 trials: 2 target, 2 non-target, 0 unlabelled"
    through_list, _ = tried(
        root,
        root / "CN-Celeb_flac/eval/lists/trials.lst",
        enrolment=root / "CN-Celeb_flac/eval/lists/enroll.lst",
    )
    assert through_list == trials


def test_the_recordings_behind_a_model_are_pooled_as_the_protocol_has_it(root):
    rows = listed("cnceleb", root, "eval+enroll")
    assert rows["id00800/speech-01-003"].split == "enroll"
    assert "id00800/speech-01-002" not in rows, "enroll.map does not name it"
    lists = root / "CN-Celeb_flac/eval/lists"
    trials, message = tried(root, lists / "trials.lst", enrolment=lists / "enroll.map")
    assert trials[:2] == [
        ("id00800-enroll", "eval/test/id00800-singing-01-005", True),
        ("id00800-enroll", "eval/test/id00801-singing-01-005", False),
    ]
    assert message == "4 trials: 2 target, 2 non-target, 0 unlabelled, 2 enrolment models"
    assert models_of(root) == {
        "id00800-enroll": ["id00800/speech-01-001", "id00800/speech-01-003"],
        "id00801-enroll": ["id00801/vlog-02-001"],
    }


def test_pooled_models_are_scored_by_the_mean_of_their_recordings(root):
    ids = sorted(listed("cnceleb", root, "eval+enroll"))
    lists = root / "CN-Celeb_flac/eval/lists"
    tried(root, lists / "trials.lst", enrolment=lists / "enroll.map")
    out = manifest_of(root).parent
    vectors = np.random.default_rng(0).normal(size=(len(ids), 1, 1, 4)).astype(np.float32)
    write_store(out / "store", ids, ids, vectors, {"clean": {}}, "ge2e:1a2b")
    files = {
        name: out / f"{name}.parquet" for name in ("trials", "enrolments", "utterances", "scores", "identification")
    }
    score(ScoreOrder(store=out / "store", system="raw", settings=ScoreSettings(), **files))
    unit = {name: vector / np.linalg.norm(vector) for name, vector in zip(ids, vectors[:, 0, 0], strict=True)}
    model = unit["id00800/speech-01-001"] + unit["id00800/speech-01-003"]
    expected = unit["eval/test/id00800-singing-01-005"] @ model / np.linalg.norm(model)
    first = pq.read_table(files["scores"]).to_pylist()[0]
    assert (first["enrolment_id"], first["test_id"]) == ("id00800-enroll", "eval/test/id00800-singing-01-005")
    assert first["score"] == pytest.approx(expected, abs=1e-6)


def test_a_model_of_several_recordings_makes_one_trial_of_each_on_request(root):
    listed("cnceleb", root, "eval+enroll")
    lists = root / "CN-Celeb_flac/eval/lists"
    trials, message = tried(root, lists / "trials.lst", enrolment=lists / "enroll.map", pool_enrolment=False)
    assert trials[:4] == [
        ("id00800/speech-01-001", "eval/test/id00800-singing-01-005", True),
        ("id00800/speech-01-003", "eval/test/id00800-singing-01-005", True),
        ("id00800/speech-01-001", "eval/test/id00801-singing-01-005", False),
        ("id00800/speech-01-003", "eval/test/id00801-singing-01-005", False),
    ]
    assert message == "6 trials: 3 target, 3 non-target, 0 unlabelled"


def test_a_model_whose_recording_is_missing_is_named_or_dropped_on_request(root):
    (root / "CN-Celeb_flac/data/id00800/speech-01-003.flac").unlink()
    listed("cnceleb", root, "eval+enroll")
    lists = root / "CN-Celeb_flac/eval/lists"
    with pytest.raises(
        ManifestError, match=r"trials.lst, line 1: no utterance 'id00800/speech-01-003' of .*enroll\.map"
    ):
        tried(root, lists / "trials.lst", enrolment=lists / "enroll.map")
    trials, message = tried(root, lists / "trials.lst", enrolment=lists / "enroll.map", drop_unknown=True)
    assert {enrolment for enrolment, _, _ in trials} == {"id00801-enroll"}
    assert message.endswith("2 dropped (unknown utterances)")


def test_cn_celeb_2_is_one_piece(root):
    assert set(listed("cnceleb2", root, None)) == {"id10000/vlog-01-001"}


def test_a_copy_without_its_lists_says_which_is_missing(root):
    (root / "CN-Celeb_flac/dev/dev.lst").unlink()
    with pytest.raises(ManifestError, match=r"dev\.lst does not exist; it comes with CN-Celeb"):
        listed("cnceleb", root, "dev")
