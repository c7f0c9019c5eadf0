import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.export import export
from reseed.stages.import_ import ImportSettings, import_store
from reseed.stages.interop.table import FORMATS
from reseed.store import ConfigError, EmbeddingStore, StoreError, WriteError, read_rejects
from reseed.store.sealed import read_record, sealed_text
from tests.stages.interop.examples import file_size_limit, files_under, write_odd_store

FACES = ImportSettings(space="arcface:r50")


def write_faces(path: Path, rows: list[tuple[str, int, str]], vectors: np.ndarray | None = None) -> Path:
    """Write a Parquet file of faces: row i is [i, i + 0.5] unless vectors are given."""
    ids, crops, views = zip(*rows, strict=True)
    vectors = np.arange(len(rows))[:, None] + np.array([0, 0.5], np.float32) if vectors is None else vectors
    table = pa.table(
        {"utterance_id": ids, "crop": crops, "view": views, "embedding": list(vectors), "row": range(len(ids))}
    )
    pq.write_table(table, path)
    return path


def grid(utterances: str, crops: int = 2, views: tuple[str, ...] = ("clean", "noise")) -> list[tuple[str, int, str]]:
    return [(utterance, crop, view) for utterance in utterances for crop in range(crops) for view in views]


def imported(source: Path, store: Path, settings: ImportSettings = FACES) -> EmbeddingStore:
    import_store(source=source, store=store, format="parquet", settings=settings)
    opened = EmbeddingStore(store)
    opened.verify()
    return opened


def reasons(store: EmbeddingStore) -> dict[str, str]:
    return {reject.utterance_id: reject.reason for reject in read_rejects(store.path / "rejects.parquet")}


def test_a_vector_and_an_id_are_enough_in_any_domain(tmp_path):
    pq.write_table(
        pa.table({"text": ["a sentence", "ein Satz"], "vec": [[1.0, 2.0], [3.0, 4.0]]}), tmp_path / "a.parquet"
    )
    settings = ImportSettings(space="minilm:l6", id="text", embedding="vec")
    sentence = import_store(source=tmp_path / "a.parquet", store=tmp_path / "s", format="parquet", settings=settings)
    assert sentence == f"{tmp_path}/s: 2 utterances stored, 0 rejected, space minilm:l6"
    store = EmbeddingStore(tmp_path / "s")
    np.testing.assert_array_equal(store.get("ein Satz", view="clean"), [3, 4])
    assert (store.views, store.crops, store.recipes) == (["clean"], 1, {"clean": {}})
    assert store.header.declaration.lineage[0].path == f"{tmp_path}/a.parquet"


@pytest.mark.parametrize("rows_per_shard", [1, 4, 9, 100])
def test_rows_in_any_order_end_in_the_order_of_a_store(tmp_path, rows_per_shard):
    rows = grid("bacd")
    shuffled = np.random.default_rng(0).permutation(len(rows))
    source = write_faces(tmp_path / "a.parquet", [rows[i] for i in shuffled])
    store = imported(source, tmp_path / "s", ImportSettings(space="s", rows_per_shard=rows_per_shard))
    assert sorted(store.utterance_ids()) == list("abcd")
    for utterance, crop, view in rows:
        row = shuffled.tolist().index(rows.index((utterance, crop, view)))
        np.testing.assert_array_equal(store.get(utterance, view=view, crop=crop), [row, row + 0.5])
    np.testing.assert_array_equal(store.rows()["row"].to_numpy(), store.vectors()[:, 0])


