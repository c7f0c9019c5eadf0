"""Recordings inside archives are listed, prepared and read as the same recordings in a folder are."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.audio.manifest import read_manifest
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import ManifestError, read_rejects
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
    (folder / "utt2spk").write_text("".join(f"{key} {key.split('/')[0]}\n" for key in offsets))
    return folder


def listed(folder: Path, files: Files) -> Path:
    tars(folder, files)
    (folder / "shard.list").write_text("".join(f"{path}\n" for path in sorted(folder.glob("*.tar"))))
    return folder / "shard.list"


SOURCES: dict[str, Callable[[Path, Files], Path]] = {
    "folder of tars": tars,
    "glob": lambda folder, files: tars(folder, files) / "*.tar",
    "braces": lambda folder, files: tars(folder, files) / "s-{000000..000002}.tar",
    "braces of NeMo": lambda folder, files: tars(folder, files) / "s-_OP_000000..000002_CL_.tar",
    "list of tars": listed,
    "stored zip": lambda folder, files: zipped(folder.with_suffix(".zip"), files),
    "deflated zip": lambda folder, files: zipped(folder.with_suffix(".zip"), files, zipfile.ZIP_DEFLATED),
    "audio ark": kaldi,
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


def test_keys_written_twice_are_said(tmp_path):
    two = {f"{name}.json": json.dumps({"id": "same"}).encode() for name in NAMES[:2]}
    files = {name: data for pair in zip(CORPUS.items(), two.items(), strict=False) for name, data in pair}
    found, rejects, _ = prepared(tar(tmp_path / "a.tar", files), tmp_path)
    assert found["utterance_id"].to_pylist() == ["same"]
    assert "has the utterance id of" in rejects["same"]
