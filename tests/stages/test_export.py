import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.export import export
from reseed.stages.interop.table import FORMATS
from reseed.store import ConfigError, Declaration, EmbeddingStore, StoreError, WriteError, finalise, write_shard
from reseed.store.inputs import DeclaredInputs
from tests.stages.interop.examples import file_size_limit, files_under, output_of, write_odd_store
from tests.stages.stores import write_store

formats = pytest.mark.parametrize("kind", FORMATS)


def test_the_sentence_says_what_was_written(tmp_path):
    store = write_store(tmp_path / "store")
    sentence = export(store=store.path, output=tmp_path / "out", format="npy", view="noise")
    assert sentence == f"{tmp_path}/out: 24 x 16 vectors of {tmp_path}/store, views noise, written as npy"


def test_an_unknown_format_or_view_names_the_choices(tmp_path):
    store = write_store(tmp_path / "store")
    with pytest.raises(ConfigError, match=f"no format 'csv'; choose one of {', '.join(FORMATS)}"):
        export(store=store.path, output=tmp_path / "out", format="csv")
    with pytest.raises(ConfigError, match="no view 'hum'; there are clean, noise, reverb"):
        export(store=store.path, output=tmp_path / "out", format="npy", view="hum")


def test_an_export_into_the_store_itself_is_refused(tmp_path):
    store = write_store(tmp_path / "store")
    for output in (store.path, store.path / "out"):
        with pytest.raises(ConfigError, match="(is|lies in) .*/store, which is to be read"):
            export(store=store.path, output=output, format="npy")
    store.verify()


@formats
def test_nothing_but_an_older_export_of_the_format_is_replaced(tmp_path, kind):
    store = write_store(tmp_path / "store")
    directory, file, table = tmp_path / "holiday", tmp_path / "letter.txt", tmp_path / "other.parquet"
    directory.mkdir()
    (directory / "photo.jpg").write_text("me")
    file.write_text("dear")
    pq.write_table(pa.table({"a": [1]}), table)
    other_kind = next(other for other in FORMATS if other != kind)
    export(store=store.path, output=tmp_path / "foreign", format=other_kind)
    before = files_under(tmp_path)
    for output in (directory, file, table, tmp_path / "foreign"):
        with pytest.raises(
            StoreError, match=f"{output.name} exists and is not .*so it is not replaced; choose another"
        ):
            export(store=store.path, output=output, format=kind)
    assert files_under(tmp_path) == before


@formats
def test_an_export_names_no_path_of_this_machine(tmp_path, kind):
    store = write_store(tmp_path / "secret-store")
    output = output_of(tmp_path / "public", kind)
    export(store=store.path, output=output, format=kind)
    files = [output] if output.is_file() else [path for path in output.iterdir() if path.suffix != ".scp"]
    assert not any(
        b"secret-store" in path.read_bytes() or str(tmp_path).encode() in path.read_bytes() for path in files
    )


@formats
def test_a_damaged_store_leaves_the_older_export_as_it_was(tmp_path, kind):
    """The second shard is damaged, so that the export breaks off after the first has been written."""
    store = write_odd_store(tmp_path / "store", ids=["a", "b"])
    output = output_of(tmp_path / "out", kind)
    export(store=store.path, output=output, format=kind)
    before = files_under(output.parent)
    damaged = sorted((store.path / "shards").glob("*.h5"))[1]
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(StoreError, match=f"{damaged.name} is damaged"):
        export(store=store.path, output=output, format=kind)
    assert files_under(output.parent) == before
    shutil.rmtree(output.parent)
    with pytest.raises(StoreError, match="is damaged"):
        export(store=store.path, output=output, format=kind)
    assert not output.parent.exists()


@formats
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path, kind):
    store = write_store(tmp_path / "store")
    output = output_of(tmp_path / "out", kind)
    with (
        pytest.raises(WriteError, match=rf"out/{output.name} cannot be written: it grows larger than a file may be"),
        file_size_limit(4_000),
    ):
        export(store=store.path, output=output, format=kind)
    assert not output.parent.exists()
    export(store=store.path, output=output, format=kind)


def test_a_killed_export_leaves_nothing_that_looks_finished_and_the_next_one_cleans_up(tmp_path):
    store = write_store(tmp_path / "store", utterances=2_000)
    output = tmp_path / "out"
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from reseed.stages.export import export
        export(store=Path(sys.argv[1]), output=Path(sys.argv[2]), format="webdataset")
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(store.path), str(output)])
    while not list(tmp_path.glob(".out.tmp-*/*")) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not output.exists()
    export(store=store.path, output=output, format="npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


def test_a_store_of_several_shards_is_exported_in_row_order(tmp_path):
    store = write_store(tmp_path / "store", shards=5)
    export(store=store.path, output=tmp_path / "out", format="npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "vectors.npy"), EmbeddingStore(store.path).vectors())


def test_a_store_without_vectors_is_not_exported(tmp_path):
    declaration = Declaration(4, "float32", {"clean": {}}, 1, "toy:1", DeclaredInputs())
    nothing = pa.table({name: [] for name in ("utterance_id", "view", "crop")})
    name = write_shard(tmp_path / "store", 0, np.empty((0, 4), np.float32), nothing, declaration)
    finalise(tmp_path / "store", declaration, [name], 0)
    with pytest.raises(StoreError, match="store holds no vectors; there is nothing to export"):
        export(store=tmp_path / "store", output=tmp_path / "out", format="parquet")
