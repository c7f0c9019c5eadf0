import json

from tests.stages.audio.datasets.miniature import listed, unpack, write_list


def test_libritts_r_takes_its_published_ids_and_the_speaker_from_the_folder(tmp_path):
    root = unpack(
        tmp_path / "data",
        "LibriTTS_R/train-clean-100/103/1241/103_1241_000000_000001.wav",
        "LibriTTS_R/train-clean-100/19/198/19_198_000000_000000.wav",
        "LibriTTS_R/train-clean-360/14/208/14_208_000001_000000.wav",
        "LibriTTS_R/dev-clean/84/121123/84_121123_000007_000001.wav",
    )
    write_list(
        root / "LibriTTS_R/speakers.tsv", "READER\tGENDER\tSUBSET\tNAME", "14\tF\ttrain-clean-360\tKristin LeMoine"
    )
    write_list(root / "LibriTTS_R/train-clean-100/19/198/19_198_000000_000000.normalized.txt", "Northanger Abbey")
    rows = listed("libritts_r", root, "train-clean-100")
    assert {name: row.speaker_id for name, row in rows.items()} == {
        "103_1241_000000_000001": "103",
        "19_198_000000_000000": "19",
    }
    assert {row.split for row in rows.values()} == {"train-clean-100"}


def test_splits_are_joined_by_plus_and_each_row_says_which_it_is_of(tmp_path):
    root = unpack(
        tmp_path / "LibriTTS_R",
        "train-clean-100/19/198/19_198_000000_000000.wav",
        "train-clean-360/14/208/14_208_000001_000000.wav",
        "dev-clean/84/121123/84_121123_000007_000001.wav",
    )
    rows = listed("libritts_r", root, "train-clean-100+train-clean-360")
    assert {row.speaker_id: row.split for row in rows.values()} == {"19": "train-clean-100", "14": "train-clean-360"}


def test_libri_light_chapters_of_the_same_name_are_told_apart_by_their_book(tmp_path):
    names = [
        "small/100/sea_fairies_0812_librivox_64kb_mp3/01_baum_sea_fairies_64kb",
        "small/100/sky_island_librivox_64kb_mp3/01_baum_sea_fairies_64kb",
        "small/1001/beowulf_64kb_mp3/01_beowulf_64kb",
    ]
    root = unpack(tmp_path / "librilight", *(f"{name}.flac" for name in names))
    for name in names:
        sidecar = {"speaker": name.split("/")[1], "book_meta": {"id": "1"}, "snr": 8.1, "voice_activity": [[0.0, 0.5]]}
        write_list(root / f"{name}.json", json.dumps(sidecar))
    rows = listed("libri_light", root, "small")
    assert {name: row.speaker_id for name, row in rows.items()} == dict(zip(names, ["100", "100", "1001"], strict=True))