def test_no_room_for_a_copy_of_unsorted_vectors_is_one_clear_line(tmp_path):
    source = write_faces(tmp_path / "a.parquet", grid("ab")[::-1], np.ones((8, 1_000)))
    with (
        pytest.raises(WriteError, match=r"copy of vectors that are not in order cannot be written: it grows larger"),
        file_size_limit(4_000),
    ):
        imported(source, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_shards_hold_whole_utterances_and_at_most_so_many_rows(tmp_path):
    source = write_faces(tmp_path / "a.parquet", grid("abcde"))
    store = imported(source, tmp_path / "s", ImportSettings(space="s", rows_per_shard=11))
    assert [shard.rows for shard in store.shards] == [8, 8, 4]


def test_what_is_missing_twice_or_not_finite_becomes_a_reject_with_its_reason(tmp_path):
    rows = [*grid("abcd"), ("b", 1, "noise"), ("e", 0, "clean")]
    rows.remove(("c", 1, "clean"))
    vectors = np.ones((len(rows), 2), np.float32)
    vectors[rows.index(("d", 1, "clean"))] = np.nan
    store = imported(write_faces(tmp_path / "a.parquet", rows, vectors), tmp_path / "s")
    assert store.utterance_ids() == ["a"]
    assert reasons(store) == {
        "b": "has crop 1 view noise more than once",
        "c": "lacks crop 1 view clean",
        "d": "crop 1 view clean holds no finite float32 vector",
        "e": "lacks crop 0 view noise, crop 1 view clean, crop 1 view noise",
    }
    assert (store.header.expected, store.header.stored, store.header.rejected) == (5, 1, 4)


def test_a_vector_too_large_for_float16_is_a_reject(tmp_path):
    vectors = np.array([[1.0, 2.0], [1e6, 0.0]])
    source = write_faces(tmp_path / "a.parquet", grid("ab", 1, ("clean",)), vectors)
    store = imported(source, tmp_path / "s", ImportSettings(space="s", dtype="float16"))
    assert store.dtype == np.float16
    assert reasons(store) == {"b": "crop 0 view clean holds no finite float16 vector"}


def test_nothing_usable_is_an_error_and_leaves_an_older_store(tmp_path):
    older = imported(write_faces(tmp_path / "a.parquet", grid("ab")), tmp_path / "s")
    source = write_faces(tmp_path / "b.parquet", grid("ab"), np.full((8, 2), np.inf))
    with pytest.raises(StoreError, match="not one vector can be stored; 'a' crop 0 view clean holds no finite"):
        imported(source, tmp_path / "s")
    EmbeddingStore(tmp_path / "s").verify()
    assert EmbeddingStore(tmp_path / "s").fingerprint == older.fingerprint


def test_the_space_must_be_named_once_and_may_not_contradict_the_source(tmp_path):
    source = write_faces(tmp_path / "a.parquet", grid("a"))
    with pytest.raises(ConfigError, match="a.parquet does not say in which embedding space .* give --space"):
        imported(source, tmp_path / "s", ImportSettings())
    store = write_odd_store(tmp_path / "store", ids=["a", "b"])
    export(store=store.path, output=tmp_path / "b.parquet", format="parquet")
    assert imported(tmp_path / "b.parquet", tmp_path / "s", ImportSettings(space="toy:1")).space == "toy:1"
    with pytest.raises(ConfigError, match="b.parquet holds embeddings of toy:1, not of arcface:r50"):
        imported(tmp_path / "b.parquet", tmp_path / "s")


def test_vectors_may_be_stored_in_parquet_files(tmp_path):
    source = write_faces(tmp_path / "a.parquet", grid("ab"))
    store = imported(source, tmp_path / "s", ImportSettings(space="s", vectors="parquet"))
    assert not list(store.path.rglob("*.h5"))
    np.testing.assert_array_equal(store.vectors(), imported(source, tmp_path / "t").vectors())


def test_the_same_import_again_does_nothing_and_another_source_replaces_it(tmp_path):
    source = write_faces(tmp_path / "a.parquet", grid("ab"))
    first = imported(source, tmp_path / "s")
    again = import_store(source=source, store=tmp_path / "s", format="parquet", settings=FACES)
    assert again == f"{tmp_path}/s: nothing to do, all 1 shards are sealed"
    write_faces(source, grid("abc"))
    assert imported(source, tmp_path / "s").fingerprint != first.fingerprint


def test_an_interrupted_import_is_no_store_and_is_resumed_to_the_same_bytes(tmp_path, capsys):
    rows, settings = grid("abc"), ImportSettings(space="s", rows_per_shard=4)
    source = write_faces(tmp_path / "a.parquet", rows)
    imported(source, tmp_path / "alone", settings)
    imported(source, tmp_path / "s", settings)
    (tmp_path / "s" / "store.json").unlink()
    sorted((tmp_path / "s" / "shards").glob("*.parquet"))[1].unlink()
    capsys.readouterr()
    imported(source, tmp_path / "s", settings)
    assert capsys.readouterr().err == f"{tmp_path}/s: shard 1 written (2 of 3)\n"
    assert files_under(tmp_path / "s") == files_under(tmp_path / "alone")


@pytest.mark.parametrize("name", ["letter.txt", "holiday"])
def test_what_is_no_store_is_not_replaced(tmp_path, name):
    source = write_faces(tmp_path / "a.parquet", grid("ab"))
    (tmp_path / "letter.txt").write_text("dear")
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo.jpg").write_text("me")
    with pytest.raises(StoreError, match=f"{name} exists and is not a store, so it is not replaced; choose another"):
        imported(source, tmp_path / name)


def test_a_missing_source_and_an_unknown_format_are_named(tmp_path):
    with pytest.raises(StoreError, match=r"gone.parquet does not exist; give what is to be imported"):
        imported(tmp_path / "gone.parquet", tmp_path / "s")
    with pytest.raises(ConfigError, match=f"no format 'csv'; choose one of {', '.join(FORMATS)}"):
        import_store(source=tmp_path, store=tmp_path / "s", format="csv", settings=FACES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header | {"version": 2}, "export.json: export version 2; this reseed reads 1"),
        (lambda header: header | {"dim": "many"}, r"export.json: what the export says of itself is damaged \(dim: "),
        (lambda header: "{", r"export.json: what the export says of itself is damaged \("),
    ],
)
def test_an_export_of_a_newer_version_or_with_damaged_facts_is_refused(tmp_path, change, message):
    store = write_odd_store(tmp_path / "store", ids=["a", "b"])
    export(store=store.path, output=tmp_path / "out", format="npy")
    path = tmp_path / "out" / "export.json"
    changed = change(read_record(path))
    path.write_text(changed if isinstance(changed, str) else sealed_text(changed))
    with pytest.raises(StoreError, match=message):
        import_store(source=tmp_path / "out", store=tmp_path / "s", format="npy", settings=FACES)


def test_a_source_in_order_is_streamed(tmp_path, monkeypatch):
    """Of its 10 MB of vectors a few batches of 0.5 MB and a shard of 1 MB are in memory, beside the rows' names."""
    monkeypatch.setattr("reseed.stages.interop.exchange.BATCH_ROWS", 1_000)
    count, dim = 20_000, 128
    np.save(tmp_path / "vectors.npy", np.repeat(np.arange(count, dtype=np.float32)[:, None], dim, axis=1))
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"utterance_id": "u{i}"}}\n' for i in range(count)))
    tracemalloc.start()
    settings = ImportSettings(space="s", rows_per_shard=2_000)
    import_store(source=tmp_path, store=tmp_path / "s", format="npy", settings=settings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6e6
    np.testing.assert_array_equal(EmbeddingStore(tmp_path / "s").vectors()[:, 7], np.arange(count))
