"""Stores made of recordings inside archives are those of the same files in a folder, and can be made again."""

import os
import threading
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

from reseed.stages.audio.manifest import read_manifest
from reseed.stages.audit import audit
from reseed.stages.auditing.finding import PASSED
from reseed.stages.extraction.replayer import Replayer
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import EmbeddingStore, ManifestError, read_rejects
from tests.corpus import write_corpus
from tests.stages.audio.lists.test_archives import SOURCES, tar
from tests.stages.test_browse import ask, served
from tests.stages.test_extract import levels, run
from tests.store.stores import assert_same_files

__all__ = ["levels"]

KINDS = ("speech", "noise", "rir")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """Kind -> name -> bytes of the recordings."""
    root = write_corpus(tmp_path_factory.mktemp("corpus"), splits=("train",), speakers=4, takes=2)
    folders = {kind: root / kind / "train" for kind in KINDS}
    return {
        kind: {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.flac"))}
        for kind, folder in folders.items()
    }


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Path:
    """The folder that all manifests are written to, for a store says where its manifests lie."""
    return tmp_path_factory.mktemp("places")


def prepared(sources: dict[str, Path], places: Path, **options) -> dict[str, Path]:
    for kind, source in sources.items():
        paths = {"utterances": places / f"{kind}.parquet", "rejects": places / f"{kind}.rejects.parquet"}
        prepare(source=source, kind=kind, settings=PrepareSettings(**options), **paths)
    return {kind: places / f"{kind}.parquet" for kind in sources}


def loose(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def of_files(corpus, places, tmp_path_factory) -> Path:
    """The store of the files in folders."""
    with pytest.MonkeyPatch.context() as patch:
        levels.__wrapped__(patch)
        root = tmp_path_factory.mktemp("loose")
        sources = {kind: loose(root / kind, files) for kind, files in corpus.items()}
        run(prepared(sources, places), root / "store")
    return root / "store"


@pytest.mark.parametrize("kind", SOURCES)
def test_stores_are_those_of_the_same_files_in_folders_byte_for_byte(kind, corpus, places, of_files, tmp_path):
    sources = {each: SOURCES[kind](tmp_path / each, files) for each, files in corpus.items()}
    run(prepared(sources, places), tmp_path / "store")
    assert_same_files(of_files, tmp_path / "store")


@pytest.mark.parametrize("kind", ["folder of tars", "deflated zip", "Parquet"])
def test_a_vector_is_made_again_by_the_place_of_its_recording(kind, corpus, places, tmp_path):
    sources = {each: SOURCES[kind](tmp_path / each, files) for each, files in corpus.items()}
    run(prepared(sources, places), tmp_path / "store")
    replayer = Replayer(tmp_path / "store", recordings=[tmp_path, places])
    for utterance in EmbeddingStore(tmp_path / "store").utterance_ids()[::3]:
        for view in ("clean", "both"):
            assert replayer.replay(utterance, view).cosine > 0.999999


@pytest.mark.parametrize("kind", ["deflated zip", "Parquet"])
def test_stores_of_archives_are_audited_and_heard_as_those_of_files(kind, corpus, places, tmp_path):
    sources = {each: SOURCES[kind](tmp_path / each, files) for each, files in corpus.items()}
    store = tmp_path / "stores" / "store"
    run(prepared(sources, places), store)
    (tmp_path / "config.yaml").touch()
    folders = [tmp_path, places]
    audited = audit(store=store, recordings=folders, replay=2)
    assert {"replay", "manifest"} <= {*audited.rules(PASSED)}, audited.summary()
    asked = urlencode({"store": "stores/store", "id": EmbeddingStore(store).utterance_ids()[0], "view": "both"})
    with served(tmp_path, folders) as server:
        answer, sound = ask(server, f"/audio?{asked}")
    assert (answer.status, sound[:4]) == (200, b"RIFF")


def test_of_archives_only_those_in_folders_that_were_named_are_opened(corpus, places, tmp_path):
    sources = {each: SOURCES["folder of tars"](tmp_path / each, files) for each, files in corpus.items()}
    run(prepared(sources, places), tmp_path / "store")
    name = EmbeddingStore(tmp_path / "store").utterance_ids()[0]
    with pytest.raises(ManifestError, match=r"such files may be opened: --recordings .*/(speech|noise)"):
        Replayer(tmp_path / "store", recordings=[places]).replay(name, "clean")
    assert Replayer(tmp_path / "store", recordings=[places, tmp_path]).replay(name, "clean").cosine > 0.999


def test_of_an_archive_that_changed_since_it_was_prepared_only_what_changed_is_a_reject(corpus, places, tmp_path):
    archive = tar(tmp_path / "speech.tar", corpus["speech"])
    sources = {"speech": archive, **{kind: loose(tmp_path / kind, corpus[kind]) for kind in ("noise", "rir")}}
    manifests = prepared(sources, places)
    rows = read_manifest(manifests["speech"])
    start, length = map(int, rows[2].path.rsplit(":")[-1].split("+"))
    data = bytearray(archive.read_bytes())
    data[start + length // 2] ^= 1
    archive.write_bytes(data)
    run(manifests, tmp_path / "store")
    rejects = read_rejects(tmp_path / "store" / "rejects.parquet")
    assert [reject.utterance_id for reject in rejects] == [rows[2].utterance_id]
    assert "has changed since it was prepared" in rejects[0].reason


def test_each_archive_is_opened_once_and_each_recording_read_once(corpus, places, tmp_path, monkeypatch):
    sources = {each: SOURCES["folder of tars"](tmp_path / each, files) for each, files in corpus.items()}
    opened, read, lock = [], [], threading.Lock()
    real_open, real_pread = os.open, os.pread

    def counted_open(path, *args, **options):
        if str(path).endswith(".tar"):
            opened.append(str(path))
        return real_open(path, *args, **options)

    def counted_pread(descriptor, count, start):
        with lock:
            read.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), start, count))
        return real_pread(descriptor, count, start)

    monkeypatch.setattr(os, "open", counted_open)
    monkeypatch.setattr(os, "pread", counted_pread)
    manifests = prepared(sources, places)
    run(manifests, tmp_path / "store")
    assert len(opened) == len(set(opened))
    recordings = {
        (file, *map(int, part.split("+")))
        for manifest in manifests.values()
        for file, part in (row.path.rsplit(":", 1) for row in read_manifest(manifest))
    }
    whole = [each for each in read if each in recordings]
    assert sorted(whole) == sorted(recordings)


def test_a_manifest_in_the_order_of_an_archive_gives_the_same_vectors_in_that_order(corpus, places, of_files, tmp_path):
    shuffled = dict(sorted(corpus["speech"].items(), key=lambda item: item[1]))
    sources = {kind: loose(tmp_path / kind, corpus[kind]) for kind in ("noise", "rir")}
    manifests = prepared({**sources, "speech": tar(tmp_path / "speech.tar", shuffled)}, places, order="place")
    run(manifests, tmp_path / "store")
    stores = [EmbeddingStore(path) for path in (of_files, tmp_path / "store")]
    assert [*stores[1].utterance_ids()] == [name.removesuffix(".flac") for name in shuffled]
    assert stores[0].fingerprint == stores[1].fingerprint
    for name in stores[0].utterance_ids():
        np.testing.assert_allclose(*(store.get(name, view="both") for store in stores), atol=1e-6)
