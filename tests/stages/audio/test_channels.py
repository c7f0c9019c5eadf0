"""Which channel of a recording is read: named by a list, by Kaldi's tables, or chosen by a setting."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from reseed.pipeline.settings import validated
from reseed.stages.audio.candidates import CHANNELS
from reseed.stages.audio.decode import read
from reseed.stages.audio.listed import channel_of
from reseed.stages.audio.manifest import Manifest, Utterance, manifest_digest, read_manifest
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import ConfigError, ManifestError, read_rejects
from tests.corpus import write_wave
from tests.stages.audio.files import tone

CALL = tone(4 * 8_000, 8_000, channels=2)


def prepared(source: Path, **options) -> tuple[dict[str, Utterance], dict[str, str], str]:
    out = source.parent / "out"
    paths = {"utterances": out / "utterances.parquet", "rejects": out / "rejects.parquet"}
    settings = PrepareSettings(**options.pop("settings", {}))
    message = prepare(source=source, settings=settings, **paths, **options)
    rejects = {reject.utterance_id: reject.reason for reject in read_rejects(paths["rejects"])}
    return {row.utterance_id: row for row in read_manifest(paths["utterances"])}, rejects, message


def kaldi(folder: Path, **tables: str) -> Path:
    for name, text in tables.items():
        (folder / name.replace("wav_scp", "wav.scp")).write_text(text)
    return folder


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A folder with a telephone call, a side of it in each channel."""
    return write_wave(tmp_path / "data" / "call.wav", CALL, 8_000, subtype="ULAW").parent


def sides(rows: dict[str, Utterance]) -> dict[str, int | None]:
    return {name: row.channel for name, row in rows.items()}


def test_reco2file_and_channel_says_which_side_an_utterance_is(call):
    """The recordings of reco2file_and_channel are sides of a file that wav.scp lists once."""
    kaldi(call, wav_scp="call call.wav\n", segments="call-A-1 call 0.0 3.0\ncall-B-1 call 0.5 3.0\n",
          utt2spk="call-A-1 A\ncall-B-1 B\n", reco2file_and_channel="call-A call A\ncall-B call B\n")  # fmt: skip
    rows, _, message = prepared(call)
    assert sides(rows) == {"call-A-1": 0, "call-B-1": 1}
    assert "2 with several channels (named in the list)" in message
    for row in rows.values():
        heard = read(Path(row.path), 8_000, row.start_s, row.duration_s, row.channel)
        start = round(8_000 * row.start_s)
        np.testing.assert_allclose(heard, CALL[start:24_000, row.channel], atol=0.02)


def test_recordings_may_be_sides_by_their_own_names_in_wav_scp(call):
    kaldi(call, wav_scp="sw1-A call.wav\nsw1-B call.wav\n", utt2spk="sw1-A x\nsw1-B y\n",
          reco2file_and_channel="sw1-A\tsw1\t1\nsw1-B sw1 2\n")  # fmt: skip
    assert sides(prepared(call)[0]) == {"sw1-A": 0, "sw1-B": 1}
    kaldi(call, segments="u1 sw1-B 0 2\nu2 sw1-A 0 -1\n", utt2spk="u1 y\nu2 x\n")
    assert sides(prepared(call)[0]) == {"u1": 1, "u2": 0}


def test_without_segments_each_side_of_a_file_is_an_utterance(call):
    kaldi(call, wav_scp="call call.wav\n", reco2file_and_channel="call-A call A\ncall-B call B\n", utt2spk="call-A x\n")
    rows, _, _ = prepared(call)
    assert sides(rows) == {"call-A": 0, "call-B": 1}
    assert rows["call-A"].speaker_id == "x"


@pytest.mark.parametrize(("named", "channel"), [("0", 0), ("1", 1), ("A", 0), ("B", 1)])
def test_the_fifth_field_of_segments_is_the_channel(call, named, channel):
    kaldi(call, wav_scp="call call.wav\n", segments=f"u call 0.0 3.0 {named}\n")
    assert sides(prepared(call)[0]) == {"u": channel}


