"""What may be replaced: an older one of the same, and nothing of anybody else."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.store import ConfigError, StoreError
from reseed.store.outputs import check_apart, check_file, check_folder, check_store, check_table_output
from tests.store.stores import write

SCHEMA = pa.schema({"id": pa.string(), "score": pa.float64()})


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        place = path / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return path


def may(path: Path) -> None:
    check_folder(path, "a thing", lambda path: (path / "mark").read_text() == "ours", "mark|part|sub/[0-9]+")


def test_a_folder_is_replaced_only_where_nothing_else_is_in_it(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "new", tmp_path / "empty", folder(tmp_path / "ours", mark="ours", sub__1="x")):
        may(path)
    for name, said in {"thesis": "'thesis'", "sub__x": "'sub/x'", "sub__1__deep": "'sub/1/deep'"}.items():
        with pytest.raises(ConfigError, match=f"move {said}"):
            may(folder(tmp_path / name.replace("_", "-"), mark="ours", **{name: "x"}))
    for number, text in enumerate(("theirs", "\udce4".encode("utf-8", "surrogateescape").decode("latin-1"))):
        with pytest.raises(ConfigError, match="is not a thing"):
            may(folder(tmp_path / f"theirs-{number}", mark=text))
    with pytest.raises(ConfigError, match="is not a thing"):
        may(folder(tmp_path / "half", part="x"))


def test_links_files_and_folders_that_must_stay_are_never_replaced(tmp_path, monkeypatch):
    ours = folder(tmp_path / "ours", mark="ours")
    (tmp_path / "link").symlink_to(ours)
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    for name in ("link", "dangling"):
        with pytest.raises(ConfigError, match="is a symbolic link"):
            may(tmp_path / name)
    (ours / "part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="'part', a symbolic link"):
        may(ours)
    (ours / "part").unlink()
    (ours / "sub").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="'sub', a symbolic link"):
        may(ours)
    (ours / "sub").unlink()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="is not a thing"):
        may(tmp_path / "file")
    monkeypatch.chdir(ours)
    with pytest.raises(ConfigError, match="the folder that you are in"):
        may(Path())
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", str(ours))
    with pytest.raises(ConfigError, match="your home"):
        may(ours)
    with pytest.raises(ConfigError, match="holds"):
        may(Path("/"))
    with pytest.raises(ConfigError, match="mounted"):
        may(Path("/proc"))


def test_a_file_is_replaced_only_by_one_of_its_kind(tmp_path):
    good, empty, swapped = (tmp_path / f"{name}.parquet" for name in ("good", "empty", "swapped"))
    pq.write_table(SCHEMA.empty_table(), good)
    empty.touch()
    pq.write_table(pa.table({"id": ["a"], "score": [1.0], "mine": [1]}), swapped)
    for path in (good, empty, tmp_path / "new"):
        check_table_output(path, "a table", SCHEMA)
    (tmp_path / "list.txt").write_text("my recordings")
    (tmp_path / "link").symlink_to(good)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path, said in {
        swapped: "is not a table",
        tmp_path / "list.txt": "is not a table",
        tmp_path / "link": "symbolic link",
        tmp_path / "folder": "is not a table but a folder",
        tmp_path / "pipe": "is not a table",
        Path("/dev/null"): "is not a table",
    }.items():
        with pytest.raises(ConfigError, match=said):
            check_table_output(path, "a table", SCHEMA)
    check_file(tmp_path / "list.txt", "a list", lambda path: path.read_text().startswith("my"))


def test_a_store_is_written_into_a_store_a_new_folder_or_what_a_kill_left(tmp_path):
    store = tmp_path / "store"
    write(store)
    (store / "notes.txt").write_text("of mine")  # nothing of a finished store's folder is removed
    (tmp_path / "link").symlink_to(store)
    for path in (store, tmp_path / "link", tmp_path / "new"):
        check_store(path)
    (store / "notes.txt").unlink()
    (store / "store.json").unlink()
    check_store(store)
    (store / "shards" / "00000-12345678.h5.mine").write_text("x")
    with pytest.raises(StoreError, match="h5.mine"):
        check_store(store)
    with pytest.raises(StoreError, match="is not that of a store"):
        check_store(folder(tmp_path / "other", **{"store.json": '{"shop": "open"}'}))
    with pytest.raises(StoreError, match="'a.txt'"):
        check_store(folder(tmp_path / "thesis", **{"a.txt": "x"}))
    with pytest.raises(StoreError, match="is not a store"):
        check_store(folder(tmp_path, file="x") / "file")


def test_an_output_is_apart_from_inputs_and_other_outputs(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    check_apart([tmp_path / "out", None], [tmp_path / "in", None])
    for out, said in {"in": "is ", "in/x": "lies in", "link/x/y": "lies in", ".": "holds", "in/../in": "is "}.items():
        with pytest.raises(ConfigError, match=f"{said}.*to be read"):
            check_apart([tmp_path / out], [tmp_path / "in"])
    with pytest.raises(ConfigError, match="to be written too"):
        check_apart([tmp_path / "a", tmp_path / "a"], [])
