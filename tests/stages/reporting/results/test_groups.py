import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.reporting.results.files import RunFiles
from reseed.stages.reporting.results.group_eers import measure_groups
from reseed.stages.reporting.results.groups import Grouper
from reseed.stages.reporting.results.load import load
from reseed.stages.scoring.metrics import eer
from reseed.store import ManifestError
from tests.stages.scoring.example import make_example

VIEWS = {"clean": {}, "noise_5db": {"noise": 5.0}, "noise_0db": {"noise": 0.0}}
SPEAKERS = {"a": ("female", 9.0), "b": ("F", 17.9), "c": ("Male", 18.0), "d": ("m", 60.0), "e": (None, None)}


def manifest(path, **columns):
    base = {"utterance_id": [f"{name}1" for name in SPEAKERS], "speaker_id": list(SPEAKERS)}
    pq.write_table(pa.table(base | columns), path)
    return path


@pytest.fixture
def grouper(tmp_path):
    gender, age = zip(*SPEAKERS.values(), strict=True)
    durations = {"duration_s": [1.0, 2.0, 3.0, 4.0, 50.0]}
    path = manifest(tmp_path / "m.parquet", gender=pa.array(gender), age=pa.array(age, pa.float64()), **durations)
    return Grouper(path, {"a1", "b1", "c1", "d1"})


def groups(grouper, enrolled, tested, speakers=None):
    sides = (enrolled, speakers or [None] * len(enrolled), tested)
    codes_PG = grouper.codes(*(pa.array(side, pa.string()).dictionary_encode() for side in sides))
    return [
        tuple(
            None if code < 0 else grouping.labels[code] for code, grouping in zip(row, grouper.groupings, strict=True)
        )
        for row in codes_PG
    ]


def test_trials_are_grouped_by_both_speakers_and_by_the_length_of_the_test(grouper):
    assert [grouping.name for grouping in grouper.groupings] == ["gender", "age", "duration"]
    assert groups(grouper, ["a1", "c1", "a1", "d1"], ["b1", "c1", "d1", "d1"]) == [
        ("both female", "both under 18", "2.00 to 3.00 s"),
        ("both male", "both 18 to 59", "3.00 s or longer"),
        ("of different gender", "of different age bands", "3.00 s or longer"),
        ("both male", "both 60 or older", "3.00 s or longer"),
    ]


def test_trials_in_one_language_and_across_languages_are_told_apart(tmp_path):
    languages = ["en", "fa", "en", None, "de"]
    grouper = Grouper(manifest(tmp_path / "m.parquet", language=pa.array(languages)), set())
    pairs = (["a1", "a1", "b1", "a1", "model"], ["c1", "b1", "e1", "d1", "c1"])
    found = groups(grouper, *pairs, speakers=[None, None, None, None, "a"])
    assert found == [("in one language",), ("across languages",), ("across languages",), (None,), (None,)]
    alone = manifest(tmp_path / "alone.parquet", language=pa.array(["en"] * 5))
    assert Grouper(alone, set()).groupings == ()


def test_what_the_manifest_does_not_say_is_in_no_group(grouper):
    assert groups(grouper, ["a1", "strange"], ["e1", "a1"]) == [
        (None, None, "3.00 s or longer"),
        (None, None, "under 2.00 s"),
    ]


def test_an_enrolment_of_several_utterances_is_known_by_its_speaker(grouper):
    assert groups(grouper, ["model", "model"], ["b1", "b1"], ["a", None])[0][0] == "both female"
    assert groups(grouper, ["model", "model"], ["b1", "b1"], ["a", None])[1][0] is None


def test_a_manifest_without_columns_or_with_durations_all_alike_gives_no_groups(tmp_path):
    assert Grouper(manifest(tmp_path / "m.parquet"), {"a1"}).groupings == ()
    alike = Grouper(manifest(tmp_path / "m.parquet", duration_s=[2.0] * 5), {"a1", "b1"})
    assert alike.groupings == ()
    assert alike.codes(*[pa.array(["a1"]).dictionary_encode()] * 3).shape == (1, 0)
    unknown = manifest(tmp_path / "m.parquet", gender=pa.nulls(5, pa.string()), age=pa.nulls(5, pa.float64()))
    assert Grouper(unknown, {"a1"}).groupings == ()


def test_a_missing_manifest_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match="does not exist"):
        Grouper(tmp_path / "none.parquet", set())


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    example = make_example(tmp_path_factory.mktemp("groups"), views=VIEWS, systems=("raw",), described=True)
    loaded = load([RunFiles("", example.scores, [], [], example.utterances)])
    return example, list(measure_groups(loaded.systems, loaded.groupings, set(VIEWS)))


def test_the_eer_of_a_group_is_that_of_its_trials_alone_and_the_noisy_one_a_mean(measured):
    example, groups = measured
    people = {row["utterance_id"]: row for row in pq.read_table(example.utterances).to_pylist()}
    rows = pq.read_table(example.scores[0]).to_pylist()
    eers = []
    for view in VIEWS:
        chosen = [
            row
            for row in rows
            if row["condition"] == view
            and all(people[row[side]]["gender"] in ("female", "f") for side in ("enrolment_id", "test_id"))
        ]
        scores = [np.array([row["score"] for row in chosen if row["is_target"] == kind]) for kind in (True, False)]
        eers.append(eer(*scores))
    found = {group.part: group for group in groups if group.group == "both female"}
    assert found["clean"].eer == pytest.approx(eers[0])
    assert found["noisy"].eer == pytest.approx(np.mean(eers[1:]))
    assert (found["noisy"].conditions, found["noisy"].targets) == (2, scores[0].size)


def test_a_group_of_too_few_trials_is_counted_but_has_no_eer(measured):
    found = {(group.group, group.part): group for group in measured[1]}
    different = found["of different gender", "clean"]
    assert (different.targets, different.eer) == (0, None)
    assert different.nontargets > 100
    assert different.row()["eer"] is None