def test_a_side_that_cannot_be_told_is_a_reject_and_never_the_average(call):
    kaldi(call, wav_scp="call call.wav\n", segments="u1 call 0 3\nu2 call 0 3 1\n",
          reco2file_and_channel="call-A call A\ncall-B call B\n")  # fmt: skip
    rows, rejects, _ = prepared(call)
    assert sides(rows) == {"u2": 1}
    assert "may be any of call-A, call-B in reco2file_and_channel" in rejects["u1"]


def test_a_side_is_told_by_its_whole_name(call):
    kaldi(call, wav_scp="c call.wav\n", segments="c-1-7 c 0 3\nc-2-7 c 0 3\nc-12-7 c 0 3\n",
          reco2file_and_channel="c-1 c A\nc-2 c B\n")  # fmt: skip
    rows, rejects, _ = prepared(call)
    assert sides(rows) == {"c-1-7": 0, "c-2-7": 1}
    assert "may be any of c-1, c-2" in rejects["c-12-7"]


def test_lines_that_are_none_are_named(call):
    kaldi(call, wav_scp="call call.wav\n", segments="u call 0 3 third side\n")
    with pytest.raises(ManifestError, match="recording, start, end and, if need be, channel"):
        prepared(call)
    kaldi(call, segments="u call 0 3\n", reco2file_and_channel="call-A call\n")
    with pytest.raises(ManifestError, match="is not followed by file and channel"):
        prepared(call)


def test_a_file_of_one_channel_is_that_channel_unless_two_are_named_of_it(tmp_path):
    for name in ("call-A", "call-B", "mixed"):
        write_wave(tmp_path / "data" / f"{name}.wav", tone(16_000))
    split = "call-A call-A.wav\ncall-B call-B.wav\nmixed-A mixed.wav\nmixed-B mixed.wav\n"
    of_files = "call-A call A\ncall-B call B\nmixed-A mixed A\nmixed-B mixed B\n"
    rows, rejects, message = prepared(kaldi(tmp_path / "data", wav_scp=split, reco2file_and_channel=of_files))
    assert sides(rows) == {"call-A": None, "call-B": None}
    assert "1 of another channel than the only one of their files, which is taken" in message
    assert all("has one channel, and the list names several of it" in rejects[name] for name in ("mixed-A", "mixed-B"))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_lists_have_a_column_for_it(call, suffix):
    named = {"a": 0, "b": "B", "left": "left", "right": "Right", "whole": None, "far": 2, "odd": "both"}
    if suffix == ".jsonl":
        rows = ({"path": "call.wav", "id": name, "channel": channel} for name, channel in named.items())
        text = "\n".join(map(json.dumps, rows))
    else:
        cells = ((name, "" if channel is None else str(channel)) for name, channel in named.items())
        lines = [("path", "id", "channel"), *(("call.wav", *each) for each in cells)]
        text = "\n".join(("\t" if suffix == ".tsv" else ",").join(line) for line in lines)
    (call / f"list{suffix}").write_text(text + "\n")
    found, rejects, message = prepared(call / f"list{suffix}")
    assert sides(found) == {"a": 0, "b": 1, "left": 0, "right": 1, "whole": None}
    assert "has 2 channels, counted from 0, and no channel 2" in rejects["far"]
    assert "no number" in rejects["odd"]
    assert "1 with several channels (averaged), 4 with several channels (named in the list)" in message


@pytest.mark.parametrize("names", ["1 2", "2 2", "1 2 1"])
def test_channels_that_are_counted_from_1_are_refused_rather_than_shifted(call, names):
    lines = [f"u{number},call.wav,{name}\n" for number, name in enumerate(names.split())]
    (call / "list.csv").write_text("id,path,channel\n" + "".join(lines) + "mono,mono.wav,2\n")
    write_wave(call / "mono.wav", tone(16_000))
    rows, rejects, message = prepared(call / "list.csv")
    assert sides(rows) == {"mono": None}
    assert all("seem to be counted from 1: count them from 0 in the list" in reason for reason in rejects.values())
    assert f"channels that are not there x {len(rejects)}: name those that are, counted from 0" in message


