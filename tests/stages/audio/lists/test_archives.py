"""Recordings inside archives are listed, prepared and read as the same recordings in a folder are."""

import contextlib
import gzip
import hashlib
import io
import json
import posixpath
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.audio.cells import CellReader
from reseed.stages.audio.containers.layout import Stitched
from reseed.stages.audio.location import Cell, Location
from reseed.stages.audio.manifest import read_manifest
from reseed.stages.audio.opener import opened_bytes
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import AudioError, ManifestError, read_rejects
from tests.corpus import voice
from tests.stages.audio.files import written

Files = dict[str, bytes]
NAMES = [f"s{speaker}/u{take}" for speaker in range(3) for take in range(2)]
CORPUS: Files = {f"{name}.flac": written(voice(n, n, 1.0), format="FLAC") for n, name in enumerate(NAMES)}


def tar(path: Path, files: Files, **options) -> Path:
    with tarfile.open(path, "w", **options) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def tars(folder: Path, files: Files) -> Path:
    """Shards of two files each."""
    folder.mkdir()
    names = list(files)
    for number in range(0, len(names), 2):
        tar(folder / f"s-{number // 2:06}.tar", {name: files[name] for name in names[number : number + 2]})
    return folder


def zipped(path: Path, files: Files, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def ark(path: Path, files: Files) -> dict[str, int]:
    """Write as kaldiio does, by the word AUDIO and the length; returns where each begins."""
    data, offsets = b"", {}
    for name, held in files.items():
        key = name.removesuffix(".flac")
        data += f"{key} ".encode()
        offsets[key] = len(data)
        data += b"AUDIO\4" + len(held).to_bytes(4, "little") + held
    path.write_bytes(data)
    return offsets


def loose(folder: Path, files: Files) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def kaldi(folder: Path, files: Files) -> Path:
    folder.mkdir()
    offsets = ark(folder / "w.ark", files)
    (folder / "wav.scp").write_text("".join(f"{key} w.ark:{offset}\n" for key, offset in offsets.items()))
    (folder / "utt2spk").write_text("".join(f"{key} {posixpath.dirname(key)}\n" for key in offsets))
    return folder


def listed(folder: Path, files: Files) -> Path:
    tars(folder, files)
    (folder / "shard.list").write_text("".join(f"{path}\n" for path in sorted(folder.glob("*.tar"))))
    return folder / "shard.list"


def shar(folder: Path, files: Files, shards: int = 2) -> Path:
    """Write as lhotse's SharWriter does: cuts, and of each its recording and that one's manifest."""
    folder.mkdir()
    names = list(files)
    for shard in range(shards):
        cuts, members = [], {}
        for name in names[shard * len(names) // shards : (shard + 1) * len(names) // shards]:
            cut, speaker = name.removesuffix(".flac"), posixpath.dirname(name)
            sources = [{"type": "shar", "channels": [0], "source": ""}]
            recording = {
                "id": "what-it-was-cut-from", "sources": sources, "sampling_rate": 16_000, "num_samples": 16_000,
                "duration": 1.0, "channel_ids": [0],
            }  # fmt: skip
            supervision = {"id": cut, "recording_id": "r", "start": 0.0, "duration": 1.0, "speaker": speaker}
            cuts.append({"id": cut, "start": 0, "duration": 1.0, "channel": 0, "supervisions": [supervision],
                         "recording": recording, "type": "MonoCut"})  # fmt: skip
            members |= {name: files[name], f"{cut}.json": json.dumps(recording).encode()}
        tar(folder / f"recording.{shard:06}.tar", members)
        text = "".join(f"{json.dumps(cut)}\n" for cut in cuts)
        (folder / f"cuts.{shard:06}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def nemo(folder: Path, files: Files) -> Path:
    """Write as NeMo's convert_to_tarred_audio_dataset.py does, without its squashing of names."""
    folder.mkdir()
    rows = []
    for shard in range(2):
        held = dict(list(files.items())[shard::2])
        tar(folder / f"audio_{shard}.tar", held)
        rows += [{"audio_filepath": name, "label": posixpath.dirname(name), "shard_id": shard} for name in held]
    (folder / "tarred_audio_manifest.json").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder / "tarred_audio_manifest.json"


def parquet(folder: Path, files: Files, row_group_size: int = 2) -> Path:
    """Write as Hugging Face's datasets does."""
    folder.mkdir()
    audio = pa.array(
        [{"bytes": data, "path": name} for name, data in files.items()],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    table = pa.table({"audio": audio, "speaker_id": [posixpath.dirname(name) for name in files]})
    pq.write_table(table.slice(0, 4), folder / "train-00000-of-00002.parquet", row_group_size=row_group_size)
    pq.write_table(table.slice(4), folder / "train-00001-of-00002.parquet", row_group_size=row_group_size)
    return folder


SOURCES: dict[str, Callable[[Path, Files], Path]] = {
    "folder of tars": tars,
    "glob": lambda folder, files: tars(folder, files) / "*.tar",
    "braces": lambda folder, files: tars(folder, files) / f"s-{{000000..{(len(files) - 1) // 2:06}}}.tar",
    "braces of NeMo": lambda folder, files: tars(folder, files) / f"s-_OP_000000..{(len(files) - 1) // 2:06}_CL_.tar",
    "list of tars": listed,
    "stored zip": lambda folder, files: zipped(folder.with_suffix(".zip"), files),
    "deflated zip": lambda folder, files: zipped(folder.with_suffix(".zip"), files, zipfile.ZIP_DEFLATED),
    "audio ark": kaldi,
    "lhotse Shar": shar,
    "tarred manifest of NeMo": nemo,
    "Parquet": parquet,
    "Parquet by a glob": lambda folder, files: parquet(folder, files) / "train-*.parquet",
}


def prepared(source: Path, out: Path, **options) -> tuple[pa.Table, dict[str, str], str]:
    """Return the manifest without its paths, the rejects, and what was said."""
    paths = {"utterances": out / "u.parquet", "rejects": out / "r.parquet"}
    message = prepare(source=source, settings=PrepareSettings(**options), **paths)
    rejects = {reject.utterance_id: reject.reason for reject in read_rejects(paths["rejects"])}
    return pq.read_table(paths["utterances"]).drop_columns(["path"]), rejects, message


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> pa.Table:
    folder = tmp_path_factory.mktemp("loose")
    return prepared(loose(folder / "loose", CORPUS), folder)[0]


@pytest.mark.parametrize("kind", SOURCES)
def test_a_manifest_is_that_of_the_same_files_in_a_folder(kind, expected, tmp_path):
    found, rejects, _ = prepared(SOURCES[kind](tmp_path / "made", CORPUS), tmp_path)
    assert found.equals(expected)
    assert not rejects


BESIDE = {  # what stands beside a recording, its id and its speaker
    "a.json": ({"a.json": b'{"speaker": "ann", "text": "x", "duration": 9.5}'}, "a", "ann"),
    "an id": ({"a.json": b'{"id": "utt-7", "spk_id": 12}'}, "utt-7", "12"),
    "wespeaker": ({"a.spk": b"ann\n"}, "a", "ann"),
    "class": ({"a.cls": b"17"}, "a", "17"),
    "a class and a speaker": ({"a.cls": b"17", "a.json": b'{"spk": "ann"}'}, "a", "ann"),
    "text is no speaker": ({"a.txt": b"good morning"}, "a", None),
    "unknown": ({"a.json": b'{"speaker": "unknown"}'}, "a", None),
    "times of what it was cut from": ({"a.json": b'{"start": 71.5, "end": 73.0, "speaker": "ann"}'}, "a", "ann"),
    "a manifest of lhotse": ({"a.json": b'{"id": "long-recording", "sources": []}'}, "a", None),
}


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("kind", BESIDE)
def test_speaker_and_id_are_those_written_beside_a_recording(kind, before, tmp_path):
    beside, utterance_id, speaker = BESIDE[kind]
    recording = {"a.flac": CORPUS["s0/u0.flac"]}
    found, rejects, message = prepared(
        tar(tmp_path / "a.tar", beside | recording if before else recording | beside), tmp_path
    )
    assert (found["utterance_id"].to_pylist(), found["speaker_id"].to_pylist()) == ([utterance_id], [speaker])
    assert found["duration_s"].to_pylist() == [1.0]
    assert not rejects
    assert ("columns that are not read: start, end" in message) == (kind == "times of what it was cut from")


def test_names_are_keys_up_to_their_first_dot_and_several_recordings_of_a_key_have_their_own(tmp_path):
    one, two = CORPUS["s0/u0.flac"], CORPUS["s0/u1.flac"]
    files = {
        "x/a.mix.flac": one, "x/a.left.flac": two, "x/a.json": b'{"spk": "ann"}',
        "x/b.audio.flac": one, "x/b.json": b'{"spk": "bob"}',
        "x/c.wav.spk": b"cat", "x/c.wav.flac": one,
    }  # fmt: skip
    found, rejects, _ = prepared(tar(tmp_path / "a.tar", files), tmp_path)
    speakers = dict(zip(found["utterance_id"].to_pylist(), found["speaker_id"].to_pylist(), strict=True))
    assert speakers == {"x/a.mix": "ann", "x/a.left": "ann", "x/b": "bob", "x/c.wav": "cat"}
    assert not rejects


def test_what_stands_beside_one_recording_under_another_name_of_its_key_is_read_or_said(tmp_path):
    one = CORPUS["s0/u0.flac"]
    files = {
        "a.audio.flac": one, "a.metadata.json": b'{"speaker": "ann"}',
        "b.speech.flac": one, "b.speech.json": b'{"speaker": "bob"}', "b.words.json": b'{"speaker": "no"}',
        "c.mix.flac": one, "c.left.flac": one, "c.left.json": b'{"speaker": "cat"}',
        "d.flac": one, "d.words.json": b'{"speaker": "x"}', "d.phones.json": b'[1]',
    }  # fmt: skip
    found, rejects, message = prepared(tar(tmp_path / "a.tar", files), tmp_path)
    speakers = dict(zip(found["utterance_id"].to_pylist(), found["speaker_id"].to_pylist(), strict=True))
    assert list(speakers.values()) == ["ann", "bob", "cat", None, None]
    assert "3 .json, .spk and .cls files do not stand beside a recording and are not read" in message
    assert not rejects


def test_fields_and_files_of_archives_that_are_not_read_are_named(tmp_path):
    one = CORPUS["s0/u0.flac"]
    files = {
        "a.flac": one, "a.speaker_id": b"ann", "a.txt": b"hello", "b.flac": one, "b.spk_id.txt": b"bob",
        "metadata.csv": b"file_name,speaker\n", "more/inner.zip": b"PK", "x/README": b"",
    }  # fmt: skip
    for archive in (tar(tmp_path / "a.tar", files), zipped(tmp_path / "a.zip", files)):
        message = prepared(archive, tmp_path)[2]
        assert "not read within archives, put speakers into .json or .spk: .speaker_id, .spk_id.txt" in message
        assert "not read within archives, unpack them: metadata.csv, inner.zip" in message


def test_names_in_a_zip_of_windows_are_paths(tmp_path):
    path = zipped(tmp_path / "a.zip", {name.replace("/", "?"): data for name, data in CORPUS.items()})
    data = path.read_bytes()
    for name in CORPUS:
        data = data.replace(name.replace("/", "?").encode(), name.replace("/", "\\").encode())
    path.write_bytes(data)
    found = prepared(path, tmp_path)[0]
    assert found["utterance_id"].to_pylist() == NAMES
    assert set(found["speaker_id"].to_pylist()) == {"s0", "s1", "s2"}


def test_of_many_recordings_of_one_key_each_has_what_stands_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("reseed.stages.audio.lists.archived._MOST", 2)
    one = CORPUS["s0/u0.flac"]
    files = {f"p.{n}.{kind}": one if kind == "flac" else b"s%d" % n for n in range(6) for kind in ("flac", "spk")}
    found, _, message = prepared(tar(tmp_path / "a.tar", files), tmp_path)
    assert found["speaker_id"].to_pylist() == [f"s{n}" for n in range(6)]
    assert "do not stand beside" not in message


def test_lists_beside_archives_and_columns_that_say_where_the_recording_is_are_told_from_unread_ones(tmp_path):
    manifest = nemo(tmp_path / "nemo", CORPUS)
    assert "give one as the source (tarred_audio_manifest.json)" in prepared(manifest.parent, tmp_path)[2]
    for source in (manifest, shar(tmp_path / "shar", CORPUS)):
        assert "not read" not in prepared(source, tmp_path)[2]


def test_what_stands_apart_from_its_recording_is_said(tmp_path):
    files = {**CORPUS, **{name.replace("flac", "json"): b'{"spk": "ann"}' for name in CORPUS}}
    message = prepared(zipped(tmp_path / "a.zip", files), tmp_path)[2]
    assert "6 .json, .spk and .cls files do not stand beside a recording and are not read" in message


HOSTILE = ["/etc/x.flac", "../../up.flac", "a/../../b.flac", "né/日本.flac", "x" * 180 + "/" + "y" * 120 + ".flac"]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_are_only_names(form, tmp_path):
    files = dict.fromkeys(HOSTILE, CORPUS["s0/u0.flac"])
    archive = tar(tmp_path / "in" / "a.tar", files, format=form) if (tmp_path / "in").mkdir() is None else None
    found, rejects, _ = prepared(archive, tmp_path, speaker_depth=0)
    assert sorted(found["utterance_id"].to_pylist()) == sorted(
        ["etc/x", "up", "b", "né/日本", HOSTILE[-1].removesuffix(".flac")]
    )
    assert not rejects
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"a.tar"}


def test_folders_links_and_hidden_files_lose_no_recording_silently(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind, name in ((tarfile.DIRTYPE, "s"), (tarfile.SYMTYPE, "s/l.flac"), (tarfile.LNKTYPE, "s/h.flac")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "" if kind == tarfile.DIRTYPE else "s/a.flac"
            archive.addfile(member)
        for name in ("s/._a.flac", "s/a.flac"):
            member = tarfile.TarInfo(name)
            member.size = len(CORPUS["s0/u0.flac"])
            archive.addfile(member, io.BytesIO(CORPUS["s0/u0.flac"]))
    found, rejects, _ = prepared(tmp_path / "a.tar", tmp_path)
    assert found["utterance_id"].to_pylist() == ["s/a"]
    assert {name: reason.split("is a ")[1] for name, reason in rejects.items()} == dict.fromkeys(
        ["s/l.flac", "s/h.flac"], "link to s/a.flac within the archive; unpack it"
    )


def damaged(data: bytes, place: int, *others: bytes) -> bytes:
    return data[:place] + b"".join(others) + data[place + sum(map(len, others)) :]


def offsets(path: Path) -> list[int]:
    with tarfile.open(path) as archive:
        return [member.offset for member in archive]


def test_of_a_tar_that_was_cut_what_is_whole_is_read(tmp_path):
    path = tar(tmp_path / "a.tar", CORPUS)
    data, places = path.read_bytes(), offsets(path)
    cases: Iterable[tuple[int, int, str]] = [
        (places[3] + 512 + 100, 3, "cut short: its file ends at byte"),
        (places[3] + 512, 3, "cut short: its file ends at byte"),
        (places[3] + 100, 3, "no header of a member is there, and nothing behind it can be read"),
        (places[3], 3, "lacks the zeros at the end of a tar"),
    ]
    for size, whole, reason in cases:
        path.write_bytes(data[:size])
        found, rejects, _ = prepared(path, tmp_path)
        assert found["utterance_id"].to_pylist() == NAMES[:whole]
        assert [reason in each for each in rejects.values()] == [True], rejects


def test_of_a_tar_that_is_damaged_within_the_rest_is_read(tmp_path):
    path = tar(tmp_path / "a.tar", CORPUS)
    data, places = path.read_bytes(), offsets(path)
    path.write_bytes(damaged(data, places[2] + 10, b"\xff" * 20))
    found, rejects, _ = prepared(path, tmp_path)
    assert found["utterance_id"].to_pylist() == NAMES[:2] + NAMES[3:]
    ((name, reason),) = rejects.items()
    assert name == f"a.tar:byte {places[2]}"
    assert f"byte {places[2]} is damaged: no header" in reason
    assert f"read again from byte {places[3]} on" in reason


def test_of_a_zip_that_was_cut_or_is_damaged_what_is_whole_is_read(tmp_path):
    path = zipped(tmp_path / "a.zip", CORPUS)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"PK\1\2")])
    found, rejects, _ = prepared(path, tmp_path)
    assert found["utterance_id"].to_pylist() == NAMES
    assert "directory at its end is missing" in "".join(rejects.values())
    deflated = zipped(
        tmp_path / "b.zip", {"a.flac": CORPUS["s0/u0.flac"], "b.flac": b"\0" * 90_000}, zipfile.ZIP_DEFLATED
    )
    held = bytearray(deflated.read_bytes())
    held[200] ^= 0xFF
    deflated.write_bytes(held)
    with pytest.raises(ManifestError, match="no usable recording"):
        prepared(deflated, tmp_path)


@pytest.mark.parametrize("place", ["recording", "beside"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("has_directory", [True, False])
def test_a_member_of_a_zip_with_another_checksum_is_a_reject(method, place, has_directory, tmp_path):
    sound = {f"s0/{name}.wav": written(voice(0, n, 0.5), format="WAV") for n, name in enumerate("abc")}
    beside = {"s0/b.json": b'{"spk": "ann"}'}
    files = dict(sorted((sound | beside).items()))
    path, wrong = zipped(tmp_path / "a.zip", files, method), "s0/b.wav" if place == "recording" else "s0/b.json"
    with zipfile.ZipFile(path) as archive:
        true = archive.getinfo(wrong).CRC.to_bytes(4, "little")
    data = path.read_bytes().replace(true, bytes(4))
    path.write_bytes(data if has_directory else data[: data.index(b"PK\1\2")])
    found, rejects, _ = prepared(path, tmp_path, min_duration_s=0)
    assert found["utterance_id"].to_pylist() == ["s0/a", "s0/c"]
    assert "is damaged: its checksum (CRC-32) is another" in rejects["s0/b"]


def test_a_flipped_byte_of_a_wav_stored_in_a_zip_is_a_reject_however_large_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("reseed.stages.audio.opener._LARGEST_HELD", 1000)
    path = zipped(tmp_path / "a.zip", {f"{n}.wav": written(voice(0, n, 0.5), format="WAV") for n in range(2)})
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    found, rejects, _ = prepared(path, tmp_path, min_duration_s=0, speaker_depth=0)
    assert (found["utterance_id"].to_pylist(), list(rejects)) == (["1"], ["0"])


def test_a_zip_bomb_is_a_reject(tmp_path, monkeypatch):
    monkeypatch.setattr("reseed.stages.audio.opener._MOST_INFLATED", 4 << 20)
    bomb = zipped(tmp_path / "a.zip", {**CORPUS, "bomb.wav": b"\0" * (32 << 20)}, zipfile.ZIP_DEFLATED)
    found, rejects, _ = prepared(bomb, tmp_path)
    assert len(found) == len(CORPUS)
    assert "has more than 4 MiB once inflated" in rejects["bomb"]


def test_archives_compressed_as_a_whole_are_refused_with_what_to_do(tmp_path):
    tar(tmp_path / "a.tar", CORPUS)
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.tar", "a.flac")
    for name in ("b.tar.gz", "disguised.tar"):
        (tmp_path / "disguised.tar").write_bytes((tmp_path / "b.tar.gz").read_bytes())
        with pytest.raises(ManifestError, match=r"decompress it first \(gunzip"):
            prepared(tmp_path / name, tmp_path)


def test_archives_beside_loose_recordings_are_not_read_twice_and_said(tmp_path):
    folder = loose(tmp_path / "corpus", CORPUS)
    tar(folder / "download.tar", CORPUS)
    found, rejects, message = prepared(folder, tmp_path)
    assert (len(found), rejects) == (len(CORPUS), {})
    assert "archives beside the recordings are not read; give them as the source (download.tar)" in message


def test_an_archive_without_recordings_is_a_reject(tmp_path):
    (tmp_path / "tars").mkdir()
    tar(tmp_path / "tars" / "a.tar", CORPUS)
    tar(tmp_path / "tars" / "b.tar", {"x.npy": b"numbers", "x.json": b"{}"})
    found, rejects, _ = prepared(tmp_path / "tars", tmp_path)
    assert len(found) == len(CORPUS)
    assert "b.tar holds no recordings" in rejects["b.tar"]


def test_of_several_columns_of_recordings_the_one_called_audio_is_read_and_none_is_guessed(tmp_path):
    def column(speaker: int) -> pa.Array:
        return pa.array([{"bytes": CORPUS[f"s{speaker}/u{take}.flac"], "path": f"u{take}.flac"} for take in range(2)])

    noisy, clean = column(0), column(1)
    pq.write_table(pa.table({"noisy": noisy, "audio": clean}), tmp_path / "a.parquet")
    found = prepared(tmp_path / "a.parquet", tmp_path)[0]
    assert found["sha256"][0].as_py() == hashlib.sha256(CORPUS["s1/u0.flac"]).hexdigest()
    pq.write_table(pa.table({"speech": clean}), tmp_path / "a.parquet")
    assert prepared(tmp_path / "a.parquet", tmp_path)[0]["utterance_id"].to_pylist() == ["u0", "u1"]
    pq.write_table(pa.table({"noisy": noisy, "clean": clean}), tmp_path / "a.parquet")
    with pytest.raises(ManifestError, match="has recordings in several columns, noisy, clean: call one of them audio"):
        prepared(tmp_path / "a.parquet", tmp_path)


def test_what_is_no_path_is_named_in_few_words(tmp_path):
    pq.write_table(pa.table({"audio": [[b"x" * 100_000]] * 2}), tmp_path / "a.parquet")
    with pytest.raises(ManifestError, match="has the path .*") as caught:
        prepared(tmp_path / "a.parquet", tmp_path)
    assert len(str(caught.value)) < 1000


def test_shards_of_tarred_manifests_may_be_texts_and_minus_one_is_none(tmp_path):
    manifest = nemo(tmp_path / "nemo", CORPUS)
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    loose(tmp_path / "nemo" / "x", dict([next(iter(CORPUS.items()))]))
    rows[0] = {**rows[0], "shard_id": -1, "audio_filepath": f"x/{next(iter(CORPUS))}"}
    texts = [{**row, "shard_id": str(row["shard_id"])} for row in rows[1:]]
    manifest.write_text("".join(f"{json.dumps(row)}\n" for row in [rows[0], *texts]))
    found, rejects, _ = prepared(manifest, tmp_path)
    assert (len(found), rejects) == (len(CORPUS), {})


def test_of_a_table_that_holds_the_same_recording_often_few_are_in_memory(tmp_path):
    audio = pa.array([{"bytes": b"x" * 100_000, "path": f"{n}.flac"} for n in range(400)])
    pq.write_table(pa.table({"audio": audio}), tmp_path / "a.parquet")  # once, by Parquet's dictionary
    before = pa.total_allocated_bytes()
    with (tmp_path / "a.parquet").open("rb") as file:
        reader = CellReader(Stitched(file, (range((tmp_path / "a.parquet").stat().st_size),)))
        assert [len(reader.read("audio.bytes", row)) for row in (0, 7, 3, 399)] == [100_000] * 4
        assert pa.total_allocated_bytes() - before < 16 << 20


@pytest.mark.parametrize("nulls", [0, 1])
def test_a_parquet_bomb_is_a_reject_and_is_not_inflated(nulls, tmp_path, monkeypatch):
    monkeypatch.setattr("reseed.stages.audio.cells._MOST_BYTES", 4 << 20)
    (folder := tmp_path / "tables").mkdir()
    rows = [{"bytes": bytes(32 << 20), "path": "bomb.wav"}, *[{"bytes": None, "path": "gone.wav"}] * nulls]
    pq.write_table(pa.table({"audio": rows, "speaker": ["ann"] * len(rows)}), folder / "a.parquet", compression="zstd")
    parquet(tmp_path / "sound", CORPUS).rename(folder / "sound")
    found, rejects, _ = prepared(folder, tmp_path)
    assert len(found) == len(CORPUS)
    assert len(rejects) == len(rows)
    assert "32 MiB" in rejects["bomb"]


def test_a_pattern_that_fits_nothing_is_said(tmp_path):
    folder = tars(tmp_path / "tars", CORPUS)
    for pattern, message in {
        "x*.tar": "fits no file",
        "s-{000000..000003}.tar": "s-000003.tar too, which does not",
    }.items():
        with pytest.raises(ManifestError, match=message):
            prepared(folder / pattern, tmp_path)


def test_paths_of_a_manifest_lead_to_the_bytes_of_the_recordings(tmp_path):
    prepared(tars(tmp_path / "tars", CORPUS), tmp_path)
    for row in read_manifest(tmp_path / "u.parquet"):
        file, part = row.path.rsplit(":", 1)
        start, length = map(int, part.split("+"))
        assert Path(file).read_bytes()[start : start + length] == CORPUS[f"{row.utterance_id}.flac"]


def test_keys_that_shards_count_anew_have_the_shard_before_them(tmp_path):
    (tmp_path / "tars").mkdir()
    for shard in range(2):
        one, two = (voice(shard, take, 1.0 + shard / 2) for take in range(2))
        held = {"000000.flac": written(one, format="FLAC"), "000001.flac": written(two, format="FLAC")}
        tar(tmp_path / "tars" / f"s-{shard:03}.tar", held | ({"only.flac": held["000000.flac"]} if shard else {}))
    found, rejects, _ = prepared(tmp_path / "tars", tmp_path)
    names = [f"s-{shard:03}/{key:06}" for shard in range(2) for key in range(2)]
    assert found["utterance_id"].to_pylist() == ["only", *names]
    assert not rejects


@pytest.mark.parametrize("make", [tar, zipped])
def test_keys_that_shards_of_the_same_name_count_anew_have_the_folders_before_them(make, tmp_path):
    suffix = {tar: "tar", zipped: "zip"}[make]
    for number, split in enumerate(("dev", "train")):
        (tmp_path / "in" / split).mkdir(parents=True)
        make(tmp_path / "in" / split / f"s-000.{suffix}", {"000.flac": CORPUS[f"s{number}/u0.flac"]})
    found, rejects, _ = prepared(tmp_path / "in", tmp_path)
    assert found["utterance_id"].to_pylist() == ["dev/s-000/000", "train/s-000/000"]
    assert not rejects


def test_a_table_whose_groups_name_other_columns_is_no_crash(tmp_path):
    path = parquet(tmp_path / "tables", CORPUS) / "train-00000-of-00002.parquet"
    data = path.read_bytes()
    for place in (each.start() for each in re.finditer(b"bytes", data)):
        path.write_bytes(data[:place] + b"bytex" + data[place + 5 :])
        with contextlib.suppress(ManifestError):
            prepared(path.parent, tmp_path)


def test_keys_written_twice_are_said(tmp_path):
    two = {f"{name}.json": json.dumps({"id": "same"}).encode() for name in NAMES[:2]}
    files = {name: data for pair in zip(CORPUS.items(), two.items(), strict=False) for name, data in pair}
    found, rejects, _ = prepared(tar(tmp_path / "a.tar", files), tmp_path)
    assert found["utterance_id"].to_pylist() == ["same"]
    assert "has the utterance id of" in rejects["same"]


def test_a_shar_that_lacks_recordings_or_holds_more_is_read_as_far_as_it_goes(tmp_path):
    folder = shar(tmp_path / "shar", CORPUS, shards=1)
    lines = gzip.decompress((folder / "cuts.000000.jsonl.gz").read_bytes()).decode().splitlines()
    one, *rest = lines
    gone = json.dumps({**json.loads(one), "id": "gone"})
    (folder / "cuts.000000.jsonl.gz").unlink()
    (folder / "cuts.000000.jsonl").write_text("\n".join([rest[1], gone, one, *rest[2:]]))  # another order, one left out
    held = {"s0/u0.nodata": b"", "s0/u0.nometa": b"", **dict(list(CORPUS.items())[1:])}
    tar(folder / "recording.000000.tar", held)
    found, rejects, _ = prepared(folder, tmp_path)
    assert found["utterance_id"].to_pylist() == NAMES[2:]
    assert sorted(each.split(") ")[1].split(" ")[0] for each in rejects.values()) == ["has", "is"]
    assert "(gone) is not in" in "".join(rejects.values())
    assert "(s0/u0) has no recording: its place in" in "".join(rejects.values())


def test_stretches_of_cuts_in_a_shar_are_kept(tmp_path):
    folder = shar(tmp_path / "shar", CORPUS, shards=1)
    path = folder / "cuts.000000.jsonl.gz"
    cuts = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    cuts[0] |= {"start": 0.25, "duration": 0.5}
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, cuts)).encode()))
    found = prepared(folder, tmp_path)[0]
    assert (found["start_s"][0].as_py(), found["duration_s"][0].as_py()) == (0.25, 0.5)


