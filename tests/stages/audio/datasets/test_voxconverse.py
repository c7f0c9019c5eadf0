import pytest

from reseed.store import ManifestError
from tests.stages.audio.datasets.miniature import listed, tried, unpack, write_list

TURNS = (
    "SPEAKER abjxc 1 0.400000 2.600000 <NA> <NA> spk00 <NA> <NA>",
    "SPEAKER abjxc 1 2.000000 2.000000 <NA> <NA> spk01 <NA> <NA>",
    "SPEAKER abjxc 1 5.000000 1.500000 <NA> <NA> spk00 <NA> <NA>",
    "SPEAKER abjxc 1 5.600000 0.300000 <NA> <NA> spk02 <NA> <NA>",
)


def conversation(root):
    unpack(root, "audio/abjxc.wav", "voxconverse_test_wav/aepyx.wav", duration_s=7.0)
    write_list(root / "voxconverse-master/dev/abjxc.rttm", *TURNS)
    write_list(root / "voxconverse-master/test/aepyx.rttm", "SPEAKER aepyx 1 1.0 2.0 <NA> <NA> spk00 <NA> <NA>")
    return root


def stretches(rows) -> dict[str, tuple[float, float]]:
    return {name: (row.start_s, round(row.start_s + row.duration_s, 6)) for name, row in rows.items()}


def test_what_is_left_of_a_turn_where_nobody_else_speaks_is_an_utterance(tmp_path):
    rows = listed("voxconverse", conversation(tmp_path / "voxconverse"), "dev")
    assert stretches(rows) == {
        "abjxc-spk00-0000400-0002000": (0.4, 2.0),
        "abjxc-spk00-0005000-0005600": (5.0, 5.6),
        "abjxc-spk00-0005900-0006500": (5.9, 6.5),
        "abjxc-spk01-0003000-0004000": (3.0, 4.0),
    }
    assert {row.speaker_id for row in rows.values()} == {"abjxc/spk00", "abjxc/spk01"}


def test_whole_turns_keep_the_overlapped_speech(tmp_path):
    rows = listed("voxconverse_turns", conversation(tmp_path / "voxconverse"), "dev")
    assert stretches(rows)["abjxc-spk00-0000400-0003000"] == (0.4, 3.0)
    assert stretches(rows)["abjxc-spk01-0002000-0004000"] == (2.0, 4.0)
    assert len(rows) == 3, "the turn of 0.3 s is too short"


def test_a_speaker_of_one_conversation_is_nobody_in_another(tmp_path):
    rows = listed("voxconverse", conversation(tmp_path / "voxconverse"), "dev+test")
    assert rows["aepyx-spk00-0001000-0003000"].speaker_id == "aepyx/spk00"
    assert {row.split for row in rows.values()} == {"dev", "test"}


def test_a_turn_that_is_none_is_named_with_its_line(tmp_path):
    root = conversation(tmp_path / "voxconverse")
    write_list(root / "voxconverse-master/dev/abjxc.rttm", TURNS[0], "SPEAKER abjxc 1 soon 2.0 <NA> <NA> spk00")
    with pytest.raises(ManifestError, match=r"abjxc\.rttm, line 2: is no SPEAKER line"):
        listed("voxconverse", root, "dev")


@pytest.mark.parametrize(("targets", "clips"), [("voxceleb1/", "voxconverse_test_SV/"), ("vox1-evals/", "vox1-evals/")])
def test_vc_mix_takes_targets_from_voxceleb1_and_non_targets_from_clips_of_voxconverse(tmp_path, targets, clips):
    root = unpack(
        tmp_path / "datasets",
        f"{targets}id10270/x6uYqmx31kE/00001.wav",
        f"{targets}id10270/8jEAjG6SegY/00008.wav",
        f"{targets}id10001/1zcIwhmdeo4/00001.wav",
        f"{clips}iqbww/spk01_0003.wav",
        f"{clips}aepyx/spk00_0001.wav",
    )
    rows = listed("vc_mix", root, "test")
    assert {name: row.speaker_id for name, row in rows.items()} == {
        "id10270/x6uYqmx31kE/00001": "id10270",
        "id10270/8jEAjG6SegY/00008": "id10270",
        "iqbww/spk01_0003": None,
        "aepyx/spk00_0001": None,
    }
    nontarget = "0 iqbww/spk01_0003.wav aepyx/spk00_0001.wav"
    target = "1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav"
    trials, message = tried(root, write_list(tmp_path / "vcmix_test.txt", *[nontarget] * 140_734, *[target] * 18_802))
    assert message == "159536 trials of VC-Mix: 18802 target, 140734 non-target, 0 unlabelled"
    assert trials[0] == ("iqbww/spk01_0003", "aepyx/spk00_0001", False)
