"""Earlier states of a store: readable by their numbers until they expire, or something is dropped from the store."""

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from reseed.store import (
    EmbeddingStore,
    Reject,
    StoreChangedError,
    StoreError,
    annotate,
    append_shards,
    compact,
    convert,
    drop,
    edited,
    finalise,
)
from reseed.store.copying import copy_store
from reseed.store.expiry import expire
from reseed.store.share import is_linked
from reseed.store.url import Url
from tests.object_server import needs_s3, served, server
from tests.store.stores import assert_same_files, declare, drop_and_die, write, write_shards

__all__ = ["served", "server"]

SHARDS = [("u0", "u1"), ("u2", "u3"), ("u4",)]


def drop_view(store, view="reverb"):
    def without(declaration):
        return replace(declaration, views={n: recipe for n, recipe in declaration.views.items() if n != view})

    convert(store, f"drop view {view}", without)


def append(store, name):
    before = EmbeddingStore(store)
    declaration = edited(before.header.declaration, "append", name)
    names = write_shards(store, [(name,)], declaration, first=len(before.shards))
    append_shards(store, names, declaration, before.header.expected + 1, before.rejects())


def states(store):
    return [(each.number, each.by, each.rows, each.state) for each in EmbeddingStore(store).versions()]


def look(store):
    store.verify()
    return store.vectors().tobytes(), store.rows().to_pydict(), store.rejects(), store.views, store.fingerprint


def bytes_of(store):
    return b"".join(path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file())


@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
def test_every_state_is_read_by_its_number_as_it_was(tmp_path, vectors):
    declaration = declare(vectors=vectors)
    rejects = [Reject("bad", "extract", "is silent")]
    finalise(tmp_path, declaration, write_shards(tmp_path, SHARDS, declaration), 6, rejects)
    table = pa.table({"utterance_id": ["u0", "bad"], "mood": ["calm", "none"]})
    seen = [look(EmbeddingStore(tmp_path))]
    for edit in (
        lambda: append(tmp_path, "u5"),
        lambda: drop_view(tmp_path),
        lambda: annotate(tmp_path, table, ["mood"], "digest"),
        lambda: compact(tmp_path, rows_per_shard=1000),
    ):
        edit()
        seen.append(look(EmbeddingStore(tmp_path)))
        assert [look(EmbeddingStore(tmp_path, version=number)) for number in range(1, len(seen) + 1)] == seen
    assert states(tmp_path) == [
        (1, "", 30, "kept"),
        (2, "append", 36, "kept"),
        (3, "drop view reverb", 24, "kept"),
        (4, "annotate mood", 24, "kept"),
        (5, "compact to 1 shard", 24, "present"),
    ]
    assert EmbeddingStore(tmp_path, version=5).version is None
    EmbeddingStore(tmp_path, version=2).get("u5", view="reverb")


def test_a_state_costs_what_was_replaced_since_and_nothing_else(tmp_path):
    write(tmp_path, SHARDS)
    append(tmp_path, "u5")
    assert not (tmp_path / "versions" / "shards").exists(), "an append replaces nothing"
    table = pa.table({"utterance_id": ["u0"], "mood": ["calm"]})
    annotate(tmp_path, table, ["mood"], "digest")
    retired = [path for path in (tmp_path / "versions" / "shards").iterdir() if path.suffix == ".h5"]
    assert all(path.stat().st_nlink == 2 for path in retired), "its vectors are those of the present state"
    assert not is_linked(tmp_path)
    shutil.copytree(tmp_path / "shards", tmp_path / "other", copy_function=os.link)
    assert is_linked(tmp_path)


def test_an_edit_that_changes_nothing_makes_no_state(tmp_path):
    write(tmp_path, SHARDS)
    compact(tmp_path, rows_per_shard=1000)
    compact(tmp_path, rows_per_shard=1000)
    assert [number for number, *_ in states(tmp_path)] == [1, 2]