def test_stretches_of_one_member_and_shards_elsewhere_are_found_in_tarred_manifests(tmp_path):
    (tmp_path / "far").mkdir()
    for shard in range(2):
        tar(tmp_path / "far" / f"sh-{shard}.tar", {"long.flac": CORPUS[f"s{shard}/u0.flac"]})
    for shard in range(2):
        rows = [
            {"audio_filepath": f"long{part}.flac", "offset": start, "duration": 0.5, "label": "ann", "shard_id": shard}
            for part, start in (("", 0.0), ("-sub1", 0.5))
        ]
        text = "".join(f"{json.dumps({**row, 'id': f'{shard}-{n}'})}\n" for n, row in enumerate(rows))
        (tmp_path / f"manifest_{shard}.json").write_text(text)
    found, rejects, _ = prepared(
        tmp_path / "manifest__OP_0..1_CL_.json",
        tmp_path / "out",
        tarred_audio_filepaths=tmp_path / "far" / "sh-_OP_0..1_CL_.tar",
        min_duration_s=0,
    )
    assert found["start_s"].to_pylist() == [0.0, 0.5, 0.0, 0.5]
    assert found["sha256"][0] != found["sha256"][2]
    assert not rejects


def test_a_table_is_read_in_any_order_and_what_is_empty_or_damaged_is_a_reject(tmp_path):
    files = {**CORPUS, "s9/none.flac": b"", "s9/text.flac": b"no sound" * 50}
    folder = parquet(tmp_path / "tables", files, row_group_size=100)
    found, rejects, _message = prepared(folder, tmp_path)
    assert found["utterance_id"].to_pylist() == NAMES
    assert "is empty (0 bytes)" in rejects["s9/none"]
    assert "cannot be decoded" in rejects["s9/text"]
    table = folder / "train-00000-of-00002.parquet"
    for row in [2, 0, 3, 1, 2]:
        location = Location(str(table), Cell("audio.bytes", row))
        with opened_bytes(location) as file:
            assert file.read() == CORPUS[f"{NAMES[row]}.flac"]
    with (
        pytest.raises(AudioError, match="its table has 4 rows"),
        opened_bytes(Location(str(table), Cell("audio.bytes", 4))),
    ):
        pass
    with (
        pytest.raises(AudioError, match="cannot be read from its table"),
        opened_bytes(Location(str(table), Cell("x", 1))),
    ):
        pass


def test_recordings_that_lie_otherwise_than_their_ids_are_read_as_they_lie_if_so_asked(tmp_path):
    shuffled = dict(sorted(CORPUS.items(), key=lambda item: item[1]))
    found, _, message = prepared(tar(tmp_path / "a.tar", shuffled), tmp_path)
    assert found["utterance_id"].to_pylist() == NAMES
    assert "corpus.prepare.order=place reads them as they lie" in message
    found, _, message = prepared(tmp_path / "a.tar", tmp_path, order="place")
    assert found["utterance_id"].to_pylist() == [name.removesuffix(".flac") for name in shuffled]
    assert "order=place" not in message
