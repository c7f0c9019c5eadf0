import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from reseed.stages.export import export
from reseed.stages.import_ import ImportSettings, import_store
from reseed.stages.interop.kaldi import KaldiReader
from reseed.store import EmbeddingStore, StoreError
from reseed.store.sealed import read_record, write_record
from tests.stages.interop.examples import DIM, write_odd_store
from tests.stages.interop.kaldi_files import load_vectors, save_ark

VECTORS = {f"utt{i}": np.arange(DIM, dtype=np.float32) + i for i in range(4)}
TOY = ImportSettings(space="toy:1")


@pytest.fixture
def exported(tmp_path) -> Path:
    export(store=write_odd_store(tmp_path / "store").path, output=tmp_path / "out dir", format="kaldi")
    return tmp_path / "out dir"


def write_foreign(directory: Path, **options) -> Path:
    directory.mkdir(exist_ok=True)
    return save_ark(directory / "xvector.ark", VECTORS, **options)


def imported(source: Path, store: Path) -> dict[str, np.ndarray]:
    import_store(source=source, store=store, format="kaldi", settings=TOY)
    opened = EmbeddingStore(store)
    return dict(zip(opened.utterance_ids(), opened.vectors(), strict=True))


def test_kaldis_own_readers_read_archive_index_and_speakers(exported, tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    by_index = load_vectors(f"scp:{exported / 'embeddings.scp'}")
    by_archive = load_vectors(f"ark:{exported / 'embeddings.ark'}")
    assert list(by_index) == list(by_archive)
    np.testing.assert_array_equal(np.stack([by_index[key] for key in by_index]), store.vectors())
    np.testing.assert_array_equal(np.stack(list(by_archive.values())), store.vectors())
    speakers = dict(line.split() for line in (exported / "utt2spk").read_text().splitlines())
    assert speakers["plain-crop0-clean"] == "spk%200/%E6%97%A5"
    assert set(speakers) <= set(by_index)


def test_a_moved_export_is_read_from_its_new_place(exported, tmp_path):
    shutil.move(exported, tmp_path / "moved")
    import_store(source=tmp_path / "moved" / "embeddings.scp", store=tmp_path / "copy", format="kaldi", settings=TOY)
    np.testing.assert_array_equal(
        EmbeddingStore(tmp_path / "copy").vectors(), EmbeddingStore(tmp_path / "store").vectors()
    )


@pytest.mark.parametrize("options", [{}, {"text": True}])
@pytest.mark.parametrize("suffix", [".ark", ".scp"])
def test_a_key_from_elsewhere_is_an_id_as_it_stands(tmp_path, options, suffix):
    scp = write_foreign(tmp_path / "exp", **options)
    (tmp_path / "exp" / "utt2spk").write_text("utt0 ann\nutt1\tbob%20\n")
    found = imported(scp.with_suffix(suffix), tmp_path / "store")
    assert list(found) == list(VECTORS)
    np.testing.assert_array_equal(np.stack(list(found.values())), np.stack(list(VECTORS.values())))
    assert EmbeddingStore(tmp_path / "store").rows()["speaker_id"].to_pylist() == ["ann", "bob%20", None, None]


def test_a_matrix_of_one_row_is_a_vector_and_one_of_two_is_not(tmp_path):
    save_ark(tmp_path / "a.ark", {key: vector[None] for key, vector in VECTORS.items()})
    assert len(imported(tmp_path / "a.ark", tmp_path / "store")) == 4
    save_ark(tmp_path / "a.ark", {"utt0": np.zeros((2, 5), np.float32)})
    with pytest.raises(StoreError, match=r"a.ark: utt0 holds float32 \[2, 5\], not one vector of numbers"):
        imported(tmp_path / "a.ark", tmp_path / "store")


def test_unlike_dimensions_are_named_with_their_keys(tmp_path):
    save_ark(tmp_path / "a.ark", {"utt0": np.zeros(5, np.float32), "utt1": np.zeros(4, np.float32)})
    with pytest.raises(StoreError, match=r"a.ark: utt1 has 4 dimensions, utt0 has 5; a store holds one dimension"):
        imported(tmp_path / "a.ark", tmp_path / "store")


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


def test_a_pickle_in_an_archive_is_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.ark").write_bytes(b"utt0 PKL" + pickle.dumps(Bomb()))
    with pytest.raises(StoreError, match="a.ark cannot be read at 'utt0'"):
        imported(Path("a.ark"), tmp_path / "store")
    assert not Path("exploded").exists()


@pytest.mark.parametrize("place", ["touch exploded |", "| touch exploded", "x.ark:12[0;3]|", ""])
def test_a_command_in_an_index_is_not_executed(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    Path("a.scp").write_text(f"utt0 {place}\n")
    with pytest.raises(StoreError, match="a.scp line 1 is not KEY ARCHIVE:OFFSET"):
        imported(Path("a.scp"), tmp_path / "store")
    assert not Path("exploded").exists()


@pytest.mark.parametrize("cut", [1, 7, 20])
def test_a_cut_archive_is_named_with_the_key(tmp_path, cut):
    archive = write_foreign(tmp_path / "exp").with_suffix(".ark")
    archive.write_bytes(archive.read_bytes()[:-cut])
    with pytest.raises(StoreError, match=r"xvector.ark cannot be read at 'utt3' \("):
        imported(archive, tmp_path / "store")


def test_what_is_no_archive_or_not_there_is_named(tmp_path):
    (tmp_path / "a.ark").write_bytes(b"\xff\xfe\x00 not an archive")
    with pytest.raises(StoreError, match="a.ark is no Kaldi archive, or is damaged at byte 0: no key stands there"):
        imported(tmp_path / "a.ark", tmp_path / "store")
    (tmp_path / "a.scp").write_bytes(b"utt\xff a.ark:1\n")
    with pytest.raises(StoreError, match="a.scp is not a text in UTF-8"):
        imported(tmp_path / "a.scp", tmp_path / "store")
    (tmp_path / "a.scp").write_text("utt gone/b.ark:4\n")
    with pytest.raises(StoreError, match="a.scp line 1: the archive gone/b.ark is not there, nor beside the index"):
        imported(tmp_path / "a.scp", tmp_path / "store")
    with pytest.raises(StoreError, match="embeddings.ark is not there; give an .ark or .scp file"):
        KaldiReader(tmp_path)


def test_keys_that_export_json_promises_but_the_archive_lacks_are_named(exported, tmp_path):
    save_ark(exported / "embeddings.ark", VECTORS)
    with pytest.raises(StoreError, match="embeddings.ark is damaged: its bytes are not those that were written"):
        imported(exported, tmp_path / "copy")
    write_record(exported / "export.json", read_record(exported / "export.json") | {"files": {}})
    with pytest.raises(StoreError, match="'utt0' is not UTTERANCE-cropN-VIEW; remove export.json"):
        imported(exported, tmp_path / "copy")


def test_an_index_that_points_beyond_any_file_is_one_clear_error(tmp_path):
    (tmp_path / "a.ark").write_bytes(b"")
    (tmp_path / "a.scp").write_text(f"u {tmp_path}/a.ark:{10**20}\n")
    with pytest.raises(StoreError, match="has no place 1000"):
        next(KaldiReader(tmp_path / "a.scp").batches())
