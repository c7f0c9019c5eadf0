"""The layouts of vectors that `import` takes beside its own formats: what people have lying about."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.import_ import ImportSettings, import_store
from reseed.store import EmbeddingStore, StoreError

PLAIN = np.arange(6, dtype=np.float32).reshape(3, 2)
BLURRED = PLAIN + 10
IDS, LABELS = ["a", "b", "c"], ["x", "x", "y"]


def imported(source: Path, store: Path, **settings: object) -> EmbeddingStore:
    import_store(source=source, store=store, settings=ImportSettings(space="toy:1", **settings))
    opened = EmbeddingStore(store)
    opened.verify()
    return opened


def has_both_views(store: EmbeddingStore) -> bool:
    assert (store.utterance_ids(), store.speaker_ids()) == (IDS, LABELS)
    assert store.views == ["clean", "blurred"]
    np.testing.assert_array_equal(store.vectors("clean"), PLAIN)
    np.testing.assert_array_equal(store.vectors("blurred"), BLURRED)
    return True


def test_an_array_with_a_list_of_ids_beside_it_is_enough(tmp_path):
    np.save(tmp_path / "faces.npy", PLAIN)
    (tmp_path / "faces.txt").write_text("007\nb\nc\n")
    store = imported(tmp_path / "faces.npy", tmp_path / "s")
    assert (store.utterance_ids(), store.speaker_ids(), store.views) == (["007", "b", "c"], [None] * 3, ["clean"])


@pytest.mark.parametrize("name", ["faces.csv", "faces.tsv", "faces.parquet", "rows.csv"])
def test_an_array_takes_its_ids_labels_and_views_from_a_table_beside_it(tmp_path, name):
    np.save(tmp_path / "faces.npy", np.concatenate([PLAIN, BLURRED]))
    views = ["clean"] * 3 + ["blurred"] * 3
    columns = {"image": IDS * 2, "person": LABELS * 2, "seen": views}
    if name.endswith(".parquet"):
        pq.write_table(pa.table(columns), tmp_path / name)
    else:
        mark = "\t" if name.endswith(".tsv") else ","
        lines = [mark.join(row) for row in (tuple(columns), *zip(*columns.values(), strict=True))]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    assert has_both_views(imported(tmp_path / "faces.npy", tmp_path / "s", id="image", speaker="person", view="seen"))


def test_an_array_for_each_view_lies_in_a_folder_with_one_table(tmp_path):
    source = tmp_path / "faces"
    source.mkdir()
    np.save(source / "plain.npy", PLAIN)
    np.save(source / "blurred.npy", BLURRED)
    (source / "rows.csv").write_text("utterance_id,speaker_id\n" + "".join(map("{},{}\n".format, IDS, LABELS)))
    assert has_both_views(imported(source, tmp_path / "s", views={"clean": "plain.npy", "blurred": "blurred.npy"}))


def test_columns_of_a_parquet_file_are_views(tmp_path):
    table = pa.table({"utterance_id": IDS, "speaker_id": LABELS, "v0": PLAIN.tolist(), "v1": BLURRED.tolist()})
    pq.write_table(table, tmp_path / "faces.parquet")
    store = imported(tmp_path / "faces.parquet", tmp_path / "s", views={"clean": "v0", "blurred": "v1"})
    assert has_both_views(store)
    assert "v0" not in store.rows().column_names


@pytest.mark.parametrize("as_columns", [True, False])
def test_a_folder_as_hugging_face_datasets_writes_it_is_read(tmp_path, as_columns):
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "state.json").write_text("{}")
    if as_columns:
        table = pa.table({"utterance_id": IDS, "speaker_id": LABELS, "v0": PLAIN.tolist(), "v1": BLURRED.tolist()})
        settings = {"views": {"clean": "v0", "blurred": "v1"}}
    else:
        rows = {"utterance_id": IDS * 2, "speaker_id": LABELS * 2, "view": ["clean"] * 3 + ["blurred"] * 3}
        table, settings = pa.table(rows | {"embedding": [*PLAIN.tolist(), *BLURRED.tolist()]}), {}
    for number, part in enumerate((table.slice(0, 2), table.slice(2))):
        path = str(folder / f"data-0000{number}-of-00002.arrow")
        with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(part, max_chunksize=1)
    assert has_both_views(imported(folder, tmp_path / "s", **settings))


def test_a_store_becomes_another_name_of_its_files_with_a_list_of_labels(tmp_path):
    np.save(tmp_path / "a.npy", PLAIN)
    (tmp_path / "a.csv").write_text("utterance_id,speaker_id\n" + "".join(map("{},{}\n".format, IDS, LABELS)))
    first = imported(tmp_path / "a.npy", tmp_path / "first")
    labels = tmp_path / "labels.parquet"
    import_store(source=first.path, store=tmp_path / "second", settings=ImportSettings(), utterances=labels)
    second = EmbeddingStore(tmp_path / "second")
    assert (second.fingerprint, second.utterance_ids()) == (first.fingerprint, IDS)
    assert pq.read_table(labels).to_pydict() == {"utterance_id": IDS, "speaker_id": LABELS}
    shard = next((second.path / "shards").glob("*.h5"))
    assert shard.stat().st_nlink == 2


@pytest.mark.parametrize(
    ("files", "settings", "message"),
    [
        ({"a.bin": b""}, {}, r"a.bin is in no format that is known by its name; give --format kaldi, npy"),
        ({"a.npy": PLAIN}, {}, r"rows.jsonl is missing: .* or a.txt with an id on each line"),
        ({"a.npy": PLAIN, "a.txt": b"a\nb\n"}, {}, r"a.txt has 2 rows, .*a.npy 3 vectors; write one row for each"),
        ({"a.npy": PLAIN, "a.csv": b"utterance_id,x\na\nb\n"}, {}, r"a.csv line 2 has not as many fields"),
        ({"a.arrow": b"no arrow"}, {}, r"a.arrow cannot be read .*; give a Parquet file, or a stream of Arrow"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, files, settings, message):
    for name, content in files.items():
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        else:
            np.save(tmp_path / name, content)
    with pytest.raises(StoreError, match=message):
        imported(tmp_path / next(iter(files)), tmp_path / "s", **settings)


def test_views_of_unlike_shape_and_a_second_word_on_views_are_refused(tmp_path):
    table = pa.table({"utterance_id": IDS, "v0": PLAIN.tolist(), "v1": np.ones((3, 3)).tolist()})
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(table.append_column("view", pa.array(["clean"] * 3)), tmp_path / "b.parquet")
    for name, message in (("a", "v0, v1 differ in shape"), ("b", "has a column 'view', and columns are named for")):
        with pytest.raises(StoreError, match=message):
            imported(tmp_path / f"{name}.parquet", tmp_path / "s", views={"clean": "v0", "blurred": "v1"})
