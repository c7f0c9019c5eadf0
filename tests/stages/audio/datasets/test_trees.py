"""Data sets whose folders say all: what is found in a miniature of each, and what is not."""

import pytest

from reseed.store import ManifestError
from tests.stages.audio.datasets.miniature import languages_of, listed, refused, tried, unpack, write_list

TREES = (  # data set, kind, split, file -> id, speaker
    ("librispeech", "speech", "dev-clean", {
        "LibriSpeech/dev-clean/84/121123/84-121123-0007.flac": ("84-121123-0007", "84"),
        "LibriSpeech/dev-clean/174/50561/174-50561-0000.flac": ("174-50561-0000", "174"),
    }),
    ("libritts", "speech", "test-clean", {
        "LibriTTS/test-clean/1089/134686/1089_134686_000001_000001.wav": ("1089_134686_000001_000001", "1089"),
    }),
    ("voxblink", "speech", "all", {
        "data/audio/id00000/DwgY-qnQZHM/00000.wav": ("id00000/DwgY-qnQZHM/00000", "id00000"),
        "data/audio/id00001/abcdefghijk/00003.wav": ("id00001/abcdefghijk/00003", "id00001"),
    }),
    ("voxblink2", "speech", "all", {
        "id000000/DwgYRqnQZHM/00000.wav": ("id000000/DwgYRqnQZHM/00000", "id000000"),
        "id102345/zzzzzzzzzzz/00001.wav": ("id102345/zzzzzzzzzzz/00001", "id102345"),
    }),
    ("hi_mia", "speech", "train", {
        "train/SPEECHDATA/wav/SV0219/SV0219_6_10_N2631.wav": ("SV0219_6_10_N2631", "SV0219"),
    }),
    ("hi_mia", "speech", "test", {"test_v2/wav/SV0297_2_00_F0041.wav": ("SV0297_2_00_F0041", "SV0297")}),
    ("hi_mia", "speech", "cw", {"cw_test/16k_wav_file/0001_M02_01_fast_0001.wav": ("0001_M02_01_fast_0001", "0001")}),
    ("ffsvc2020", "speech", "dev", {
        "wav/dev/T0549/549PCM5M/T0549_549PCM5M_recorded6_0305_normal.wav": (
            "T0549_549PCM5M_recorded6_0305_normal", "0549"
        ),
        "wav/dev/F0549/549I1M/F0549_549I1M_1_0001_fast.wav": ("F0549_549I1M_1_0001_fast", "0549"),
    }),
    ("ffsvc2020", "speech", "supplement", {
        "T/T0344/T0344_344I1M_1_0307_normal.wav": ("T0344_344I1M_1_0307_normal", "0344"),
    }),
    ("aishell1", "speech", "dev", {"data_aishell/wav/dev/S0724/BAC009S0724W0121.wav": ("BAC009S0724W0121", "S0724")}),
    ("aishell2", "speech", "train", {"AISHELL-2/iOS/data/wav/C0001/IC0001W0001.wav": ("IC0001W0001", "C0001")}),
    ("aishell3", "speech", "test", {"test/wav/SSB0005/SSB00050001.wav": ("SSB00050001", "SSB0005")}),
    ("vctk", "speech", "mic2", {"VCTK-Corpus-0.92/wav48_silence_trimmed/s5/s5_001_mic2.flac": ("s5_001_mic2", "s5")}),
    ("vctk", "speech", "wav48", {"VCTK-Corpus/wav48/p225/p225_001.wav": ("p225_001", "p225")}),
    ("tidyvoice", "speech", "eval", {"TidyVoiceX_Eval/j8pvmcu6iuh.wav": ("j8pvmcu6iuh", None)}),
    ("voxsrc", "speech", "2023-val", {"VoxSRC2023_val/034374.wav": ("034374", None)}),
    ("sre16", "speech", "major", {"data/unlabeled/major/sre16_dev_0001.flac": ("sre16_dev_0001", None)}),
    ("dns", "noise", "fullband", {
        "datasets_fullband/noise_fullband/door_Freesound_v2.wav": ("door_Freesound_v2", None),
    }),
    ("dns", "rir", "slr26", {
        "datasets_fullband/impulse_responses/SLR26/simulated_rirs_48k/smallroom/Room002/Room002-00001.wav": (
            "simulated_rirs_48k/smallroom/Room002/Room002-00001", "smallroom/Room002"
        ),
    }),
    ("wham", "noise", "cv", {"wham_noise/cv/01dc0215_0.22439.wav": ("01dc0215_0.22439", None)}),
    ("fsd50k", "noise", "dev", {"FSD50K.dev_audio/100032.wav": ("100032", None)}),
    ("esc50", "noise", "all", {"ESC-50-master/audio/1-100032-A-0.wav": ("1-100032-A-0", None)}),
    ("demand", "noise", "all", {
        "PCAFETER/ch01.wav": ("PCAFETER/ch01", "PCAFETER"), "PCAFETER/ch16.wav": ("PCAFETER/ch16", "PCAFETER"),
    }),
    ("demand", "noise", "ch01", {"PCAFETER/ch01.wav": ("PCAFETER/ch01", "PCAFETER")}),
    ("qut_noise", "noise", "all", {"QUT-NOISE/CAFE-CAFE-1.wav": ("CAFE-CAFE-1", None)}),
    ("but_reverb", "rir", "all", {
        "VUT_FIT_Q301/MicID01/SpkID01_20170910_T/09/RIR/IR_sweep_15s_45Hzto22kHz_FS16kHz.v00.wav": (
            "VUT_FIT_Q301/MicID01/SpkID01_20170910_T/09/RIR/IR_sweep_15s_45Hzto22kHz_FS16kHz.v00", "VUT_FIT_Q301"
        ),
    }),
    ("mit_ir", "rir", "all", {"Audio/h001_Bedroom_65txts.wav": ("h001_Bedroom_65txts", "h001")}),
)  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "split", "files"), TREES)
def test_ids_and_speakers_are_told_from_places(name, kind, split, files, tmp_path):
    root = unpack(tmp_path / "data", *files)
    (root / "README").touch()
    rows = listed(name, root, split, kind)
    assert {(row.utterance_id, row.speaker_id, row.split) for row in rows.values()} == {
        (*expected, split) for expected in files.values()
    }
    assert refused(root) == {}


