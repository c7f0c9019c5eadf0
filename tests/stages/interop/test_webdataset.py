import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from reseed.stages.export import export
from reseed.stages.import_ import ImportSettings, import_store
from reseed.stages.interop.webdataset import WebDatasetReader
from reseed.store import EmbeddingStore, StoreError
from tests.stages.interop.examples import ODD_IDS, write_odd_store


def npy(vector: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, vector, allow_pickle=True)
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def imported(source: Path, store: Path, **settings) -> EmbeddingStore:
    settings = ImportSettings(**{"space": "clip:b32", **settings})
    import_store(source=source, store=store, format="webdataset", settings=settings)
    return EmbeddingStore(store)


def test_samples_are_two_neighbours_with_names_that_every_tool_reads(tmp_path):
    store = write_odd_store(tmp_path / "store")
    export(store=store.path, output=tmp_path / "out", format="webdataset")
    with tarfile.open(tmp_path / "out" / "00000.tar") as tar:
        names = tar.getnames()
        first = np.load(io.BytesIO(tar.extractfile(names[0]).read()))
        rows = [json.loads(tar.extractfile(name).read()) for name in names[1::2]]
    np.testing.assert_array_equal(first, store.vectors()[0])
    assert [row["utterance_id"] for row in rows[::6]] == ODD_IDS
    assert len(set(names)) == len(names) == 2 * len(store)
    for vector, row in zip(names[::2], names[1::2], strict=True):
        assert vector.removesuffix(".npy") == row.removesuffix(".json")
        assert len(row) <= 100
        assert row.isascii()
        assert row.count(".") == 1
        assert "/" not in row
    assert "0000000060.json" in names, "an id of 10,000 characters goes by a number"


def test_shards_are_numbered_and_hold_so_many_samples(tmp_path, monkeypatch):
    monkeypatch.setattr("reseed.stages.interop.webdataset._ROWS_PER_TAR", 25)
    store = write_odd_store(tmp_path / "store")
    export(store=store.path, output=tmp_path / "out", format="webdataset")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "00000.tar",
        "00001.tar",
        "00002.tar",
        "export.json",
    ]
    copy = imported(tmp_path / "out", tmp_path / "copy", space=None)
    np.testing.assert_array_equal(copy.vectors(), store.vectors())
    (tmp_path / "out" / "00001.tar").unlink()
    with pytest.raises(StoreError, match=r"out holds 47 of the 72 rows exported; restore the missing files"):
        imported(tmp_path / "out", tmp_path / "again", space=None)


def test_samples_from_elsewhere_go_by_their_key(tmp_path):
    members = {
        f"train/img{i}.{end}": data for i in range(3) for end, data in (("jpg", b"?"), ("emb.npy", npy(np.eye(3)[i])))
    }
    source = write_tar(tmp_path / "a.tar.gz", members, "w:gz")
    store = imported(source, tmp_path / "store", id="__key__")
    assert store.utterance_ids() == ["train/img0", "train/img1", "train/img2"]
    np.testing.assert_array_equal(store.vectors(), np.eye(3))


def test_one_of_several_vectors_is_chosen_by_name(tmp_path):
    members = {"a.image.npy": npy(np.zeros(2)), "a.text.npy": npy(np.ones(3)), "a.json": b'{"id": 4, "split": "dev"}'}
    source = write_tar(tmp_path / "a.tar", members)
    store = imported(source, tmp_path / "store", id="id", embedding="text")
    np.testing.assert_array_equal(store.vectors(), np.ones((1, 3)))
    assert store.rows(["utterance_id", "split"]).to_pylist() == [{"utterance_id": "4", "split": "dev"}]
    with pytest.raises(StoreError, match=r"sample 'a' has \['image', 'text'\] .npy members; name the one"):
        imported(source, tmp_path / "again", id="id")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.json": b"{}"}, r"sample 'a' has no .npy members"),
        ({"a.npy": b"numbers"}, r"a.tar: sample 'a' holds no array"),
        ({"a.npy": npy(np.array([None]))}, r"sample 'a' holds no array \(Object arrays"),
        ({"a.npy": npy(np.zeros(2)), "a.json": b"{"}, r"a.tar a.json is not JSON"),
        ({"a.npy": npy(np.zeros(2)), "b.npy": npy(np.zeros(3))}, r"b has 3 dimensions, a has 2"),
        ({"a.npy": npy(np.zeros((2, 2)))}, r"a holds float64 \[2, 2\], not one vector"),
        ({"a.npy": npy(np.array("x"))}, r"a holds <U1 \[\], not one vector"),
    ],
)
def test_samples_that_cannot_be_used_are_named(tmp_path, members, message):
    source = write_tar(tmp_path / "a.tar", members)
    with pytest.raises(StoreError, match=message):
        imported(source, tmp_path / "store", id="__key__")


def test_damaged_and_missing_archives_are_named(tmp_path):
    source = write_tar(tmp_path / "a.tar", {"a.npy": npy(np.zeros(2)), "b.npy": npy(np.zeros(2))})
    whole = source.read_bytes()
    for cut in (1_024, 1_100, 1_600):
        source.write_bytes(whole[:cut])
        with pytest.raises(StoreError, match=r"a.tar cannot be read \((cut short|unexpected end)"):
            list(WebDatasetReader(source).batches())
    source.write_bytes(b"not a tar")
    with pytest.raises(StoreError, match=r"a.tar cannot be read"):
        list(WebDatasetReader(source).rows())
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"empty holds no .tar file"):
        WebDatasetReader(tmp_path / "empty")


def test_a_device_or_pipe_in_place_of_an_archive_is_refused(tmp_path):
    (tmp_path / "a.tar").symlink_to("/dev/zero")
    with pytest.raises(StoreError, match="is not a regular file"):
        next(WebDatasetReader(tmp_path).rows())
