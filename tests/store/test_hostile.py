"""Stores that somebody else wrote, with other aims: each is one clear error, and nothing outside of it is touched."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from reseed.stages.extraction.lineage import extracted_store, lineage_graph
from reseed.store import EmbeddingStore, StoreError
from reseed.store.header import read_header
from tests.store.stores import write


def forge(store: Path, change) -> None:
    """Rewrite a header, digest and all."""
    raw = json.loads((store / "store.json").read_text())
    change(raw)
    raw["digest"] = "0" * 64
    text = json.dumps(raw, indent=1)
    (store / "store.json").write_text(text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest(), 1))


def each_key(raw: dict, path: tuple = ()):
    """Every key of a header, at any depth, as the way to it."""
    for key, value in raw.items() if isinstance(raw, dict) else enumerate(raw):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from each_key(value, (*path, key))


def opened(store: Path) -> str | None:
    """Open a store; returns what is wrong with it, if that is said as it should be."""
    try:
        EmbeddingStore(store)
    except StoreError as error:
        return str(error)
    return None


def written(folder: Path) -> Path:
    write(folder)
    return folder


def test_a_header_that_lacks_any_key_or_has_another_type_there_is_one_clear_error(tmp_path):
    store = written(tmp_path)
    text = (store / "store.json").read_text()
    free = {"inputs", "lineage", "recipe", "fingerprint", "digest"}
    for way in each_key(json.loads(text)):
        if free & {*way} and len(way) > 1:
            continue  # what a recipe holds is for its reader
        for wrong in (None, -1, "../x", [[]], {"a": 1}, "gone"):

            def change(raw, way=way, wrong=wrong):
                *above, key = way
                for step in above:
                    raw = raw[step]
                if wrong == "gone":
                    del raw[key]
                else:
                    raw[key] = wrong

            (store / "store.json").write_text(text)
            if way == ("digest",):
                continue
            forge(store, change)
            problem = opened(store)
            assert problem is None or str(store) in problem


@pytest.mark.parametrize(
    "name", ["../../secret", "/etc/passwd", "00000-aaaaaaaa/../../x", "..", "", "00000-\0", "00000-" + "a" * 300]
)
def test_names_in_a_header_stay_inside_the_store(tmp_path, name):
    store = written(tmp_path / "store")

    def change(raw):
        raw["shards"][0]["name"] = name
        for file in raw["shards"][0]["files"]:
            file["name"] = f"shards/{name}.{file['name'].rpartition('.')[2]}"

    forge(store, change)
    with pytest.raises(StoreError, match="is no header of format 1"):
        EmbeddingStore(store)
    store = written(tmp_path / "other")
    forge(store, lambda raw: raw["rejects"].update(name="../store/rejects.parquet"))
    with pytest.raises(StoreError, match="is no header of format 1"):
        EmbeddingStore(store)


@pytest.mark.parametrize("name", ["store.json", "rejects.parquet", "shards/*.h5", "shards/*.parquet"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_in_place_of_a_file_is_refused_and_never_read(tmp_path, name, kind):
    store = written(tmp_path)
    path = next(store.glob(name))
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(StoreError, match="is not a regular file"):
        EmbeddingStore(store).verify()


def test_a_header_nested_beyond_reason_is_one_clear_error(tmp_path):
    (tmp_path / "store.json").write_text("[" * 200_000)
    with pytest.raises(StoreError, match="cannot be read"):
        read_header(tmp_path)


def test_stores_that_claim_to_be_made_from_each_other_end(tmp_path):
    first, second = written(tmp_path / "first"), written(tmp_path / "second")
    for store, parent in ((first, second), (second, first)):
        digest = read_header(parent).fingerprint
        claim = {"role": "parent", "path": str(parent), "digest": digest}
        forge(store, lambda raw, claim=claim: raw.update(lineage=[claim]))
    with pytest.raises(StoreError, match="is said to be made from itself"):
        extracted_store(first)
    _, edges = lineage_graph(first, read_header(first))
    assert len(edges) == 2