@pytest.mark.parametrize("setting", CHANNELS)
def test_a_command_that_asks_for_the_mean_gets_it_whatever_the_setting_is(call, setting):
    mean = "sox call.wav -c 1 -t wav - |", "sox call.wav -t wav - remix - |", "ffmpeg -i call.wav -ac 1 -f wav - |"
    lines = [f"u{number} {command}\n" for number, command in enumerate(mean)]
    rows, _, _ = prepared(kaldi(call, wav_scp="".join(lines)), settings={"channels": setting})
    assert sides(rows) == {"u0": None, "u1": None, "u2": None}
    (call / "segments").write_text("s1 u0 0 2\ns2 u1 1 3\n")
    assert sides(prepared(call, settings={"channels": setting})[0]) == {"s1": None, "s2": None}


@pytest.mark.parametrize("wrong", ["-1", "0.5", "C", "nan", "inf", "1e400"])
def test_what_is_no_channel_is_refused(wrong):
    with pytest.raises(ValueError, match="no channel|could not convert"):
        channel_of(wrong)


def test_what_is_done_where_none_is_named_is_a_setting_and_is_said(call):
    write_wave(call / "mono.wav", tone(16_000))
    found = {}
    for setting, done in CHANNELS.items():
        rows, _, message = prepared(call, settings={"channels": setting, "speaker_depth": 0})
        assert f"{2 if setting == 'each' else 1} with several channels ({done})" in message
        found[setting] = sides(rows)
    assert found == {
        "mean": {"call": None, "mono": None},
        "first": {"call": 0, "mono": None},
        "each": {"call-ch0": 0, "call-ch1": 1, "mono": None},
    }
    with pytest.raises(ConfigError, match="second"):
        validated(PrepareSettings, {"channels": "second"})


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_channels_whose_phases_cancel_are_named_and_can_be_read_one_by_one(tmp_path, noise):
    voice = tone(32_000)
    inverted = -voice + noise * np.random.default_rng(0).standard_normal(32_000)
    write_wave(tmp_path / "data" / "array.wav", np.stack([voice, inverted], axis=1))
    write_wave(tmp_path / "data" / "call.wav", tone(32_000, channels=2))
    rows, rejects, _ = prepared(tmp_path / "data")
    assert set(rows) == {"call"}
    assert "their phases cancel; name a channel" in rejects["array"]
    assert set(prepared(tmp_path / "data", settings={"channels": "first"})[0]) == {"array", "call"}
    assert len(prepared(tmp_path / "data", settings={"channels": "each"})[0]) == 4
    assert "the first of each" in prepared(tmp_path / "data", kind="rir")[2]


def test_a_side_on_which_nobody_speaks_is_a_reject(tmp_path):
    write_wave(tmp_path / "data" / "call.wav", np.stack([tone(32_000), np.zeros(32_000)], axis=1))
    rows, rejects, _ = prepared(tmp_path / "data", settings={"channels": "each"})
    assert sides(rows) == {"call-ch0": 0}
    assert "is silent in channel 1" in rejects["call-ch1"]


def test_a_manifest_written_before_is_read_and_keeps_its_digest(call):
    rows, _, _ = prepared(call)
    manifest = call.parent / "out" / "utterances.parquet"
    digest = manifest_digest(read_manifest(manifest))
    pq.write_table(pq.read_table(manifest).drop_columns(["channel"]), manifest)
    assert manifest_digest(read_manifest(manifest)) == digest
    assert Manifest(manifest).table(["utterance_id", "channel"])["channel"].to_pylist() == [None]
    assert list(rows.values()) == Manifest(manifest)[:1]
    row = next(iter(rows.values()))
    both = [Utterance(**{**vars(row), "channel": channel}) for channel in (0, 1)]
    assert len({manifest_digest([each]) for each in (row, *both)}) == 3
