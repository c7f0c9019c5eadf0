import sys

import numpy as np
import pyarrow as pa
import pytest

from reseed.store import ConfigError, EmbeddingStore, StoreError
from reseed.store.layouts import vector_column
from tests.store.stores import write

VIEWS = pytest.mark.parametrize("view", [None, "noise"])


def _vectors(table):
    return np.concatenate([chunk.flatten().to_numpy().reshape(-1, 4) for chunk in table["embedding"].chunks])


@VIEWS
@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_store_is_a_table_of_arrow_pandas_and_polars_in_the_order_of_its_vectors(tmp_path, dtype, vectors, view):
    write(tmp_path, dtype=dtype, vectors=vectors)
    store = EmbeddingStore(tmp_path)
    table, pandas, polars = store.to_arrow(view), store.to_pandas(view), store.to_polars(view)
    expected = store.vectors(view)
    filters = [("view", "==", view)] if view else None
    for found in (_vectors(table), np.stack(pandas["embedding"]), polars["embedding"].to_numpy()):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
    assert table.drop_columns(["embedding"]).equals(store.rows(filters=filters))
    assert list(pandas.columns) == polars.columns == table.column_names
    assert pandas["utterance_id"].tolist() == polars["utterance_id"].to_list() == table["utterance_id"].to_pylist()


def test_the_vectors_of_all_views_are_not_copied(tmp_path):
    write(tmp_path, dim=2048)
    store = EmbeddingStore(tmp_path)
    vectors = store.shard(0).vectors()
    assert isinstance(vectors, np.memmap)
    assert np.shares_memory(vector_column(vectors).flatten().to_numpy(), vectors)
    before = pa.total_allocated_bytes()
    frame = store.to_polars(columns=["view"])
    assert pa.total_allocated_bytes() - before < store.vectors().nbytes / 10
    assert frame.shape == (18, 2)


@VIEWS
def test_columns_are_chosen_by_name_and_may_be_none_at_all(tmp_path, view):
    write(tmp_path)
    store = EmbeddingStore(tmp_path)
    assert store.to_arrow(view, ["crop", "embedding"]).column_names == ["crop", "embedding"]
    np.testing.assert_array_equal(_vectors(store.to_arrow(view, [])), store.vectors(view))


def test_what_there_is_not_is_named(tmp_path, monkeypatch):
    write(tmp_path)
    store = EmbeddingStore(tmp_path)
    with pytest.raises(StoreError, match=r"no view 'nosie'; there are clean, noise, reverb"):
        store.to_arrow("nosie")
    with pytest.raises(StoreError, match=r"no column 'speaker'; there are utterance_id, speaker_id, view, crop"):
        store.to_polars(columns=["speaker"])
    for package in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ConfigError, match=rf"{package} is not installed .*; run `uv pip install {package}`"):
            getattr(store, f"to_{package}")()
