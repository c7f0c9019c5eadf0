from tests.stages.audio.datasets.miniature import listed, unpack, write_list


def test_speechocean762_counts_its_paths_from_the_folder_above_its_kaldi_directories(tmp_path):
    root = unpack(tmp_path / "data", *(f"speechocean762/WAVE/SPEAKER{s}/0{s}0011.WAV" for s in ("0001", "0003")))
    for split, speaker in [("train", "0001"), ("test", "0003")]:
        folder = root / "speechocean762" / split
        write_list(folder / "wav.scp", f"0{speaker}0011\tWAVE/SPEAKER{speaker}/0{speaker}0011.WAV")
        write_list(folder / "utt2spk", f"0{speaker}0011 {speaker}")
        write_list(folder / "spk2utt", f"{speaker} 0{speaker}0011")
    rows = listed("speechocean762", root, "train")
    assert {name: (row.speaker_id, row.split) for name, row in rows.items()} == {"000010011": ("0001", "train")}
    both = listed("speechocean762", root / "speechocean762", "train+test")
    assert {row.speaker_id for row in both.values()} == {"0001", "0003"}
