import json
from pathlib import Path

import numpy as np
import pytest

from reseed.stages.export import export
from reseed.stages.import_ import ImportSettings, import_store
from reseed.stages.interop.exchange import BATCH_ROWS
from reseed.stages.interop.npy import NpyReader
from reseed.store import EmbeddingStore, StoreError
from tests.stages.interop.examples import ODD_IDS, write_odd_store


def write_foreign(directory: Path, rows: list[dict], vectors: np.ndarray, name: str = "rows.jsonl") -> Path:
    directory.mkdir(exist_ok=True)
    np.save(directory / "vectors.npy", vectors)
    (directory / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def read_all(source: Path) -> int:
    reader = NpyReader(source)
    return sum(table.num_rows for table in reader.rows())


def test_numpy_and_json_read_the_export(tmp_path):
    store = write_odd_store(tmp_path / "store", dtype="float16")
    export(store=store.path, output=tmp_path / "out", format="npy")
    vectors = np.load(tmp_path / "out" / "vectors.npy", mmap_mode="r")
    assert vectors.dtype == np.float16
    np.testing.assert_array_equal(vectors, store.vectors())
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().split("\n")[:-1]]
    assert [row["utterance_id"] for row in rows[::6]] == ODD_IDS
    assert rows[0]["snr_db"] is None
    assert rows[0]["seed"] == 2**64 - 1


def test_any_npy_with_json_lines_beside_it_is_read(tmp_path):
    rows = [{"id": f"face {i}", "age": i, "mood": None if i else "sad"} for i in range(3)]
    source = write_foreign(tmp_path / "faces", rows, np.eye(3, 4), name="vectors.jsonl") / "vectors.npy"
    settings = ImportSettings(space="arcface:r50", id="id")
    import_store(source=source, store=tmp_path / "store", format="npy", settings=settings)
    store = EmbeddingStore(tmp_path / "store")
    np.testing.assert_array_equal(store.vectors(), np.eye(3, 4, dtype=np.float32))
    assert store.rows(["age", "mood"]).to_pylist() == [{"age": i, "mood": None if i else "sad"} for i in range(3)]


def test_columns_that_begin_after_the_first_batch_are_kept(tmp_path):
    count = BATCH_ROWS + 2
    rows = [{"utterance_id": f"u{i}", **({"late": i} if i > BATCH_ROWS else {})} for i in range(count)]
    source = write_foreign(tmp_path / "a", rows, np.zeros((count, 2), np.float32))
    settings = ImportSettings(space="s", rows_per_shard=10_000)
    import_store(source=source, store=tmp_path / "store", format="npy", settings=settings)
    assert EmbeddingStore(tmp_path / "store").rows()["late"].to_pylist() == [None] * (count - 1) + [count - 1]


@pytest.mark.parametrize(
    ("vectors", "lines", "message"),
    [
        (np.zeros((2, 3)), '{"id": 1}\n', r"rows.jsonl has 1 rows, .*vectors.npy 2 vectors"),
        (np.zeros((1, 3)), '{"id": 1}\n[2]\n', r"rows.jsonl line 2 is not a JSON object but list"),
        (np.zeros((1, 3)), '{"id": 1\n', r"rows.jsonl line 1 is not JSON"),
        (np.zeros((2, 3)), '{"id": 1}\n{"id": "b"}\n', r"rows.jsonl: the values of 'id' have no common type"),
        (np.zeros(3), "", r"vectors.npy holds float64 \[3\], not numbers"),
        (np.array([["a"]]), "", r"vectors.npy holds <U1 \[1, 1\], not numbers"),
    ],
)
def test_what_cannot_be_read_is_named_with_file_and_line(tmp_path, vectors, lines, message):
    source = write_foreign(tmp_path / "a", [], vectors)
    (source / "rows.jsonl").write_text(lines)
    with pytest.raises(StoreError, match=message):
        read_all(source)


def test_pickled_cut_and_missing_files_are_named(tmp_path):
    source = write_foreign(tmp_path / "a", [{"id": 1}], np.zeros((1, 3)))
    (source / "rows.jsonl").unlink()
    with pytest.raises(StoreError, match="rows.jsonl is missing: one JSON object with an id for each vector"):
        read_all(source)
    (source / "rows.jsonl").write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(StoreError, match="rows.jsonl is not a text in UTF-8"):
        read_all(source)
    whole = (source / "vectors.npy").read_bytes()
    (source / "vectors.npy").write_bytes(whole[:-1])
    with pytest.raises(StoreError, match="vectors.npy cannot be read"):
        read_all(source)
    np.save(source / "vectors.npy", np.array([[None]]), allow_pickle=True)
    with pytest.raises(StoreError, match="vectors.npy cannot be read"):
        read_all(source)
    with pytest.raises(StoreError, match="nowhere.npy cannot be read"):
        read_all(tmp_path / "nowhere.npy")