def test_the_present_state_is_what_it_is_without_a_past(tmp_path):
    for name in ("edited", "fresh"):
        (tmp_path / name).mkdir()
    write(tmp_path / "edited", SHARDS)
    compact(tmp_path / "edited", rows_per_shard=1000)
    copy_store(tmp_path / "edited", tmp_path / "fresh")
    assert_same_files(tmp_path / "edited", tmp_path / "fresh")
    shutil.rmtree(tmp_path / "edited" / "versions")
    EmbeddingStore(tmp_path / "edited").verify()
    assert states(tmp_path / "edited") == [(1, "", 30, "present")]


@pytest.mark.parametrize("dropped", [{"utterances": ["u2"]}, {"speakers": ["s1"]}, {"utterances": ["bad"]}])
def test_what_was_dropped_is_on_the_disk_nowhere(tmp_path, dropped):
    declaration = declare()
    rejects = [Reject("bad", "extract", "is silent")]
    finalise(tmp_path, declaration, write_shards(tmp_path, SHARDS, declaration), 6, rejects)
    gone = EmbeddingStore(tmp_path).get("u2", view="clean").tobytes()
    table = pa.table({"utterance_id": ["u2", "bad"], "mood": ["secretive", "hidden"]})
    annotate(tmp_path, table, ["mood"], "digest")
    drop_view(tmp_path)
    compact(tmp_path, rows_per_shard=1000)
    drop(tmp_path, **dropped)
    said = bytes_of(tmp_path)
    if dropped != {"utterances": ["bad"]}:
        assert gone not in said
        assert b"u2" not in said
        assert b"secretive" not in said
    else:
        assert b"bad" not in said
    (name,) = dropped
    assert states(tmp_path)[-2:] == [(4, "compact to 1 shard", 20, "expired"), (*states(tmp_path)[-1],)]
    assert states(tmp_path)[-1][1] == f"drop 1 {name[:-1]}"
    with pytest.raises(StoreError, match=r"version 3 is expired; there are 5 \(`reseed info --versions`\)"):
        EmbeddingStore(tmp_path, version=3)
    EmbeddingStore(tmp_path).verify()


def test_a_drop_needs_no_log_that_can_be_read(tmp_path):
    write(tmp_path, SHARDS)
    drop_view(tmp_path)
    (tmp_path / "versions" / "log.json").write_text("no log")
    with pytest.raises(StoreError, match=r"log.json is damaged .*; remove the folder versions, which holds earlier"):
        drop_view(tmp_path, "noise")
    EmbeddingStore(tmp_path).verify()
    gone = EmbeddingStore(tmp_path).get("u2", view="clean").tobytes()
    drop(tmp_path, utterances=["u2"])
    assert gone not in bytes_of(tmp_path)
    assert [state for *_, state in states(tmp_path)] == ["expired", "present"]


def test_a_drop_that_dies_before_it_forgets_is_completed_by_the_next_command(tmp_path, monkeypatch):
    write(tmp_path, SHARDS)
    gone = EmbeddingStore(tmp_path).get("u2", view="clean").tobytes()
    compact(tmp_path, rows_per_shard=1000)
    drop_and_die(tmp_path, monkeypatch, utterances=["u2"])
    assert gone in bytes_of(tmp_path)
    append(tmp_path, "u5")
    assert gone not in bytes_of(tmp_path)
    assert [state for *_, state in states(tmp_path)] == ["expired", "expired", "kept", "present"]