def test_a_recording_that_lies_elsewhere_is_a_reject_with_where_it_should_lie(tmp_path):
    names = ("dev-clean/84/121123/84-121123-0007.flac", "dev-clean/84/stray.flac", "dev-clean/84/a/b/deep.flac")
    root = unpack(tmp_path / "LibriSpeech", *names)
    assert set(listed("librispeech", root, "dev-clean")) == {"84-121123-0007"}
    found = refused(root)
    assert set(found) == {"84/stray", "84/a/b/deep"}
    assert "lies elsewhere than {speaker}/*/* in" in found["84/stray"]


def test_two_copies_of_a_data_set_in_one_folder_are_not_chosen_from(tmp_path):
    root = unpack(tmp_path / "data", "0.80/wav48/p225/p225_001.wav", "0.91/wav48/p225/p225_001.wav")
    with pytest.raises(ManifestError, match="data holds several of VCTK: 0.80/wav48, 0.91/wav48; give one of these"):
        listed("vctk", root, "wav48")


def test_clean_voxblink_is_what_its_list_names_and_what_is_missing_is_a_reject(tmp_path):
    root = unpack(tmp_path / "data", "data/audio/id00000/D-gYRqnQZHM/00000.wav", "data/audio/id00000/D-g/00001.wav")
    write_list(root / "resource/data/utt_clean", "id00000-D-gYRqnQZHM-00000", "id00007-DwgYRqnQZHM-00002")
    assert set(listed("voxblink", root, "clean")) == {"id00000/D-gYRqnQZHM/00000"}
    assert "does not exist" in refused(root)["id00007/DwgYRqnQZHM/00002"]


def test_tidyvoice_names_languages_and_its_trials_fall_into_four_classes(tmp_path):
    names = ("s1/en/a.wav", "s1/en/b.wav", "s1/fa/c.wav", "s2/en/d.wav", "s2/de/e.wav")
    root = unpack(tmp_path / "TidyVoiceX_ASV", *(f"TidyVoiceX_Dev/{name}" for name in names))
    assert listed("tidyvoice", root, "dev")["s1/fa/c"].speaker_id == "s1"
    assert languages_of(root)["s1/fa/c"] == "fa"
    trials = ("1 s1/en/a.wav s1/en/b.wav", "1 s1/en/a.wav s1/fa/c.wav", "0 s1/en/a.wav s2/en/d.wav")
    more = ("0 s1/en/a.wav s2/de/e.wav", "0 s1/fa/c.wav s2/de/e.wav")
    found, message = tried(root, write_list(tmp_path / "trial_pairs_dev.txt", *trials, *more))
    assert found[1] == ("s1/en/a", "s1/fa/c", True)
    assert message == (
        "5 trials: 2 target, 3 non-target, 0 unlabelled (in one language: 1 target, 1 non-target, 0 unlabelled; "
        "across languages: 1 target, 2 non-target, 0 unlabelled)"
    )


def test_a_trial_that_leaves_the_microphone_open_is_one_of_each_that_is_there(tmp_path):
    arrays = [f"test/wav/SV0333_2_{number}_N0124.wav" for number in ("00", "01", "15")]
    others = ["test/wav/SV0340_2_01_F0058.wav", "test/wav/SV0340_2_15_F0058.wav", "test/wav/SV0299_7_01_S0096.wav"]
    root = unpack(tmp_path / "data", *arrays, *others)
    listed("hi_mia", root, "test")
    close = write_list(tmp_path / "trials_mic", "SV0299_7_01_S0096.wav SV0333_2_{}_N0124.wav nontarget")
    assert tried(root, close)[0] == [
        ("SV0299_7_01_S0096", f"SV0333_2_{number}_N0124", False) for number in ("00", "01", "15")
    ]
    both = write_list(tmp_path / "trials_1m", "SV0340_2_{}_F0058.wav SV0333_2_{}_N0124.wav nontarget")
    assert tried(root, both)[0] == [
        (f"SV0340_2_{number}_F0058", f"SV0333_2_{number}_N0124", False) for number in ("01", "15")
    ]
    lost = write_list(tmp_path / "lost", "SV0299_7_01_S0096.wav SV0999_2_{}_N0124.wav nontarget")
    with pytest.raises(ManifestError, match=r"line 1: no utterance 'SV0999_2_\{\}_N0124' in the corpus"):
        tried(root, lost)
