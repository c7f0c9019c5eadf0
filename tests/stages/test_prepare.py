import json
import os
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from reseed.stages.audio.manifest import Utterance, read_manifest
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import ManifestError, WriteError, read_rejects
from tests.corpus import voice, write_wave


def run(source: Path, tmp_path: Path, **options) -> tuple[dict[str, Utterance], dict[str, str], str]:
    out = tmp_path / "out"
    settings = PrepareSettings(**options.pop("settings", {}))
    paths = {"utterances": out / "utterances.parquet", "rejects": out / "rejects.parquet"}
    message = prepare(source=source, settings=settings, **paths, **options)
    rejects = {reject.utterance_id: reject.reason for reject in read_rejects(paths["rejects"])}
    return {row.utterance_id: row for row in read_manifest(paths["utterances"])}, rejects, message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good recording and one of every bad kind."""
    root = tmp_path / "speech"
    good = voice(1, 0)
    write_wave(root / "s1" / "good.flac", good)
    write_wave(root / "s1" / "stereo.wav", np.stack([good, good], axis=1))
    write_wave(root / "s1" / "narrow.wav", voice(1, 0, rate_hz=8_000), 8_000)
    write_wave(root / "s1" / "wide.wav", voice(1, 0, rate_hz=48_000), 48_000)
    write_wave(root / "s2" / "mp3_named.mp3", good, format="MP3").rename(root / "s2" / "mp3_named.wav")
    write_wave(root / "s2" / "short.wav", good[:1000])
    write_wave(root / "s2" / "silent.wav", np.zeros(16_000))
    write_wave(root / "s2" / "nan.wav", np.where(np.arange(16_000) == 777, np.nan, 0.1), subtype="FLOAT")
    write_wave(root / "s2" / "no_samples.wav", np.zeros(0))
    whole = write_wave(root / "s2" / "cut.wav", good).read_bytes()
    (root / "s2" / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (root / "s2" / "cut.flac").write_bytes((root / "s1" / "good.flac").read_bytes()[:20_000])
    mp3 = write_wave(root / "s2" / "cut_mp3.mp3", voice(1, 0, 6.0), format="MP3").read_bytes()
    (root / "s2" / "cut_mp3.mp3").write_bytes(mp3[: len(mp3) // 2])
    write_wave(root / "s2" / "huge.wav", 32768 * good, subtype="FLOAT")
    write_wave(root / "s2" / "antiphase.wav", np.stack([good, -good], axis=1))
    (root / "s2" / "empty.wav").touch()
    (root / "s2" / "text.wav").write_text("not audio at all")
    (root / "s2" / "notes.txt").write_text("left alone")
    return root


def test_every_bad_recording_becomes_a_reject_with_its_reason_and_the_rest_goes_on(folder, tmp_path):
    accepted, rejects, message = run(folder, tmp_path)
    assert set(accepted) == {"s1/good", "s1/stereo", "s1/narrow", "s1/wide", "s2/mp3_named"}
    reasons = {
        "s2/short": "too short: 0.062 s, at least 0.5 s",
        "s2/silent": "silent",
        "s2/cut_mp3": "cut short",
        "s2/huge": "they should lie in -1..1",
        "s2/antiphase": "silent",
        "s2/nan": "NaN",
        "s2/no_samples": "no samples",
        "s2/empty": "empty (0 bytes)",
        "s2/text": "cannot be decoded",
    }
    for utterance_id, reason in reasons.items():
        assert reason in rejects[utterance_id], rejects[utterance_id]
        assert str(folder) in rejects[utterance_id], "a reason names the file"
    assert "11 rejected" in message
    assert "1 with several channels (averaged)" in message
    assert "8000 Hz x 1" in message


@pytest.mark.parametrize("name", ["cut.wav", "cut.flac"])
def test_truncated_files_are_rejected_even_where_the_decoder_accepts_them(folder, tmp_path, name):
    for other in folder.rglob("*.*"):
        if other.name not in (name, "good.flac"):
            other.unlink()
    _, rejects, _ = run(folder, tmp_path)
    assert rejects.keys() == {"s2/cut"}
    assert "cut short" in rejects["s2/cut"] or "cannot be decoded" in rejects["s2/cut"]


def test_rates_and_channels_are_recorded(folder, tmp_path):
    accepted, _, _ = run(folder, tmp_path)
    assert accepted["s1/narrow"].sample_rate_hz == 8_000
    assert accepted["s1/stereo"].channels == 2
    assert {round(row.duration_s, 2) for row in accepted.values()} <= {2.0, 2.02, 2.05, 2.09}  # MP3 pads its ends


def test_a_folder_names_speakers_by_the_path_down_to_the_chosen_depth(tmp_path):
    write_wave(tmp_path / "speech" / "libri" / "103" / "1240" / "a.flac", voice(0, 0))
    chapters, _, _ = run(tmp_path / "speech", tmp_path)
    speakers, _, _ = run(tmp_path / "speech", tmp_path, settings={"speaker_depth": 2})
    unknown, _, message = run(tmp_path / "speech", tmp_path, settings={"speaker_depth": 0})
    assert chapters["libri/103/1240/a"].speaker_id == "libri/103/1240"
    assert speakers["libri/103/1240/a"].speaker_id == "libri/103"
    assert unknown["libri/103/1240/a"].speaker_id is None
    assert "speakers unknown" in message


def test_gender_and_age_of_speakers_come_from_a_table_and_strangers_are_counted(tmp_path):
    for speaker in ("a", "b"):
        write_wave(tmp_path / "speech" / speaker / "1.flac", voice(0, 0))
    (tmp_path / "speakers.csv").write_text("speaker_id,gender,age\na,F,31\n")
    _, _, message = run(tmp_path / "speech", tmp_path, settings={"speakers": tmp_path / "speakers.csv"})
    table = pq.read_table(tmp_path / "out" / "utterances.parquet")
    assert table.select(["gender", "age"]).to_pylist() == [
        {"gender": "female", "age": 31.0},
        {"gender": None, "age": None},
    ]
    assert message.splitlines()[0].endswith("1 speakers not in " + str(tmp_path / "speakers.csv") + ", e.g. b")


def test_gender_age_and_language_come_from_a_list_and_a_table_of_speakers_goes_before(tmp_path):
    for name in ("a", "b", "c"):
        write_wave(tmp_path / f"{name}.wav", voice(0, 0))
    rows = "a.wav,a,m,twenties,fa\nb.wav,b,Female,-1,-\nc.wav,c,n/a,old,\n"
    (tmp_path / "list.csv").write_text("path,speaker,sex,age,lang\n" + rows)
    (tmp_path / "speakers.csv").write_text("speaker_id,gender,age\na,F,\nc,,31\n")
    said = ["gender", "age", "language"]
    for settings, expected in (
        ({}, [("male", 25.0, "fa"), ("female", None, None), (None, None, None)]),
        ({"speakers": tmp_path / "speakers.csv"}, [("female", 25.0, "fa"), ("female", None, None), (None, 31.0, None)]),
    ):
        run(tmp_path / "list.csv", tmp_path, settings=settings)
        table = pq.read_table(tmp_path / "out" / "utterances.parquet", columns=said)
        assert [tuple(row.values()) for row in table.to_pylist()] == expected


def test_the_second_file_of_an_id_is_rejected_and_both_are_named(tmp_path):
    for name in ("a.flac", "a.wav"):
        write_wave(tmp_path / "speech" / "s" / name, voice(0, 0))
    accepted, rejects, _ = run(tmp_path / "speech", tmp_path)
    assert Path(accepted["s/a"].path).name == "a.flac"
    assert "a.wav has the utterance id of" in rejects["s/a"]
    assert "a.flac" in rejects["s/a"]


def test_csv_lists_give_ids_speakers_stretches_and_splits(tmp_path):
    write_wave(tmp_path / "w" / "a.wav", voice(0, 0))
    listed = tmp_path / "list.csv"
    listed.write_text(
        "path,utterance_id,speaker_id,start_s,duration_s,split\n"
        'w/a.wav,"one, two",s1,0.5,1.0,train\n'
        "w/a.wav,late,s1,1.5,1.0,train\n"
        "w/a.wav,odd,s1,zero,1.0,train\n"
        "w/missing.wav,,s2,,,train\n"
        "w/a.wav,other,s1,,,dev\n"
    )
    accepted, rejects, _ = run(listed, tmp_path, split="train")
    assert set(accepted) == {"one, two"}
    assert (accepted["one, two"].start_s, accepted["one, two"].duration_s) == (0.5, 1.0)
    assert "ends at 2.00 s, before the stretch 1.50 + 1.00 s" in rejects["late"]
    assert "no number" in rejects["odd"]
    assert "does not exist" in rejects["w/missing"]


def test_jsonl_lists_in_nemo_style_are_read(tmp_path):
    write_wave(tmp_path / "a.wav", voice(0, 0))
    rows = [{"audio_filepath": str(tmp_path / "a.wav"), "offset": 0.25, "duration": 1.5, "speaker": 7}]
    (tmp_path / "list.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    accepted, _, _ = run(tmp_path / "list.jsonl", tmp_path)
    (row,) = accepted.values()
    assert (row.speaker_id, row.start_s, row.duration_s) == ("7", 0.25, 1.5)


def test_kaldi_directories_are_read_and_commands_are_refused(tmp_path):
    wave = write_wave(tmp_path / "w" / "a.wav", voice(0, 0))
    kaldi = tmp_path / "kaldi"
    kaldi.mkdir()
    (kaldi / "wav.scp").write_text(f"rec1 {wave}\nrec2 sox {wave} -t wav - speed 1.1 |\n")
    (kaldi / "utt2spk").write_text("u1 s1\nu2 s1\nu3 s2\n")
    (kaldi / "segments").write_text("u1 rec1 0.5 1.5\nu2 rec2 0 1\nu3 rec9 0 1\n")
    accepted, rejects, _ = run(kaldi, tmp_path)
    assert accepted["u1"].speaker_id == "s1"
    assert (accepted["u1"].start_s, accepted["u1"].duration_s) == (0.5, 1.0)
    assert "is a command in wav.scp" in rejects["u2"]
    assert "rec9, which wav.scp does not list" in rejects["u3"]


def test_kaldi_tables_may_use_tabs_and_a_segment_may_last_to_the_end(tmp_path):
    wave = write_wave(tmp_path / "a b.wav", voice(0, 0))
    kaldi = tmp_path / "kaldi"
    kaldi.mkdir()
    (kaldi / "wav.scp").write_text(f"rec1\t{wave}\n")
    (kaldi / "utt2spk").write_text("u1\ts1\n")
    (kaldi / "segments").write_text("u1 \trec1\t0.5  -1\n")
    accepted, _, _ = run(kaldi, tmp_path)
    assert (accepted["u1"].start_s, accepted["u1"].duration_s, accepted["u1"].speaker_id) == (0.5, 1.5, "s1")


def test_relative_paths_of_wav_scp_count_from_the_current_directory_or_else_from_its_own(tmp_path, monkeypatch):
    here = write_wave(tmp_path / "here" / "w" / "a.wav", voice(0, 0))
    beside = write_wave(tmp_path / "kaldi" / "w" / "b.wav", voice(0, 1))
    write_wave(tmp_path / "kaldi" / "w" / "a.wav", voice(0, 2))
    (tmp_path / "kaldi" / "wav.scp").write_text("a w/a.wav\nb w/b.wav\n")
    monkeypatch.chdir(tmp_path / "here")
    accepted, _, _ = run(tmp_path / "kaldi", tmp_path)
    assert {name: row.path for name, row in accepted.items()} == {"a": str(here), "b": str(beside)}


def test_lists_that_cannot_be_read_say_where_and_why(tmp_path):
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    (tmp_path / "list.jsonl").write_text('{"path": "a.wav"}\nnot json\n')
    for source, message in [
        (tmp_path / "nowhere", "does not exist; give a folder"),
        (tmp_path / "list.csv", r"no column for the path \(one of path, audio_filepath, wav, file\); it has a, b"),
        (tmp_path / "list.jsonl", r"list.jsonl, line 2: not JSON"),
    ]:
        with pytest.raises(ManifestError, match=message):
            run(source, tmp_path)


def test_a_folder_without_any_usable_recording_is_an_error_that_keeps_the_rejects(tmp_path):
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech" / "a.wav").touch()
    with pytest.raises(ManifestError, match=r"no usable recording; the first of 1: a: .*is empty"):
        run(tmp_path / "speech", tmp_path)
    assert len(read_rejects(tmp_path / "out" / "rejects.parquet")) == 1


def test_files_that_are_no_recordings_by_their_suffix_are_counted(tmp_path):
    folder = write_wave(tmp_path / "speech" / "s" / "a.WAVE", voice(0, 0), format="WAV").parent
    for name in ("b.pcm", "c.PCM", "a.txt", "README", ".hidden.pcm"):
        (folder / name).write_bytes(bytes(99))
    accepted, _, message = run(tmp_path / "speech", tmp_path)
    assert set(accepted) == {"s/a"}
    assert "files left out, as their suffix is of no recording: .pcm x 2, readme x 1, .txt x 1" in message.lower()
    (folder / "a.WAVE").unlink()
    with pytest.raises(ManifestError, match=r"no usable recording; files left out, as their suffix .*\.pcm x 2"):
        run(tmp_path / "speech", tmp_path)


def test_linked_folders_are_followed_and_loops_are_not(tmp_path):
    write_wave(tmp_path / "elsewhere" / "a.flac", voice(0, 0))
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech" / "s1").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "speech" / "loop").symlink_to(tmp_path / "speech")
    accepted, _, _ = run(tmp_path / "speech", tmp_path)
    assert set(accepted) == {"s1/a"}


def test_stretches_that_are_none_and_empty_lists_are_named(tmp_path):
    write_wave(tmp_path / "a.wav", voice(0, 0))
    (tmp_path / "list.csv").write_text("path,start_s\na.wav,nan\na.wav,-1\n,0\n")
    kinds = "stretches outside the file x 2, rows without a recording x 1$"
    with pytest.raises(ManifestError, match=f"the first of 3: a: .*; all in .*: {kinds}"):
        run(tmp_path / "list.csv", tmp_path)
    (tmp_path / "empty.csv").write_text("path\n")
    with pytest.raises(ManifestError, match=r"empty\.csv: no usable recording$"):
        run(tmp_path / "empty.csv", tmp_path)


def test_noises_may_be_shorter_than_speech_must_be(tmp_path):
    write_wave(tmp_path / "rir" / "a.wav", voice(0, 0, 0.1))
    accepted, _, _ = run(tmp_path / "rir", tmp_path, kind="rir")
    assert set(accepted) == {"a"}


def test_the_manifest_digest_survives_moving_the_corpus(tmp_path):
    from reseed.stages.audio.manifest import manifest_digest

    digests = []
    for place in ("here", "there"):
        write_wave(tmp_path / place / "s" / "a.flac", voice(0, 0))
        accepted, _, _ = run(tmp_path / place, tmp_path)
        digests.append(manifest_digest(list(accepted.values())))
    assert digests[0] == digests[1]
    assert pq.read_table(tmp_path / "out" / "utterances.parquet").num_rows == 1


def test_a_fault_of_the_disk_names_the_list_or_the_manifest(tmp_path):
    write_wave(tmp_path / "a.wav", voice(0, 0))
    (tmp_path / "mixed.csv").write_bytes("path\nmüller.wav\n".encode() + b"m\xfcller.wav\n")
    with pytest.raises(ManifestError, match=r"mixed\.csv cannot be read: line 3 is not UTF-8 text"):
        run(tmp_path / "mixed.csv", tmp_path)
    (tmp_path / "broken.csv").symlink_to("/proc/self/mem")  # opens, and then fails without saying which file it is
    with pytest.raises(ManifestError, match=r"broken\.csv cannot be read \(Input/output error\)"):
        run(tmp_path / "broken.csv", tmp_path)
    (tmp_path / "many.csv").write_text("path,utterance_id\n" + "".join(f"a.wav,u{row}\n" for row in range(500)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(WriteError, match=r"utterances\.parquet cannot be written: it grows larger"):
            run(tmp_path / "many.csv", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_name_that_is_no_text_is_rejected(tmp_path):
    write_wave(tmp_path / "speech" / "s1" / "good.wav", voice(0, 0))
    (tmp_path / "speech" / "s1" / "good.wav").with_name(os.fsdecode(b"b\xfcse.wav")).touch()
    accepted, rejects, _ = run(tmp_path / "speech", tmp_path)
    assert set(accepted) == {"s1/good"}
    assert list(rejects) == ["s1/b\\udcfcse"]
    assert "not UTF-8; rename it" in rejects["s1/b\\udcfcse"]


def test_objects_do_not_pile_up_with_the_length_of_the_list(tmp_path):
    write_wave(tmp_path / "a.wav", voice(0, 0))
    peaks = []
    for rows in (100, 5_000, 12_000):  # the first pays for what is imported
        lines = (f"a.wav,s{row // 64}/u{row},s{row // 64},{row % 1000 / 1000},1.0" for row in range(rows))
        (tmp_path / "list.csv").write_text("path,utterance_id,speaker_id,start_s,duration_s\n" + "\n".join(lines))
        tracemalloc.start()
        message = prepare(
            source=tmp_path / "list.csv",
            utterances=tmp_path / "u.parquet",
            rejects=tmp_path / "r.parquet",
            settings=PrepareSettings(),
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert f"{rows} recordings" in message
    assert peaks[2] < 1.3 * peaks[1]
