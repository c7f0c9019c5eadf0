"""Columns that are added to a catalogue travel with their rows, and no vector is touched."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.annotate import annotate
from reseed.stages.drop import drop
from reseed.stages.extend import extend
from reseed.store import EmbeddingStore, Reject, StoreError, compact
from reseed.store.expiry import expire
from tests.stages.stores import write_store
from tests.stages.test_extend import MORE, ordered
from tests.stages.test_extract import VIEWS, levels, manifests, run
from tests.store.stores import write

__all__ = ["levels", "manifests"]
SHARDS = [("u0", "u1"), ("u2", "u3"), ("u4",)]


def labels(folder: Path, **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), folder / "labels.parquet")
    return folder / "labels.parquet"


@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
def test_values_are_found_by_their_ids_and_vectors_stay_what_they_are(tmp_path, vectors):
    declaration = write(tmp_path / "s", SHARDS, vectors=vectors)
    before = EmbeddingStore(tmp_path / "s").vectors().tobytes()
    inodes = {path.stat().st_ino for path in (tmp_path / "s" / "shards").glob("*.h5")}
    table = labels(tmp_path, utterance_id=["u3", "u0"], emotion=["calm", "angry"], age=[30.5, None])
    said = annotate(store=tmp_path / "s", table=table)
    assert said.endswith("s: emotion, age added to 12 of 30 rows")
    store = EmbeddingStore(tmp_path / "s")
    store.verify()
    assert store.vectors().tobytes() == before
    assert store.fingerprint == declaration.fingerprint
    rows = store.rows(["utterance_id", "emotion", "age"]).to_pylist()
    said_of = {(row["utterance_id"], row["emotion"], row["age"]) for row in rows}
    known = {("u0", "angry", None), ("u3", "calm", 30.5)}
    assert said_of == known | {(name, None, None) for name in ("u1", "u2", "u4")}
    assert {path.stat().st_ino for path in (tmp_path / "s" / "shards").glob("*.h5")} == inodes, "not written again"
    expire(tmp_path / "s")
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "s" / "shards").iterdir())


def test_values_of_one_view_and_crop_are_theirs_alone_and_a_csv_will_do(tmp_path):
    write(tmp_path / "s", SHARDS)
    (tmp_path / "snr.csv").write_text("utterance_id,view,crop,measured_db,other\nu1,noise,1,4.5,x\nu1,noise,0,5.5,y\n")
    annotate(store=tmp_path / "s", table=tmp_path / "snr.csv", columns=["measured_db"])
    rows = EmbeddingStore(tmp_path / "s").rows()
    assert "other" not in rows.column_names
    found = {(r["utterance_id"], r["view"], r["crop"]): r["measured_db"] for r in rows.to_pylist() if r["measured_db"]}
    assert found == {("u1", "noise", 1): 4.5, ("u1", "noise", 0): 5.5}


def test_a_column_that_is_added_again_is_replaced_and_the_same_one_changes_nothing(tmp_path):
    write(tmp_path / "s", SHARDS)
    annotate(store=tmp_path / "s", table=labels(tmp_path, utterance_id=["u0", "u4"], label=[1, 2]))
    before = (tmp_path / "s" / "store.json").read_bytes()
    annotate(store=tmp_path / "s", table=labels(tmp_path, utterance_id=["u0", "u4"], label=[1, 2]))
    assert (tmp_path / "s" / "store.json").read_bytes() == before
    annotate(store=tmp_path / "s", table=labels(tmp_path, utterance_id=["u4"], label=[3]))
    rows = EmbeddingStore(tmp_path / "s").rows(["utterance_id", "label"]).to_pylist()
    assert {(row["utterance_id"], row["label"]) for row in rows if row["label"]} == {("u4", 3)}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"utterance_id": ["u0", "u9"], "label": [1, 2]}, "has no utterance_id 'u9', which the table lists"),
        ({"utterance_id": ["u0", "u0"], "label": [1, 2]}, "lists the same utterance_id twice"),
        ({"utterance_id": ["u0"], "speaker_id": ["s9"]}, "speaker_id is a column of the store itself"),
        ({"name": ["u0"], "label": [1]}, "has no column utterance_id, by which rows are found"),
        ({"utterance_id": ["u0"]}, "has no column 'utterance_id' to add; there are none"),
        ({"utterance_id": ["u0"], "view": ["music"], "label": [1]}, "has no utterance_id 'u0', view 'music'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_and_nothing_changes(tmp_path, columns, said):
    write(tmp_path / "s", SHARDS)
    before = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match=said):
        annotate(store=tmp_path / "s", table=labels(tmp_path, **columns))
    assert {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
def test_damage_of_vectors_is_still_damage_once_columns_were_added(tmp_path, vectors):
    write(tmp_path / "s", SHARDS, vectors=vectors)
    damaged = min((tmp_path / "s" / "shards").glob("*.h5" if vectors == "hdf5" else "*.parquet"))
    content = bytearray(damaged.read_bytes())
    content[-70 if vectors == "hdf5" else 40] ^= 1
    damaged.write_bytes(content)
    table = labels(tmp_path, utterance_id=["u0"], label=[1])
    if vectors == "parquet":
        with pytest.raises(StoreError, match="damaged"):
            annotate(store=tmp_path / "s", table=table)
    else:
        annotate(store=tmp_path / "s", table=table)  # reads no vectors
    with pytest.raises(StoreError, match="damaged"):
        EmbeddingStore(tmp_path / "s").verify()


def test_columns_travel_with_rows_through_every_edit(manifests, tmp_path):
    run(manifests, tmp_path / "s")
    ids = EmbeddingStore(tmp_path / "s").utterance_ids()
    annotate(
        store=tmp_path / "s", table=labels(tmp_path, utterance_id=ids[1:], label=[f"of {name}" for name in ids[1:]])
    )
    extend(order=ordered(manifests), store=tmp_path / "s")
    drop(store=tmp_path / "s", views=["clean"], utterances=ids[3:4])
    compact(tmp_path / "s", rows_per_shard=1_000)
    store = EmbeddingStore(tmp_path / "s")
    store.verify()
    rows = store.rows(["utterance_id", "view", "label"]).to_pylist()
    assert {row["view"] for row in rows} == {*MORE, *VIEWS} - {"clean"}
    assert {(row["utterance_id"], row["label"]) for row in rows} == {
        (name, None if name == ids[0] else f"of {name}") for name in ids if name != ids[3]
    }


def test_utterances_that_were_rejected_may_be_listed_and_conditions_are_views(tmp_path):
    write_store(tmp_path / "s", utterances=2, rejects=(Reject("utt-lost", "extract", "is silent"),))
    listed = {"utterance_id": ["utt-000", "utt-lost"], "condition": ["noise", "noise"], "speech_s": [1.5, 0.0]}
    annotate(store=tmp_path / "s", table=labels(tmp_path, **listed))
    rows = EmbeddingStore(tmp_path / "s").rows().to_pylist()
    found = {(row["utterance_id"], row["view"]) for row in rows if row["speech_s"] is not None}
    assert found == {("utt-000", "noise")}
