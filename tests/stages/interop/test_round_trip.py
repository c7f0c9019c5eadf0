import numpy as np
import pytest

from reseed.stages.export import export
from reseed.stages.import_ import ImportSettings, import_store
from reseed.stages.interop.table import FORMATS
from reseed.store import EmbeddingStore
from tests.stages.interop.examples import ODD_IDS, VIEWS, output_of, write_odd_store

SMALL_SHARDS = ImportSettings(rows_per_shard=18)
formats = pytest.mark.parametrize("kind", FORMATS)


def round_trip(store: EmbeddingStore, kind: str, view: str | None = None) -> EmbeddingStore:
    output, copy = output_of(store.path.parent, kind), store.path.with_name("copy")
    export(store=store.path, output=output, format=kind, view=view)
    import_store(source=output, store=copy, format=kind, settings=SMALL_SHARDS)
    EmbeddingStore(copy).verify()
    return EmbeddingStore(copy)


@formats
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_ids_views_crops_and_vectors_come_back_bit_by_bit(tmp_path, kind, dtype):
    store = write_odd_store(tmp_path / "store", dtype=dtype)
    copy = round_trip(store, kind)
    names = ["utterance_id", "crop", "view", "speaker_id"]
    assert copy.rows(names).to_pylist() == store.rows(names).to_pylist()
    assert copy.vectors().tobytes() == store.vectors().tobytes()
    assert copy.dtype == store.dtype


@formats
def test_space_recipes_and_origin_come_back(tmp_path, kind):
    store = write_odd_store(tmp_path / "store", ids=["a", "b"])
    copy = round_trip(store, kind)
    assert (copy.space, copy.recipes, copy.crops) == ("toy:1", VIEWS, 2)
    assert copy.header.declaration.inputs.origin["fingerprint"] == store.fingerprint
    assert [parent.role for parent in copy.header.declaration.lineage] == ["source", "origin"]


@pytest.mark.parametrize("kind", sorted(set(FORMATS) - {"kaldi"}))
def test_every_column_comes_back_where_the_format_has_columns(tmp_path, kind):
    store = write_odd_store(tmp_path / "store")
    assert round_trip(store, kind).rows().to_pylist() == store.rows().to_pylist()


@formats
def test_one_view_is_exported_alone(tmp_path, kind):
    store = write_odd_store(tmp_path / "store")
    copy = round_trip(store, kind, view="ré-verb")
    assert copy.recipes == {"ré-verb": {"reverb": True}}
    np.testing.assert_array_equal(copy.vectors(), store.vectors("ré-verb"))
    assert copy.utterance_ids() == ODD_IDS


@formats
def test_the_same_store_gives_the_same_bytes_and_an_older_export_is_replaced(tmp_path, kind):
    store = write_odd_store(tmp_path / "store", ids=["a", "b", "c"])
    output = output_of(tmp_path, kind)

    def exported() -> dict[str, bytes]:
        export(store=store.path, output=output, format=kind)
        return {path.name: path.read_bytes() for path in ([output] if output.is_file() else output.iterdir())}

    assert exported() == exported()
