import pytest

from reseed.store import ConfigError
from tests.stages.audio.datasets.miniature import listed, unpack, write_list


def test_musan_gives_noise_music_and_speech_as_kinds(tmp_path):
    names = {
        "noise": ("noise/free-sound/noise-free-sound-0000", "noise/sound-bible/noise-sound-bible-0083"),
        "music": ("music/fma-western-art/music-fma-wa-0045", "music/jamendo/music-jamendo-0011"),
        "speech": ("speech/librivox/speech-librivox-0000", "speech/us-gov/speech-us-gov-0001"),
    }
    root = unpack(tmp_path / "data", *(f"musan/{name}.wav" for kind in names.values() for name in kind))
    write_list(root / "musan/speech/librivox/ANNOTATIONS", "speech-librivox-0000 m english")
    for kind, expected in names.items():
        assert set(listed("musan", root, None, kind)) == set(expected)
    assert {row.speaker_id for row in listed("musan", root / "musan", "all", "speech").values()} == {None}


@pytest.fixture
def rirs(tmp_path):
    real = "RIRS_NOISES/real_rirs_isotropic_noises"
    root = unpack(
        tmp_path / "data",
        "RIRS_NOISES/simulated_rirs/smallroom/Room001/Room001-00001.wav",
        "RIRS_NOISES/simulated_rirs/smallroom/Room002/Room002-00001.wav",
        "RIRS_NOISES/simulated_rirs/largeroom/Room001/Room001-00001.wav",
        f"{real}/RVB2014_type1_rir_largeroom1_near_angla.wav",
        f"{real}/air_type1_air_binaural_aula_carolina_0_1.wav",
        f"{real}/RVB2014_type1_noise_largeroom1_1.wav",
        "RIRS_NOISES/pointsource_noises/noise-free-sound-0842.wav",
        duration_s=0.2,
    )
    write_list(
        root / real / "rir_list",
        f"--rir-id 00001 --room-id RVB2014_largeroom1 {real}/RVB2014_type1_rir_largeroom1_near_angla.wav",
        f"--rir-id 00002 --room-id air_aula_carolina {real}/air_type1_air_binaural_aula_carolina_0_1.wav",
    )
    write_list(
        root / real / "noise_list",
        "--noise-id 00001 --noise-type isotropic --room-linkage RVB2014_largeroom1"
        f" {real}/RVB2014_type1_noise_largeroom1_1.wav",
    )
    return root


def test_simulated_rooms_of_one_number_are_told_apart_by_their_size(rirs):
    rows = listed("rirs_noises", rirs, "smallroom+largeroom", "rir")
    assert {name: row.speaker_id for name, row in rows.items()} == {
        "simulated_rirs/smallroom/Room001/Room001-00001": "smallroom/Room001",
        "simulated_rirs/smallroom/Room002/Room002-00001": "smallroom/Room002",
        "simulated_rirs/largeroom/Room001/Room001-00001": "largeroom/Room001",
    }


def test_measured_responses_and_noises_are_what_their_lists_say(rirs):
    real = "real_rirs_isotropic_noises"
    rows = listed("rirs_noises", rirs / "RIRS_NOISES", "real", "rir")
    assert {name: row.speaker_id for name, row in rows.items()} == {
        f"{real}/RVB2014_type1_rir_largeroom1_near_angla": "RVB2014_largeroom1",
        f"{real}/air_type1_air_binaural_aula_carolina_0_1": "air_aula_carolina",
    }
    noises = listed("rirs_noises", rirs, "isotropic+pointsource", "noise")
    assert set(noises) == {f"{real}/RVB2014_type1_noise_largeroom1_1", "pointsource_noises/noise-free-sound-0842"}


def test_a_kind_with_several_splits_asks_for_one(rirs):
    with pytest.raises(ConfigError, match="several splits of noise: give pointsource, isotropic, or some joined by"):
        listed("rirs_noises", rirs, None, "noise")
