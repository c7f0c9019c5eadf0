from itertools import combinations
from pathlib import Path

import pytest

from reseed.store import ManifestError
from tests.corpus import voice
from tests.stages.audio.datasets.miniature import listed, refused, tried, unpack, write_list
from tests.stages.audio.files import encoded

DEV = ("id10001/1zcIwhmdeo4/00001.wav", "id11251/s4R4hvqrhFw/00009.wav")
TEST = ("id10270/x6uYqmx31kE/00001.wav", "id10270/8jEAjG6SegY/00008.wav", "id10309/0cYFdtyWVds/00005.wav")


def ids(*names: str) -> set[str]:
    return {name.removesuffix(".wav") for name in names}


def archives(above: Path, dev: str = "dev/wav", test: str = "test/wav") -> Path:
    return unpack(above, *(f"{dev}/{name}" for name in DEV), *(f"{test}/{name}" for name in TEST))


@pytest.mark.parametrize(
    ("dev", "test"),
    [("dev/wav", "test/wav"), ("wav", "wav"), (".", "."), ("vox1_dev_wav/wav", "vox1_test_wav/wav")],
)
def test_the_halves_of_voxceleb1_are_told_apart_however_its_archives_are_unpacked(tmp_path, dev, test):
    root = archives(tmp_path / "voxceleb1", dev, test)
    assert set(listed("voxceleb1", root, "dev")) == ids(*DEV)
    rows = listed("voxceleb1", root, "test")
    assert set(rows) == ids(*TEST)
    assert rows["id10309/0cYFdtyWVds/00005"].speaker_id == "id10309"


def test_an_evaluation_of_voxceleb1_lists_the_speakers_of_its_trials(tmp_path):
    root = archives(tmp_path / "voxceleb1")
    assert set(listed("voxceleb1", root, "1-O")) == ids(*TEST)
    assert set(listed("voxceleb1", root, "1-E")) == set(listed("voxceleb1", root, "1-H")) == ids(*DEV, *TEST)


def test_vox1_o_trials_meet_the_manifest_and_the_list_is_named_by_its_counts(tmp_path):
    root = archives(tmp_path / "voxceleb1")
    listed("voxceleb1", root, "test")
    target, nontarget = f"1 {TEST[0]} {TEST[1]}", f"0 {TEST[0]} {TEST[2]}"
    for title, targets, nontargets in [("cleaned", 18_802, 18_809), ("original", 18_860, 18_860)]:
        veri_test = write_list(tmp_path / "veri_test.txt", *[target] * targets, *[nontarget] * nontargets)
        trials, message = tried(root, veri_test)
        assert message == (
            f"{targets + nontargets} trials of Vox1-O {title}: {targets} target, {nontargets} non-target, 0 unlabelled"
        )
    assert trials[0] == ("id10270/x6uYqmx31kE/00001", "id10270/8jEAjG6SegY/00008", True)
    assert trials[-1] == ("id10270/x6uYqmx31kE/00001", "id10309/0cYFdtyWVds/00005", False)


def test_vox1_e_and_h_trials_span_both_halves(tmp_path):
    root = archives(tmp_path / "voxceleb1")
    listed("voxceleb1", root, "1-E")
    pairs = list(combinations((*DEV, *TEST), 2))
    lines = [f"{int(first[:7] == second[:7])} {first} {second}" for first, second in pairs]
    trials, message = tried(root, write_list(tmp_path / "list_test_all2.txt", *lines))
    assert [trial[2] for trial in trials] == [first[:7] == second[:7] for first, second in pairs]
    assert message == "10 trials: 1 target, 9 non-target, 0 unlabelled"


def test_voxceleb2_is_read_as_it_is_published(tmp_path):
    root = tmp_path / "voxceleb2"
    for take, name in enumerate(
        ("id00012/21Uxsk56VDQ/00001", "id00012/21Uxsk56VDQ/00002", "id09272/u7VNkYraCw0/00027")
    ):
        path = root / f"dev/aac/{name}.m4a"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(voice(1, take, 4.0 + take), "aac", "ipod"))
    path.with_name("00028.m4a").write_bytes(path.read_bytes()[:-3_000])
    rows = listed("voxceleb2", root, "dev")
    assert {name: (row.speaker_id, row.duration_s) for name, row in rows.items()} == {
        "id00012/21Uxsk56VDQ/00001": ("id00012", 4.0),
        "id00012/21Uxsk56VDQ/00002": ("id00012", 5.0),
        "id09272/u7VNkYraCw0/00027": ("id09272", 6.0),
    }
    assert "cut short" in refused(root)["id09272/u7VNkYraCw0/00028"]


def test_voxceleb2_is_read_from_the_copies_beside_its_aac(tmp_path):
    root = tmp_path / "voxceleb2"
    for number in ("00001", "00002"):
        write_list(root / f"dev/aac/id00012/21Uxsk56VDQ/{number}.m4a", "\0\0\0 ftypM4A ")
    unpack(root, "dev/aac/id00012/21Uxsk56VDQ/00001.wav", "dev/aac/id09272/u7VNkYraCw0/00027.wav")
    rows = listed("voxceleb2", root, "dev")
    assert {name: row.speaker_id for name, row in rows.items()} == {
        "id00012/21Uxsk56VDQ/00001": "id00012",
        "id09272/u7VNkYraCw0/00027": "id09272",
    }
    assert set(refused(root)) == {"id00012/21Uxsk56VDQ/00002"}


def test_a_folder_that_is_not_voxceleb1_is_named_with_what_was_looked_for(tmp_path):
    unpack(tmp_path / "other", "speaker/clip.wav")
    with pytest.raises(
        ManifestError, match=r"other is no VoxCeleb1 with test speakers: there is no test/wav/idNNNNN or"
    ):
        listed("voxceleb1", tmp_path / "other", "test")
    archives(tmp_path / "dev_only", test="../elsewhere")
    with pytest.raises(ManifestError, match="dev_only is no VoxCeleb1"):
        listed("voxceleb1", tmp_path / "dev_only", "test")
