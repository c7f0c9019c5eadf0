import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.export import export
from reseed.stages.import_ import ImportSettings, import_store
from reseed.stages.interop.parquet import ParquetReader
from reseed.store import EmbeddingStore, StoreError
from tests.stages.interop.examples import DIM, ODD_IDS, write_odd_store


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> EmbeddingStore:
    return write_odd_store(tmp_path_factory.mktemp("parquet") / "store")


@pytest.fixture(scope="module")
def exported(store) -> Path:
    output = store.path.with_name("out.parquet")
    export(store=store.path, output=output, format="parquet")
    return output


def imported(source: Path, store: Path, **settings) -> EmbeddingStore:
    settings = ImportSettings(**{"space": "arcface:r50", **settings})
    import_store(source=source, store=store, format="parquet", settings=settings)
    return EmbeddingStore(store)


def test_vectors_lie_in_a_plain_column_of_fixed_size_with_checksums(exported):
    schema = pq.read_schema(exported)
    assert schema.field("embedding").type == pa.list_(pa.field("element", pa.float32(), nullable=False), DIM)
    assert not schema.field("embedding").nullable
    header = json.loads(schema.metadata[b"reseed_export"])
    assert (header["dim"], header["space"], header["views"][0]["name"]) == (DIM, "toy:1", "clean")
    metadata = pq.read_metadata(exported).row_group(0)
    columns = {metadata.column(i).path_in_schema: metadata.column(i) for i in range(metadata.num_columns)}
    vectors = columns["embedding.list.element"]
    assert not {"RLE_DICTIONARY", "PLAIN_DICTIONARY"} & set(vectors.encodings)
    assert vectors.compression == "UNCOMPRESSED"
    assert columns["utterance_id"].is_stats_set


def test_half_floats_leave_as_floats(tmp_path):
    store = write_odd_store(tmp_path / "store", dtype="float16", ids=["a", "b"])
    export(store=store.path, output=tmp_path / "out.parquet", format="parquet")
    column = pq.read_table(tmp_path / "out.parquet")["embedding"]
    assert column.type.value_type == pa.float32()
    np.testing.assert_array_equal(np.stack(column.to_numpy()), store.vectors().astype(np.float32))


def test_row_groups_are_of_a_size_that_readers_like(tmp_path):
    store = write_odd_store(tmp_path / "store", ids=[f"u{i}" for i in range(6_000)])
    export(store=store.path, output=tmp_path / "out.parquet", format="parquet")
    metadata = pq.read_metadata(tmp_path / "out.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [16_384, 16_384, 3_232]


def test_duckdb_reads_the_export(exported, store):
    duckdb = pytest.importorskip("duckdb")
    query = f"select utterance_id, embedding from '{exported}' where view = 'clean' and crop = 0 and snr_db is null"
    ids, vectors = zip(*duckdb.sql(query).fetchall(), strict=True)
    assert list(ids) == ODD_IDS
    np.testing.assert_array_equal(np.array(vectors, np.float32), store.vectors("clean")[::2])


def test_polars_reads_the_export_as_an_array(exported, store):
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(exported)
    assert frame.schema["embedding"] == polars.Array(polars.Float32, DIM)
    np.testing.assert_array_equal(frame["embedding"].to_numpy(), store.vectors())
    assert frame["seed"].max() == 2**64 - 1


def test_hugging_face_datasets_read_the_export(exported, store, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    loaded = datasets.Dataset.from_parquet(str(exported), cache_dir=str(tmp_path))
    assert loaded.features["embedding"].length == DIM
    np.testing.assert_array_equal(loaded.with_format("numpy")["embedding"][:], store.vectors())
    assert loaded["utterance_id"][::6] == ODD_IDS


def test_what_polars_and_duckdb_write_is_read(exported, store, tmp_path):
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    frame = polars.read_parquet(exported).with_columns(polars.col("emotion").cast(polars.Categorical))
    frame.write_parquet(tmp_path / "polars.parquet")
    duckdb.sql(f"copy (select * from '{exported}') to '{tmp_path / 'duckdb.parquet'}' (format parquet)")
    for writer in ("polars", "duckdb"):
        copy = imported(tmp_path / f"{writer}.parquet", tmp_path / writer)
        np.testing.assert_array_equal(copy.vectors(), store.vectors())
        assert copy.rows().to_pylist() == store.rows().to_pylist()


@pytest.mark.parametrize("kind", [pa.float64(), pa.float16(), pa.int8()])
@pytest.mark.parametrize("lists", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 2)])
def test_lists_of_any_numbers_are_vectors(tmp_path, lists, kind):
    vectors = pa.array([[1, 2], [3, 4]]).cast(lists(kind))
    pq.write_table(pa.table({"name": ["a", "b"], "face": vectors}), tmp_path / "a.parquet")
    store = imported(tmp_path / "a.parquet", tmp_path / "store", id="name", embedding="face")
    np.testing.assert_array_equal(store.vectors(), [[1, 2], [3, 4]])