def test_states_expire_by_number_and_by_date_and_what_only_they_name_goes(tmp_path):
    write(tmp_path, SHARDS)
    for name in ("u5", "u6"):
        append(tmp_path, name)
    drop_view(tmp_path)
    compact(tmp_path, rows_per_shard=1000)
    log = json.loads((tmp_path / "versions" / "log.json").read_text())
    for each, day in zip(log["versions"], ("01", "02", "03", "04", "05"), strict=True):
        each["made"] = f"2026-03-{day}T12:00:00+00:00"
    del log["digest"]
    (tmp_path / "versions" / "log.json").write_text(json.dumps(log))
    kept = look(EmbeddingStore(tmp_path, version=4))
    assert expire(tmp_path, keep=9).versions == []
    assert [each.number for each in expire(tmp_path, before=datetime(2026, 3, 3, 0, 0, tzinfo=UTC)).versions] == [1]
    assert [state for *_, state in states(tmp_path)] == ["expired", "kept", "kept", "kept", "present"]
    freed = expire(tmp_path, keep=2)
    assert [each.number for each in freed.versions] == [2, 3]
    assert freed.bytes > 0
    assert look(EmbeddingStore(tmp_path, version=4)) == kept
    expire(tmp_path)
    assert [path.name for path in (tmp_path / "versions").iterdir()] == ["log.json"]
    drop_view(tmp_path, "noise")
    assert [number for number, *_ in states(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_a_state_that_expires_while_it_is_read_is_said_to_be_gone(tmp_path):
    write(tmp_path, SHARDS)
    drop_view(tmp_path)
    store = EmbeddingStore(tmp_path, version=1)
    expire(tmp_path)
    with pytest.raises((StoreChangedError, StoreError), match="version 1 is expired"):
        store.vectors()


def test_another_store_in_its_place_has_no_past(tmp_path):
    write(tmp_path, SHARDS)
    drop_view(tmp_path)
    write(tmp_path, SHARDS, space="toy:2")
    assert states(tmp_path) == [(1, "", 30, "present")]
    assert not (tmp_path / "versions").exists()


def test_a_damaged_file_of_an_earlier_state_is_named(tmp_path):
    write(tmp_path, SHARDS)
    drop_view(tmp_path)
    path = min((tmp_path / "versions" / "shards").glob("*.h5"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    EmbeddingStore(tmp_path).verify()
    with pytest.raises(StoreError, match=f"{path} is damaged: its SHA-256 is another"):
        EmbeddingStore(tmp_path, version=1).verify()


def test_an_earlier_state_is_copied_as_a_store_of_its_own(tmp_path):
    write(tmp_path / "s", SHARDS)
    shutil.copytree(tmp_path / "s", tmp_path / "before")
    drop_view(tmp_path / "s")
    copy_store(tmp_path / "s", tmp_path / "back", version=1)
    assert_same_files(tmp_path / "before", tmp_path / "back")
    assert not (tmp_path / "back" / "versions").exists()


@pytest.mark.parametrize(
    "change", [{"number": "a"}, {"made": "soon"}, {"made": "2026-01-01"}, {"rows": None}, {"x": 1}]
)
def test_a_log_that_somebody_else_has_written_is_refused_in_one_line(tmp_path, change):
    write(tmp_path, SHARDS)
    drop_view(tmp_path)
    log = json.loads((tmp_path / "versions" / "log.json").read_text())
    log["versions"][0].update(change)
    del log["digest"]
    (tmp_path / "versions" / "log.json").write_text(json.dumps(log))
    with pytest.raises(StoreError, match=r"versions/log.json is damaged \("):
        EmbeddingStore(tmp_path, version=1)


@needs_s3
def test_earlier_states_are_read_elsewhere_and_go_with_the_next_copy(served, tmp_path):
    write(tmp_path / "s", SHARDS)
    before = EmbeddingStore(tmp_path / "s").vectors().copy()
    drop_view(tmp_path / "s")
    shutil.copytree(tmp_path / "s", served.root / "bucket" / "s")  # as another program copies it
    there = EmbeddingStore("s3://bucket/s", version=1)
    there.verify()
    assert np.array_equal(there.vectors(), before)
    assert [each.state for each in there.versions()] == ["kept", "present"]
    copy_store(tmp_path / "s", Url("s3://bucket/s"))
    assert EmbeddingStore("s3://bucket/s", version=1).views == ["clean", "noise", "reverb"]
    drop(tmp_path / "s", utterances=["u0"])
    copy_store(tmp_path / "s", Url("s3://bucket/s"))
    assert not [path for path in (served.root / "bucket" / "s" / "versions").rglob("*") if path.is_file()]
