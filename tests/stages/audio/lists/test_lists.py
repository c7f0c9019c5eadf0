"""Lists as people bring them, each with what it is known to hold."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.audio.manifest import read_manifest
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import ManifestError, read_rejects
from tests.corpus import write_wave

RATE = 8_000
SECONDS = {"a": 12, "b": 12, "c": 3}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("lists")
    for seed, (name, seconds) in enumerate(SECONDS.items()):
        noise = 0.1 * np.random.default_rng(seed).standard_normal(seconds * RATE)
        write_wave(root / "wav" / f"{name}.wav", noise, RATE)
    return root


@pytest.fixture
def prepared(corpus, tmp_path):
    def run(name: str, text: str | bytes, **options):
        source = corpus / name
        source.write_bytes(text.encode() if isinstance(text, str) else text)
        paths = {"utterances": tmp_path / "u.parquet", "rejects": tmp_path / "r.parquet"}
        message = prepare(source=source, settings=PrepareSettings(min_duration_s=0), **paths, **options)
        rows = {
            row.utterance_id: (row.speaker_id, row.start_s, row.duration_s)
            for row in read_manifest(tmp_path / "u.parquet")
        }
        return rows, {reject.utterance_id: reject.reason for reject in read_rejects(tmp_path / "r.parquet")}, message

    return run


WHOLE = {"wav/a": ("s", 0, 12), "wav/b": ("t", 0, 12), "wav/c": ("t", 0, 3)}
TEXTS = {
    "spaces.csv": "path, speaker\nwav/a.wav, s\nwav/b.wav , t\nwav/c.wav, t\n",
    "semicolons.csv": "wav; spk\r\nwav/a.wav;s\r\nwav/b.wav;t\r\nwav/c.wav;t\r\n",
    "bars.txt": "Speaker ID|File Name\ns|wav/a.wav\nt|wav/b.wav\nt|wav/c.wav",
    "tabs.csv": "file_name\tspk-id\nwav/a.wav\ts\nwav/b.wav\tt\nwav/c.wav\tt\n",
    "mark.csv": "\ufeffpath,speaker\r\nwav/a.wav,s\r\nwav/b.wav,t\r\nwav/c.wav,t\r\n",
    "old_mac.csv": "path,speaker\rwav/a.wav,s\rwav/b.wav,t\rwav/c.wav,t\r",
    "open.tsv": 'client_id\tpath\tsentence\ns\twav/a.wav\t"Hi\nt\twav/b.wav\tthere"\nt\twav/c.wav\t"and" on\n',
    "open.csv": 'speaker,path,text\ns,wav/a.wav,"Hi\nt,wav/b.wav,there\nt,wav/c.wav,she said "no"\n',
    "escaped.csv": 'speaker,path,text\ns,wav/a.wav,"\\"Hi\\", he"\nt,wav/b.wav,"a ""b"", c"\nt,wav/c.wav,\n',
    "several_lines.csv": 'path,text,speaker\nwav/a.wav,"two\nlines, and",s\nwav/b.wav,"x\n\ny",t\nwav/c.wav,z,t\n',
    "blank_ends.csv": "path,speaker,\nwav/a.wav,s,\nwav/b.wav,t,\n\nwav/c.wav,t\n",
    "excel.csv": "sep=;\r\npath;speaker\r\nwav/a.wav;s\r\nwav/b.wav;t\r\nwav/c.wav;t\r\n",
    "commented.csv": "# by me\n# again\npath,speaker\nwav/a.wav,s\nwav/b.wav,t\nwav/c.wav,t\n",
    "commented_header.tsv": "#path\tspeaker\nwav/a.wav\ts\nwav/b.wav\tt\nwav/c.wav\tt\n",
    "unread_twice.csv": "x,path,x,speaker\n,wav/a.wav,1,s\n2,wav/b.wav,,t\n,wav/c.wav,,t\n",
    "joined.csv": "\ufeffpath,speaker\nwav/a.wav,s\n\ufeffwav/b.wav,t\nwav/c.wav,t\n",
    "joined.jsonl": "\n".join(f'\ufeff{{"path": "wav/{n}.wav", "spk": "{"st"[n > "a"]}"}}' for n in "abc"),
    "two_in_a_line.jsonl": '{"path": "wav/a.wav", "spk": "s"} {"path": "wav/b.wav", "spk": "t"}\n'
    '{"path": "wav/c.wav", "spk": "t"}',
    "long_values.json": json.dumps([{"path": f"wav/{n}.wav", "x": 149_000 * "x", "spk": "st"[n > "a"]} for n in "abc"]),
    "windows.csv": "path,speaker\nwav\\a.wav,s\nwav\\b.wav,t\nwav\\c.wav,t\n",
    "array.json": json.dumps([{"wav": f"wav/{n}.wav", "spk": "s" if n == "a" else "t"} for n in "abc"], indent=2),
    "printed.json": "\n".join(json.dumps({"wav": f"wav/{n}.wav", "spk": "st"[n > "a"]}, indent=2) for n in "abc"),
    "key.list": "\n".join(
        json.dumps({"key": f"wav/{n}", "wav": f"wav/{n}.wav", "speaker": "st"[n > "a"]}) for n in "abc"
    ),
    "by_id.json": json.dumps(
        {f"wav/{n}": {"wav": f"{{data_root}}/wav/{n}.wav", "spk_id": "st"[n > "a"]} for n in "abc"}
    ),
    "by_id_printed.json": json.dumps(
        {f"wav/{n}": {"wav": f"$data_root/wav/{n}.wav", "spk_id": "st"[n > "a"]} for n in "abc"}, indent=1
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_how_a_list_is_written_is_told_from_the_file(prepared, name):
    rows, rejects, _ = prepared(name, TEXTS[name])
    assert (rows, rejects) == (WHOLE, {})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_encodings_are_told_and_the_unmarked_is_named(prepared, encoding):
    rows, _, message = prepared("names.csv", "path,speaker\nwav/a.wav,Jörg\n".encode(encoding))
    assert rows == {"wav/a": ("Jörg", 0, 12)}
    assert ("read as Latin-1" in message) == (encoding == "latin-1")


@pytest.mark.parametrize("name", ["spaces.csv", "array.json", "key.list"])
def test_lists_may_be_compressed(prepared, name):
    whole = gzip.compress(TEXTS[name].encode())
    assert prepared(f"{name}.gz", whole)[0] == WHOLE
    with pytest.raises(ManifestError, match="cut short or damaged"):
        prepared(f"cut_{name}.gz", whole[:-9])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("wav/c.wav,text,t,", "line 3 has 4 fields, and the header 3"),  # or is the text in two, and no speaker known
        ("wav/c.wav,hello, world,t", "line 3 has 4 fields, and the header 3: quote a text that holds a comma"),
        ("wav/c.wav", "line 3 has 1 fields, and the header 3"),
        ('wav/c.wav,"never, closed,t', "line 3 has a quotation mark that is never closed"),
        (",text,t", "line 3 names no recording"),
        ("wav/c.wav,te\0xt,t", "line 3 holds a NUL: the list is damaged"),
        ("path,text,speaker", "line 3 is the header once more"),
    ],
)
def test_a_row_that_cannot_be_read_is_a_reject_with_its_line_and_takes_no_other_with_it(prepared, row, reason):
    rows, rejects, message = prepared("ragged.csv", f"path,text,speaker\nwav/a.wav,x,s\n{row}\nwav/b.wav,y,t\n")
    assert rows.keys() == {"wav/a", "wav/b"}
    assert rejects.keys() == {"ragged.csv:line 3"}
    assert reason in rejects["ragged.csv:line 3"]
    assert "x 1: " in message


HALVES = {"wav/a-0000000-0006000": ("s", 0, 6), "wav/a-0006000-0012000": ("s", 6, 6), "wav/b": ("t", 0, 12)}
STRETCHES = {
    "NeMo": ("offset,duration", "0,6", "6,6.0", "0,"),
    "start and stop": ("start,stop", "0,6", "6,12", "0,12"),
    "samples": ("start,stop", "0,48000", "48000,96000", "0,96000"),
    "floats that are samples": ("begin,duration", "0.0,48000.0", "48000.0,48000.0", "0.0,96000.0"),
    "duration of the whole": ("duration,start,stop", "12,0,6", "12,6.0,12", "12,0,12"),
    "named seconds": ("start_s,end_s", "0,6", "6,12", "0,"),
    "named milliseconds": ("start_ms,duration_ms", "0,6000", "6000,6000", ","),
    "named samples": ("start_sample,num_samples", "0,48000", "48000,48000", "0,96000"),
    "onset and offset": ("onset,offset", "0,6", "6,12", "0,12"),
    "3D-Speaker": ("dur,start,stop", "12.0,0.0,6.0", "12.0,6.0,12.0", "12.0,0,12.0"),
}


@pytest.mark.parametrize("name", STRETCHES)
def test_stretches_are_in_the_unit_that_their_files_allow_and_get_ids_of_their_own(prepared, name):
    columns, *rows = STRETCHES[name]
    listed = zip(("wav/a.wav,s", "wav/a.wav,s", "wav/b.wav,t"), rows, strict=True)
    text = "\n".join([f"path,speaker,{columns}", *(",".join(each) for each in listed)])
    assert prepared("stretches.csv", text)[:2] == (HALVES, {})


def test_sides_of_a_file_without_ids_get_ids_of_their_own(prepared, corpus):
    sides = 0.1 * np.random.default_rng(5).standard_normal((2 * RATE, 2))
    write_wave(corpus / "wav" / "call.wav", sides, RATE)
    text = "wav,spk,channel,start,stop\nwav/call.wav,s,A,0,2\nwav/call.wav,t,B,0,2\nwav/call.wav,t,B,0,2\n"
    rows, rejects, _ = prepared("sides.csv", text)
    assert rows == {"wav/call-ch0": ("s", 0, 2), "wav/call-ch1": ("t", 0, 2)}
    assert "has the utterance id of" in rejects["wav/call-ch1"]


@pytest.mark.parametrize("numbers", ["0,600", "0,6000", "100,1200"])
def test_units_that_cannot_be_told_are_refused(prepared, numbers):
    with pytest.raises(ManifestError, match="samples, frames or milliseconds cannot be told; name the columns"):
        prepared("untold.csv", f"path,start,stop\nwav/a.wav,{numbers}\n")


def test_a_row_in_another_unit_than_most_is_refused_alone(prepared):
    text = "id,path,start,stop\nu,wav/a.wav,0,3\nv,wav/a.wav,3,6\nw,wav/b.wav,24000,48000\n"
    rows, rejects, _ = prepared("mixed.csv", text)
    assert rows.keys() == {"u", "v"}
    assert "look like samples, while most rows look like seconds" in rejects["w"]


@pytest.mark.parametrize("label", ["infer", "unknown", "Unknown", "-", "none", "N/A", "<unk>", "", "?"])
def test_labels_that_stand_for_nobody_are_no_speaker(prepared, label):
    rows = [{"audio_filepath": f"wav/{name}.wav", "label": label, "duration": None} for name in "ab"]
    found, _, message = prepared("labels.json", "\n".join(map(json.dumps, rows)))
    assert {speaker for speaker, _, _ in found.values()} == {None}
    assert "speakers unknown" in message


def test_one_label_of_all_and_columns_that_are_not_read_are_named(prepared):
    _, _, message = prepared(
        "one.csv", "path,speaker,talker_id,clip_length_words,text\nwav/a.wav,x,7,3,t\nwav/b.wav,x,8,,\n"
    )
    assert "1 speakers (all are x)" in message
    assert "columns that are not read: talker_id, clip_length_words" in message


def test_placeholders_of_a_root_are_environment_variables(prepared, monkeypatch, corpus):
    monkeypatch.setenv("CORPUS_ROOT", str(corpus / "wav"))
    text = "path,speaker\n${CORPUS_ROOT}/a.wav,s\n$NOWHERE_AT_ALL/x.wav,s\n{data_root}/wav/b.wav,t\n"
    rows, rejects, _ = prepared("roots.csv", text)
    assert rows.keys() == {"a", "wav/b"}
    assert "NOWHERE_AT_ALL, which is not set: export NOWHERE_AT_ALL=FOLDER" in rejects["x"]


def test_a_path_means_the_file_that_it_names_elsewhere_where_none_has_that_very_name(prepared, monkeypatch, corpus):
    monkeypatch.setenv("HOME", str(corpus))
    monkeypatch.setenv("MY_ROOT", str(corpus))
    odd = [f"file://{corpus}/wav/a.wav", f"file://localhost{corpus}/wav/a.wav", f"file:{corpus}/%77av/a.wav"]
    odd += [
        "~/wav/a.wav",
        "%MY_ROOT%\\wav\\a.wav",
        ".\\wav\\a.wav",
        "'wav/a.wav'",
        "\u201cwav/a.wav\u201d",
        "wav/%61.wav",
    ]
    rows = "".join(f"u{number},{path}\n" for number, path in enumerate(odd))
    assert len(prepared("odd.csv", "id,path\n" + rows)[0]) == len(odd)
    for there, listed in (("\u00e4", "a\u0308"), ("o\u0308", "\u00f6"), ("50%61", "50%61")):  # as macOS has it, and not
        (corpus / f"{there}.wav").symlink_to(corpus / "wav" / "c.wav")
        assert prepared("odd.csv", f"path\n{listed}.wav\n")[0] == {there: (None, 0, 3)}
    _, rejects, _ = prepared("drives.csv", "id,path\nok,wav/a.wav\nu,C:\\wav\\a.wav\nv,\\\\nas\\x.wav\n")
    assert all("is a path of Windows: list it as it is on this machine" in rejects[name] for name in "uv")


@pytest.mark.parametrize("number", ["0,5", "1 000", "00:00:01.5", "1.5s", "0x10", "1_0", "NA", 10**400])
def test_numbers_that_are_written_otherwise_are_refused_with_their_line(prepared, number):
    rows = [{"id": name, "path": "wav/a.wav", "offset": offset} for name, offset in (("u", 1), ("v", number))]
    found, rejects, _ = prepared("numbers.jsonl", "\n".join(map(json.dumps, rows)))
    assert found.keys() == {"u"}
    assert "has a start, duration or channel that is no number (line 2: " in rejects["v"]


def test_paths_count_from_the_list_and_else_from_the_working_directory(prepared, monkeypatch, corpus):
    monkeypatch.chdir(corpus / "wav")
    rows, _, _ = prepared("from_here.csv", "path\nc.wav\nwav/a.wav\n")
    assert rows.keys() == {"c", "wav/a"}


def recording(name: str) -> dict:
    sources = [{"type": "file", "channels": [0], "source": f"wav/{name}.wav"}]
    return {
        "id": name,
        "sources": sources,
        "sampling_rate": RATE,
        "num_samples": SECONDS[name] * RATE,
        "channel_ids": [0],
    }


def test_manifests_of_lhotse_are_read_cuts_and_supervisions_too(prepared, corpus, tmp_path):
    supervisions = [
        {"id": "one", "recording_id": "a", "start": 1.5, "duration": 2, "channel": 0, "speaker": "s",
         "language": "fa", "gender": "Female"},
        {"id": "two", "recording_id": "b", "start": 0, "duration": 3, "channel": 0, "speaker": "t"},
        {"id": "lost", "recording_id": "z", "start": 0, "duration": 3, "channel": 0, "speaker": "t"},
    ]  # fmt: skip
    text = "\n".join(json.dumps(each) for each in supervisions)
    with pytest.raises(ManifestError, match=r"x_recordings_all\.jsonl is not there"):
        prepared("x_supervisions_all.jsonl", text)
    recordings = "\n".join(json.dumps(recording(name)) for name in SECONDS)
    assert prepared("x_recordings_all.jsonl", recordings)[0].keys() == SECONDS.keys()
    rows, rejects, _ = prepared("x_supervisions_all.jsonl", text)
    assert rows == {"one": ("s", 1.5, 2), "two": ("t", 0, 3)}
    said = pq.read_table(tmp_path / "u.parquet", columns=["language", "gender"]).to_pylist()
    assert said == [{"language": "fa", "gender": "female"}, {"language": None, "gender": None}]
    assert "line 3 (lost) is of the recording z, which is not listed" in "".join(rejects.values())
    cuts = [
        {"type": "MonoCut", "id": each["id"], "start": each["start"], "duration": each["duration"], "channel": 0,
         "supervisions": [each], "recording": recording(each["recording_id"])}
        for each in supervisions[:2]
    ]  # fmt: skip
    both = {**cuts[0], "id": "both", "supervisions": supervisions[:2]}
    changed = {**cuts[0], "id": "fast", "recording": {**recording("a"), "transforms": [{"name": "Speed"}]}}
    text = "\n".join(json.dumps(each) for each in [*cuts, both, changed])
    rows, rejects, _ = prepared("cuts.jsonl.gz", gzip.compress(text.encode()))
    assert rows == {"one": ("s", 1.5, 2), "two": ("t", 0, 3)}
    assert "(both) has several speakers (s, t)" in "".join(rejects.values())
    assert "(fast) is changed by transforms" in "".join(rejects.values())


@pytest.mark.parametrize(
    "odd",
    [
        {"recording": {"sources": 3}},
        {"recording": {"sources": [None]}},
        {"supervisions": 3},
        {"supervisions": [{"speaker": ["s"]}]},
        {"channel": [[0], [1]]},
    ],
)
def test_a_cut_that_is_none_is_a_reject_and_takes_no_other_with_it(prepared, odd):
    cut = {"id": "u", "start": 0, "duration": 2, "recording": recording("a"), "supervisions": []}
    rows, rejects, _ = prepared("odd.jsonl", "\n".join(map(json.dumps, [{**cut, "id": "odd", **odd}, cut])))
    assert rows == {"u": (None, 0, 2)}
    assert "(odd)" in "".join(rejects.values())


def test_a_stretch_beyond_any_number_is_a_reject(prepared):
    rows, rejects, _ = prepared("far.jsonl", '{"wav": "wav/a.wav", "start": 1e308}\n{"wav": "wav/a.wav", "start": 1}')
    assert rows.keys() == {"wav/a-0001000-0012000"}
    assert len(rejects) == 1


def test_rows_inside_tar_files_that_are_not_there_are_refused_in_words(prepared):
    message = r"inside a tar file \(shard_id 3\), and .*audio_3\.tar does not exist: say with corpus\.prepare\.tarred"
    with pytest.raises(ManifestError, match=message):
        prepared("tarred.json", json.dumps({"audio_filepath": "a.wav", "duration": 1, "shard_id": 3}))


def test_parquet_gives_paths_or_the_sound_itself(prepared, corpus):
    def bytes_of(table: pa.Table) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        return sink.getvalue().to_pybytes()

    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    sound = (corpus / "wav" / "c.wav").read_bytes()
    for held in ((None, None), (sound, sound), (None, sound)):
        lengths_s = [12 if each is None else 3 for each in held]
        audio = pa.array(
            [{"bytes": each, "path": f"wav/{name}.wav"} for name, each in zip("ab", held, strict=True)], kind
        )
        table = bytes_of(pa.table({"id": ["u", "v"], "audio": audio, "speaker_id": [1, 2]}))
        rows, rejects, _ = prepared("train.parquet", table)
        assert rows == {"u": ("1", 0, lengths_s[0]), "v": ("2", 0, lengths_s[1])}
        assert not rejects
    with pytest.raises(ManifestError, match="cannot be read as Parquet"):
        prepared("broken.parquet", b"PAR1")


def test_the_metadata_of_an_audiofolder_is_read_in_place_of_its_folders(tmp_path, corpus):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "wav").symlink_to(corpus / "wav")
    (tmp_path / "set" / "metadata.csv").write_text("file_name,speaker_id\nwav/a.wav,s\n")
    paths = {"utterances": tmp_path / "u.parquet", "rejects": tmp_path / "r.parquet"}
    prepare(source=tmp_path / "set", settings=PrepareSettings(), **paths)
    assert [(row.utterance_id, row.speaker_id) for row in read_manifest(tmp_path / "u.parquet")] == [("wav/a", "s")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"u": {"wav": "x.wav"}, "v": {"wav" "y"}}', "line 1: not JSON"),
        ("b.json", '[{"wav": "x.wav"},\n {"wav": "y.wav"}', r"line 2: not JSON \(, or \] is expected\)"),
        ("c.json", '[{"wav": "x.wav"}, 3]', "line 1: not a JSON object"),
        ("d.csv", "path,speaker,path\na,b,c\n", "has the column path twice"),
        ("d.csv", "Speaker ID,path,speaker-id\na,b,c\n", "has the column Speaker ID twice"),
        ("e.txt", "a.wav s1\n", "has no column for the path .* its first line is no header; put one before it"),
        ("e.csv", b"PK\3\4" + bytes(99), "is a spreadsheet or another zip file; save it as .csv"),
        ("e.csv", "x\x1b[2J,y\n", r"it has 'x\\x1b\[2J', y"),
        ("g.jsonl", '{"path": "a.wav", "path": "b.wav"}\n', r"line 1: not JSON \(the name 'path' comes twice"),
        ("h.csv", "path\nwav/a.wav\n".encode("utf-16") + b"\0", "is not UTF-16-LE text"),
        ("f.csv", b"path,speaker\n\xd6\xd0\xb9\xfa.wav,\xb9\xfa\xd6\xd0\n", "line 2 is not UTF-8 text, nor Latin-1"),
    ],
)
def test_what_no_list_is_says_where(prepared, name, text, message):
    with pytest.raises(ManifestError, match=message):
        prepared(name, text)


def test_a_share_of_rejects_may_be_an_error(prepared, tmp_path):
    text = "path,speaker\nwav/a.wav,s\nwav/b.wav,t\nwav/missing.wav,t\nwav/c.wav,t\n"
    with pytest.raises(ManifestError, match=r"1 of 4 are rejected, and 0 of them may be \(strict\)"):
        prepared("strict.csv", text, strict=0.0)
    assert len(read_rejects(tmp_path / "r.parquet")) == 1
    assert not (tmp_path / "u.parquet").exists()
    _, _, message = prepared("strict.csv", text, strict=0.25)
    assert "missing files x 1: paths count from the list's folder" in message
    assert "RIFF PCM_16 x 3" in message
