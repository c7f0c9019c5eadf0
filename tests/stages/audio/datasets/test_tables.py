"""Data sets that come with tables: what these say of the recordings."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.audio.datasets.trial_lists import UNLABELLED, ParsedTrials, read_models, read_trial_list
from reseed.store import ManifestError
from tests.corpus import voice
from tests.stages.audio.datasets.miniature import (
    languages_of,
    listed,
    models_of,
    refused,
    said_of,
    tried,
    unpack,
    write_list,
)
from tests.stages.audio.files import encoded, tone, written


def tabs(*rows: str) -> list[str]:
    return [row.replace(" ", "\t") for row in rows]


def speakers(rows) -> dict[str, str | None]:
    return {name: row.speaker_id for name, row in rows.items()}


@pytest.fixture
def sitw(tmp_path):
    names = ("core1", "poi2", "test1", "many1")
    root = unpack(tmp_path / "sitw", *(f"eval/audio/{name}.flac" for name in names), duration_s=2.0)
    lists = root / "eval/lists"
    write_list(lists / "enroll-core.lst", "12355 audio/core1.flac")
    write_list(lists / "enroll-assist.lst", "69006 audio/poi2.flac 0.500 1.750")
    write_list(lists / "test-core.lst", "audio/test1.flac")
    write_list(lists / "test-multi.lst", "audio/test1.flac", "audio/many1.flac", "audio/gone.flac")
    meta = ("core1.flac ZPYJ m", "poi2.flac PNTR f", "test1.flac ZPYJ m", "many1.flac PNTR f")
    write_list(root / "eval/keys/meta.lst", *(f"audio/{line} video 605273" for line in meta))
    return root


def test_sitw_enrols_with_whole_recordings_and_with_annotated_stretches(sitw):
    rows = listed("sitw", sitw, "eval")
    assert speakers(rows) == {
        "eval/audio/core1": "ZPYJ",
        "eval/audio/poi2-0000500-0001750": "PNTR",
        "eval/audio/test1": "ZPYJ",
        "eval/audio/many1": "PNTR",
    }
    stretch = rows["eval/audio/poi2-0000500-0001750"]
    assert (stretch.start_s, stretch.duration_s) == (0.5, 1.25)
    assert said_of(sitw, "gender")["eval/audio/core1"] == ("male",)
    assert "does not exist" in refused(sitw)["eval/audio/gone"]


@pytest.mark.parametrize(
    ("enrolment", "key", "trial"),
    [
        ("core", "12355 audio/test1.flac tgt", ("eval/audio/core1", "eval/audio/test1", True)),
        ("assist", "69006 audio/many1.flac imp", ("eval/audio/poi2-0000500-0001750", "eval/audio/many1", False)),
    ],
)
def test_the_keys_of_sitw_meet_the_recordings_through_its_enrolment_lists(sitw, enrolment, key, trial):
    listed("sitw", sitw, "eval")
    path = write_list(sitw / f"eval/keys/{enrolment}-multi.lst", key)
    assert tried(sitw, path, enrolment=sitw / f"eval/lists/enroll-{enrolment}.lst")[0] == [trial]


@pytest.fixture
def sre(tmp_path):
    root = unpack(
        tmp_path / "LDC2018E46",
        *(f"data/enrollment/{name}.flac" for name in ("aaaa", "bbbb", "cccc", "dddd")),
        *("data/test/eeee.flac", "data/test/ffff.flac", "data/unlabeled/gggg.flac"),
    )
    key = ("aaaa.flac 1001", "bbbb.flac 1001", "cccc.flac 1001", "dddd.flac 1002", "eeee.flac 1001", "gggg.flac NA")
    rows = tabs(*(f"{row} female ara-aeb" for row in key))
    write_list(root / "docs/sre18_dev_segment_key.tsv", *tabs("segmentid subjectid gender language"), *rows)
    models = ("m3 aaaa.flac a", "m3 bbbb.flac a", "m3 cccc.flac a", "m1 dddd.flac a")
    write_list(root / "docs/sre18_dev_enrollment.tsv", *tabs("modelid segmentid side", *models))
    trials = ("m3 eeee.flac a target", "m3 ffff.flac a nontarget", "m1 eeee.flac a nontarget")
    write_list(root / "docs/sre18_dev_trial_key.tsv", *tabs("modelid segmentid side targettype", *trials))
    return root


def test_subjects_of_sre_are_those_of_its_keys(sre):
    assert speakers(listed("sre18", sre, "enrollment+test+unlabeled")) == {
        **dict.fromkeys(("aaaa", "bbbb", "cccc", "eeee"), "1001"),
        "dddd": "1002",
        **dict.fromkeys(("ffff", "gggg")),
    }
    assert said_of(sre, "language", "gender")["aaaa"] == ("ara-aeb", "female")


def test_models_of_three_segments_are_pooled_and_trial_keys_of_nist_name_segments_with_suffixes(sre):
    listed("sre18", sre, "enrollment+test")
    docs = sre / "docs"
    key, enrolment = docs / "sre18_dev_trial_key.tsv", docs / "sre18_dev_enrollment.tsv"
    trials, message = tried(sre, key, enrolment=enrolment)
    assert trials == [("m3", "eeee", True), ("m3", "ffff", False), ("m1", "eeee", False)]
    assert message == "3 trials: 1 target, 2 non-target, 0 unlabelled, 2 enrolment models"
    assert models_of(sre) == {"m3": ["aaaa", "bbbb", "cccc"], "m1": ["dddd"]}
    unlabelled = write_list(docs / "sre18_dev_trials.tsv", *tabs("modelid segmentid side", "m1 ffff.flac a"))
    assert tried(sre, unlabelled, enrolment=enrolment)[0] == [("m1", "ffff", None)]


def test_the_columns_of_sre16_and_of_sre21_without_a_side_are_read_too(tmp_path):
    rows = tabs("modelid segment side targettype", "1001_sre16 sre16_eval_0001 a target")
    of_2016 = read_trial_list(write_list(tmp_path / "key.tsv", *rows))
    assert (of_2016.names, of_2016.label_P.tolist()) == (["1001_sre16", "sre16_eval_0001-ch0"], [1])
    rows = tabs("modelid segmentid targettype", "0001_sre21 xyz.sph nontarget")
    of_2021 = read_trial_list(write_list(tmp_path / "key.tsv", *rows))
    assert (of_2021.names, of_2021.label_P.tolist()) == (["0001_sre21", "xyz"], [0])


def test_the_sides_of_a_call_are_its_channels(tmp_path):
    rows = tabs("modelid segmentid side", "m1 call.sph a", "m2 call.sph b")
    assert read_models(write_list(tmp_path / "enrollment.tsv", *rows)) == {"m1": ["call-ch0"], "m2": ["call-ch1"]}


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (["modelid segmentid side", "m1 call.sph c"], r"line 2: needs modelid, segmentid and, if there is one, a side"),
        (["modelid segmentid targettype", "m1 call.sph maybe"], r"line 2: 'maybe' is neither target nor nontarget"),
        (["modelid segmentid", "m1 call.sph a"], r"line 2: has 3 fields, the header 2"),
        (["modelid segmentid", "m1"], r"line 2: needs modelid"),
    ],
)
def test_rows_of_nist_that_say_too_little_are_named(rows, fault, tmp_path):
    with pytest.raises(ManifestError, match=fault):
        read_trial_list(write_list(tmp_path / "key.tsv", *tabs(*rows)))


def test_sre16_is_found_where_its_archive_unpacks_and_as_kaldi_prepares_it(tmp_path):
    root = unpack(tmp_path / "LDC2019S20", "data/eval/R149_0_1/data/enrollment/abc.flac")
    assert set(listed("sre16", root, "enrollment")) == {"abc"}
    audio = unpack(tmp_path / "audio", "abc.flac", "tst.flac")
    kaldi = tmp_path / "data"
    for name, utterance, speaker, file in (("enroll", "1001-abc", "1001", "abc"), ("test", "tst", "tst", "tst")):
        write_list(kaldi / f"sre16_eval_{name}/wav.scp", f"{utterance} sox {audio}/{file}.flac -t wav - |")
        write_list(kaldi / f"sre16_eval_{name}/utt2spk", f"{utterance} {speaker}")
    write_list(kaldi / "sre16_eval_enroll/spk2utt", "1001 1001-abc")
    assert speakers(listed("sre16_kaldi", kaldi, "eval_enroll+eval_test")) == {"1001-abc": "1001", "tst": "tst"}
    trials = write_list(kaldi / "sre16_eval_test/trials", "1001 tst target")
    assert tried(kaldi, trials, enrolment=kaldi / "sre16_eval_enroll/spk2utt")[0] == [("1001-abc", "tst", True)]


def test_the_superset_of_calls_is_known_by_its_paths(tmp_path):
    root = unpack(tmp_path / "LDC2021E08", "data/sre04/xaaa.flac", "data/sre05/xaaa.flac")
    header = "filename segmentid subjectid speakerid language"
    rows = ("sre04/xaaa.sph s1 117 a eng", "sre05/xaaa.sph s2 118 b yue")
    write_list(root / "docs/cts_superset_segment_key.tsv", *tabs(header, *rows))
    assert speakers(listed("sre_cts", root, "all")) == {"sre04/xaaa": "117", "sre05/xaaa": "118"}


def test_3d_speaker_is_what_its_lists_say_with_dialects_for_languages(tmp_path):
    names = [f"3D_SPK_06154_00{take}_Device03_Distance00_Dialect0{take}" for take in (0, 1)]
    root = unpack(tmp_path / "3dspeaker", *(f"test/3D_SPK_06154/{name}.wav" for name in names))
    lost = "3D_SPK_06155_000_Device03_Distance00_Dialect00"
    write_list(root / "files/test_wav.scp", *(f"{name} test/{name[:12]}/{name}.wav" for name in (*names, lost)))
    write_list(root / "files/test_utt2spk", *(f"{name} {name[:12]}" for name in (*names, lost)))
    assert speakers(listed("3dspeaker", root, "test")) == dict.fromkeys(names, "3D_SPK_06154")
    assert languages_of(root)[names[1]] == "Dialect01"
    assert "does not exist" in refused(root)[lost]
    trials = write_list(root / "files/trials_cross_dialect", f"{names[0]} {names[1]} target")
    assert tried(root, trials)[0] == [(*names, True)]


def test_ffsvc_2022_has_the_speakers_of_its_meta_list_and_a_development_list_of_its_own(tmp_path):
    names = [f"ffsvc22_dev_00000{number}" for number in range(3)]
    root = unpack(tmp_path / "ffsvc22", *(f"dev/{name}.wav" for name in names))
    originals = ("T0344_344I1M_1_0307_normal", "F0336_336I-1.5M_1_0009_fast")
    meta = (f"{original} {name}" for original, name in zip(originals, names, strict=False))
    write_list(root / "dev_meta_list", "Original_Name FFSVC2022_Name", *meta)
    assert speakers(listed("ffsvc2022", root, "dev")) == {names[0]: "0344", names[1]: "0336", names[2]: None}
    trials = [f"{label} {names[0]}.wav {names[1]}.wav" for label in (0, 1)]
    found = read_trial_list(write_list(root / "trials_dev_keys", *trials * 36_000))
    assert found.title == "FFSVC 2022 development"
    assert tried(root, write_list(root / "two", *trials))[0] == [(*names[:2], False), (*names[:2], True)]


def test_common_voice_is_read_by_its_tables_and_rows_without_a_clip_are_rejects(tmp_path):
    root = tmp_path / "cv-corpus-17.0"
    clips = root / "fa/clips"
    clips.mkdir(parents=True)
    for take in (1, 2):
        (clips / f"common_voice_fa_{take}.mp3").write_bytes(encoded(voice(1, take, 1.0), "mp3", "mp3"))
    header = "client_id\tpath\tsentence\tage\tgender\tlocale"
    rest = '"It never closes\ttwenties\tmale_masculine\tfa'
    rows = [f"c{take}\tcommon_voice_fa_{take}.mp3\t{rest}" for take in (1, 2, 3)]
    write_list(root / "fa/validated.tsv", header, *rows, "c4\t\tNo clip\t\t\tfa")
    assert speakers(listed("common_voice", root, "validated")) == {"common_voice_fa_1": "c1", "common_voice_fa_2": "c2"}
    said = said_of(root, "language", "gender", "age")
    assert said == dict.fromkeys(("common_voice_fa_1", "common_voice_fa_2"), ("fa", "male", 25.0))
    found = refused(root)
    assert "does not exist" in found["common_voice_fa_3"]
    assert "line 5 names no recording" in found["validated.tsv:line 5"]
    write_list(root / "de/validated.tsv", header)
    with pytest.raises(ManifestError, match="holds several of Common Voice: de, fa"):
        listed("common_voice", root, "validated")


@pytest.mark.parametrize(
    ("split", "extra", "trial"),
    [
        ("2020-val", "voxceleb1_cd/id10545/000912", "1 voxceleb1/{vox}.wav {extra}.wav"),
        ("2022-val", "VoxSRC2022_dev/dev_00000", "1 {vox}.wav {extra}.wav"),
    ],
)
def test_the_challenges_of_voxceleb_name_their_own_recordings_beside_voxceleb1(split, extra, trial, tmp_path):
    vox = "id10270/x6uYqmx31kE/00001"
    root = unpack(tmp_path / "data", f"voxceleb1/{vox}.wav", "voxceleb1/id10001/a/00001.wav", f"{extra}.wav")
    rows = listed("voxsrc", root, split)
    prefix = "voxceleb1/" if split == "2020-val" else ""
    assert rows[f"{prefix}{vox}"].speaker_id == "id10270"
    trials = write_list(tmp_path / "trials.txt", trial.format(vox=vox, extra=extra))
    assert tried(root, trials)[0] == [(f"{prefix}{vox}", extra, True)]


def test_a_list_is_known_by_its_number_of_trials_where_its_classes_are_not_published():
    def title(label: int, count: int) -> str | None:
        none = np.zeros(count, np.int64)
        return ParsedTrials(["a"], [1], none, none, np.full(count, label, np.int8), pa.nulls(count)).title

    assert title(1, 175_163) == "3D-Speaker cross-dialect"
    assert title(UNLABELLED, 1_280_000) == "TidyVoice 2026 evaluation U"
    assert title(1, 1_280_000) is title(UNLABELLED, 175_163) is None


def tables(folder: Path, *names: str, **columns: list[str]) -> None:
    """Write recordings into tables of two rows each, as Hugging Face does."""
    sounds = [{"bytes": written(tone(9_600 + number)), "path": f"{name}.wav"} for number, name in enumerate(names)]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({"audio": pa.array(sounds, kind), **columns})
    folder.mkdir(parents=True, exist_ok=True)
    for number in (0, 1):
        pq.write_table(table.slice(2 * number, 2), folder / f"train-0000{number}-of-00002.parquet")


def test_globe_is_read_out_of_its_tables(tmp_path):
    names = ("clip_1", "clip_2", "clip_3")
    speaker_id, gender = ["S_1", "S_1", "S_2"], ["male"] * 3
    tables(tmp_path / "GLOBE/data", *names, speaker_id=speaker_id, gender=gender, age=["twenties"] * 3)
    rows = listed("globe", tmp_path / "GLOBE", "train")
    assert speakers(rows) == dict(zip(names, speaker_id, strict=True))
    assert said_of(tmp_path / "GLOBE", "gender", "age") == dict.fromkeys(names, ("male", 25.0))
    assert {(row.split, row.duration_s) for row in rows.values()} == {
        ("train", (9_600 + number) / 16_000) for number in range(3)
    }


def test_the_subsets_of_peoples_speech_are_folders_of_tables_and_its_speakers_unknown(tmp_path):
    ids = ["a_SLASH_1", "b_SLASH_2", "c_SLASH_3"]
    tables(tmp_path / "ps/clean_sa", "x", "y", "z", id=ids)
    assert speakers(listed("peoples_speech", tmp_path / "ps", "clean_sa")) == dict.fromkeys(ids)
    with pytest.raises(ManifestError, match=r"is no People's Speech: there is no dirty/train-\*\.parquet"):
        listed("peoples_speech", tmp_path / "ps", "dirty")
