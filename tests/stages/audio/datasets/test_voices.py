from tests.stages.audio.datasets.miniature import listed, tried, unpack, write_list

NAME = "Lab41-SRI-VOiCES"
CLEAN = f"{NAME}-rm1-none-sp0083-ch009960-sg0001-mc01-stu-clo-dg010"
NOISY = f"{NAME}-rm2-babb-sp0083-ch009960-sg0001-mc05-stu-far-dg170"
SOURCE = f"{NAME}-src-sp0307-ch127535-sg0042"


def devkit(root):
    return unpack(
        root / "VOiCES_devkit",
        f"distant-16k/speech/test/rm1/none/sp0083/{CLEAN}.wav",
        f"distant-16k/speech/test/rm2/babb/sp0083/{NOISY}.wav",
        f"distant-16k/distractors/rm1/babb/{NAME}-rm1-babb-mc01-stu-clo.wav",
        f"source-16k/train/sp0307/{SOURCE}.wav",
    ).parent


def test_the_split_of_a_distant_recording_says_its_room_and_distractor(tmp_path):
    rows = listed("voices", devkit(tmp_path / "data"), "test")
    assert {name: (row.speaker_id, row.split) for name, row in rows.items()} == {
        CLEAN: ("sp0083", "test-rm1-none"),
        NOISY: ("sp0083", "test-rm2-babb"),
    }


def test_one_room_and_one_distractor_can_be_chosen(tmp_path):
    root = devkit(tmp_path / "data")
    assert set(listed("voices", root, "test-rm2")) == {NOISY}
    assert set(listed("voices", root, "test-rm1-none+source-train")) == {CLEAN, SOURCE}


def test_trials_of_the_challenge_meet_its_recordings(tmp_path):
    root = unpack(
        tmp_path / "VOiCES_Box_unzip",
        f"Development_Data/Speaker_Recognition/sid_dev/sp0083/{CLEAN}.wav",
        f"Development_Data/Speaker_Recognition/sid_dev/sp0083/{NOISY}.wav",
        "Speaker_Recognition/sid_eval/VOiCES_2019_Challenge_SID_eval_1327.wav",
        "Speaker_Recognition/sid_eval/VOiCES_2019_Challenge_SID_eval_8058.wav",
    )
    rows = listed("voices", root, "sid_dev")
    assert {row.speaker_id for row in rows.values()} == {"sp0083"}
    keys = write_list(tmp_path / "dev-trial-keys.lst", f"{CLEAN} sid_dev/sp0083/{NOISY}.wav tgt")
    trials, _ = tried(root, keys)
    assert trials == [(f"sid_dev/sp0083/{CLEAN}", f"sid_dev/sp0083/{NOISY}", True)]

    rows = listed("voices", root, "sid_eval")
    assert {row.speaker_id for row in rows.values()} == {None}
    models = write_list(tmp_path / "eval-enroll.lst", "model_0001 sid_eval/VOiCES_2019_Challenge_SID_eval_1327.wav")
    keys = write_list(tmp_path / "eval.lst", "model_0001 VOiCES_2019_Challenge_SID_eval_8058.wav imp")
    trials, _ = tried(root, keys, enrolment=models)
    assert trials == [
        ("sid_eval/VOiCES_2019_Challenge_SID_eval_1327", "sid_eval/VOiCES_2019_Challenge_SID_eval_8058", False)
    ]