def test_a_directory_is_read_in_the_order_of_its_names(tmp_path):
    (tmp_path / "in").mkdir()
    for name, ids in (("b", ["u2"]), ("a", ["u0", "u1"])):
        table = pa.table({"utterance_id": ids, "embedding": [[1.0, 2.0]] * len(ids), name: [1] * len(ids)})
        pq.write_table(table, tmp_path / "in" / f"{name}.parquet")
    store = imported(tmp_path / "in", tmp_path / "store")
    assert store.rows(["utterance_id", "a", "b"]).to_pylist() == [
        {"utterance_id": "u0", "a": 1, "b": None},
        {"utterance_id": "u1", "a": 1, "b": None},
        {"utterance_id": "u2", "a": None, "b": 1},
    ]


def test_a_missing_vector_or_number_is_a_reject(tmp_path):
    table = pa.table({"utterance_id": ["a", "b", "c"], "embedding": [[1.0, 2.0], None, [None, 1.0]]})
    pq.write_table(table, tmp_path / "a.parquet")
    store = imported(tmp_path / "a.parquet", tmp_path / "store")
    assert store.utterance_ids() == ["a"]
    assert store.header.rejected == 2


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1.0, 2.0], [1.0]], r"a.parquet: a.parquet row 1 has 1 dimensions, a.parquet row 0 has 2"),
        ([1.0, 2.0], "column 'embedding' holds double, not lists of numbers"),
        ([["a"], ["b"]], "column 'embedding' holds list<.*string>, not lists of numbers"),
        ([None, None], "column 'embedding' holds null, not lists"),
        (pa.array([None, None], pa.list_(pa.float32())), "begins with 16384 rows without a vector"),
    ],
)
def test_columns_that_hold_no_vectors_are_named(tmp_path, column, message):
    pq.write_table(pa.table({"utterance_id": ["a", "b"], "embedding": column}), tmp_path / "a.parquet")
    with pytest.raises(StoreError, match=message):
        imported(tmp_path / "a.parquet", tmp_path / "store")


def test_missing_columns_damaged_files_and_mixed_exports_are_named(exported, tmp_path):
    with pytest.raises(StoreError, match="has no column 'face'; it has utterance_id, .*: name the one of vectors"):
        ParquetReader(exported, "face")
    damaged = bytearray(exported.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    (tmp_path / "flipped.parquet").write_bytes(damaged)
    with pytest.raises(StoreError, match="flipped.parquet is damaged"):
        list(ParquetReader(tmp_path / "flipped.parquet").batches())
    (tmp_path / "cut.parquet").write_bytes(damaged[:-9])
    with pytest.raises(StoreError, match="cut.parquet is damaged"):
        ParquetReader(tmp_path / "cut.parquet")
    (tmp_path / "both").mkdir()
    with pytest.raises(StoreError, match="both holds no .parquet file"):
        ParquetReader(tmp_path / "both")
    for name, ids in (("a", ["u0", "u1"]), ("b", ["u2", "u3", "u4"])):
        store = write_odd_store(tmp_path / name, ids=ids)
        export(store=store.path, output=tmp_path / "both" / f"{name}.parquet", format="parquet")
    with pytest.raises(StoreError, match="both holds exports of different stores; import them apart"):
        ParquetReader(tmp_path / "both")
