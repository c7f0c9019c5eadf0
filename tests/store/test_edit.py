import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reseed.stages.drop import drop as drop_command
from reseed.stages.info import info
from reseed.stages.verify import verify
from reseed.store import (
    EmbeddingStore,
    Reject,
    StoreError,
    append_shards,
    compact,
    convert,
    drop,
    edited,
    finalise,
    read_rejects,
    write_shard,
)
from reseed.store.states import complete_removal
from tests.store.stores import catalogue_of, declare, drop_and_die, vectors_of, write, write_shards

ROOT = Path(__file__).resolve().parents[2]
SHARDS = [("u0", "u1"), ("u2", "u3"), ("u4",)]


def by_id(store: EmbeddingStore) -> dict[str, bytes]:
    return {
        name: b"".join(store.get(name, view=view).tobytes() for view in store.views) for name in store.utterance_ids()
    }


def files(path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in (path / "shards").iterdir()}


def test_append_adds_shards_and_touches_no_old_one(tmp_path):
    declaration = write(tmp_path, SHARDS)
    before, old_files = by_id(EmbeddingStore(tmp_path)), files(tmp_path)
    new = edited(declaration, "append", "digest of the new manifest")
    names = write_shards(tmp_path, [("u5", "u6")], new, first=3)
    append_shards(tmp_path, names, new, expected=7)
    store = EmbeddingStore(tmp_path)
    store.verify()
    assert store.utterance_ids() == [f"u{n}" for n in range(7)]
    assert before.items() <= by_id(store).items()
    assert old_files.items() <= files(tmp_path).items()
    assert store.fingerprint not in (declaration.fingerprint, "")
    assert "append" in info(store=tmp_path).summary()


def test_a_reader_opened_before_an_append_keeps_its_state(tmp_path):
    declaration = write(tmp_path, SHARDS)
    reader = EmbeddingStore(tmp_path)
    before = reader.vectors().copy()
    new = edited(declaration, "append", "x")
    append_shards(tmp_path, write_shards(tmp_path, [("u5",)], new, first=3), new, expected=6)
    np.testing.assert_array_equal(reader.vectors(), before)
    assert len(EmbeddingStore(tmp_path)) == len(reader) + 6


@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
def test_an_append_does_not_put_damage_on_record_as_sound(tmp_path, vectors):
    declaration = write(tmp_path, SHARDS, vectors=vectors)
    damaged = min((tmp_path / "shards").glob("*.parquet"))
    with damaged.open("r+b") as file:
        file.seek(40)
        byte = file.read(1)[0]
        file.seek(40)
        file.write(bytes([byte ^ 1]))
    new = edited(declaration, "append", "x")
    shards = write_shards(tmp_path, [("u5",)], new, first=3)
    with pytest.raises(StoreError, match=f"missing or damaged, first {damaged.stem}"):
        append_shards(tmp_path, shards, new, expected=6)
    with pytest.raises(StoreError, match=damaged.name):
        EmbeddingStore(tmp_path).verify()


@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
def test_dropping_a_speaker_removes_every_byte_of_it(tmp_path, vectors):
    write(tmp_path, SHARDS, vectors=vectors)
    before = by_id(EmbeddingStore(tmp_path))
    gone = EmbeddingStore(tmp_path).get("u2", view="clean").tobytes()
    untouched = {name: time for name, time in files(tmp_path).items() if name.startswith(("00000", "00002"))}
    header = drop(tmp_path, speakers=["s1"])
    store = EmbeddingStore(tmp_path)
    store.verify()
    assert by_id(store) == {name: before[name] for name in ("u0", "u1", "u4")}
    assert (header.stored, header.expected) == (3, 3)
    assert not any(gone in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert not any(b"u2" in file.read_bytes() for file in tmp_path.rglob("*.parquet"))
    assert untouched.items() <= files(tmp_path).items()


def test_dropping_part_of_a_shard_keeps_the_rest_and_changes_the_fingerprint(tmp_path):
    declaration = write(tmp_path, SHARDS)
    before = by_id(EmbeddingStore(tmp_path))
    drop(tmp_path, utterances=["u1", "u4"])
    store = EmbeddingStore(tmp_path)
    assert by_id(store) == {name: before[name] for name in ("u0", "u2", "u3")}
    assert store.fingerprint != declaration.fingerprint


def test_dropping_what_is_not_there_changes_nothing(tmp_path):
    write(tmp_path, SHARDS)
    before = files(tmp_path)
    with pytest.raises(StoreError, match="has no utterance or speaker 'u9'; nothing was dropped"):
        drop(tmp_path, utterances=["u0", "u9"])
    assert files(tmp_path) == before


def test_a_rejected_utterance_can_be_dropped_and_others_stay_rejected(tmp_path):
    declaration = declare()
    rejects = [Reject("bad", "extract", "is silent"), Reject("worse", "extract", "is empty")]
    name = write_shard(tmp_path, 0, vectors_of(["u0", "u1"]), catalogue_of(["u0", "u1"]), declaration, rejects)
    finalise(tmp_path, declaration, [name], 4)
    header = drop(tmp_path, utterances=["bad", "u0"])
    assert (header.stored, header.rejected, header.expected) == (1, 1, 2)
    assert [reject.utterance_id for reject in read_rejects(tmp_path / "rejects.parquet")] == ["worse"]
    assert not any(b"bad" in file.read_bytes() for file in tmp_path.rglob("*.parquet"))


def test_a_rejected_utterance_that_is_dropped_by_itself_is_named_nowhere(tmp_path):
    declaration = declare()
    rejects = [Reject("bad", "extract", "is silent")]
    name = write_shard(tmp_path, 0, vectors_of(["u0", "u1"]), catalogue_of(["u0", "u1"]), declaration, rejects)
    finalise(tmp_path, declaration, [name], 3)
    before = by_id(EmbeddingStore(tmp_path))
    header = drop(tmp_path, utterances=["bad"])
    assert (header.stored, header.rejected) == (2, 0)
    assert by_id(EmbeddingStore(tmp_path)) == before
    assert not any(b"bad" in file.read_bytes() for file in tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
def test_vectors_that_a_smaller_dtype_cannot_hold_stay_what_they_were(tmp_path, vectors):
    declaration = declare(vectors=vectors)
    names = [
        write_shard(tmp_path, index, scale * vectors_of([name]), catalogue_of([name]), declaration, source=name)
        for index, (name, scale) in enumerate({"u0": 1.0, "u1": 1e6}.items())
    ]
    finalise(tmp_path, declaration, names, 2)
    before = by_id(EmbeddingStore(tmp_path))
    with pytest.raises(StoreError, match="are not finite as float16, first utterance u1"):
        convert(tmp_path, "halve", lambda declared: replace(declared, dtype="float16"))
    store = EmbeddingStore(tmp_path)
    store.verify()
    assert by_id(store) == before


def test_compacting_joins_neighbours_and_changes_no_vector(tmp_path):
    declaration = write(tmp_path, [(f"u{n}",) for n in range(7)])
    before = EmbeddingStore(tmp_path)
    vectors, ids = before.vectors().copy(), before.utterance_ids()
    header = compact(tmp_path, rows_per_shard=18)
    store = EmbeddingStore(tmp_path)
    store.verify()
    assert [shard.utterances for shard in header.shards] == [3, 3, 1]
    np.testing.assert_array_equal(store.vectors(), vectors)
    assert store.utterance_ids() == ids
    assert store.fingerprint == declaration.fingerprint, "the same vectors, declared alike"
    assert compact(tmp_path, rows_per_shard=18).shards == header.shards


def test_a_lock_says_who_holds_it_and_goes_with_its_process(tmp_path):
    write(tmp_path, SHARDS)
    code = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from reseed.store.lock import editing
        with editing(Path(sys.argv[1])):
            print("held", flush=True)
            sys.stdin.read()
        """
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StoreError, match=f"is being changed by process {holder.pid} on "):
        compact(tmp_path, rows_per_shard=100)
    holder.kill()
    holder.communicate()
    compact(tmp_path, rows_per_shard=100)
    EmbeddingStore(tmp_path).verify()


@pytest.mark.parametrize("command", ["drop", "verify"])
def test_a_drop_that_dies_while_it_removes_files_is_completed_by_the_next_command(tmp_path, monkeypatch, command):
    write(tmp_path, SHARDS)
    before = {path.name for path in (tmp_path / "shards").iterdir()}
    drop_and_die(tmp_path, monkeypatch, speakers=["s1"])
    assert EmbeddingStore(tmp_path).utterance_ids() == ["u0", "u1", "u4"]
    assert before <= {path.name for path in (tmp_path / "shards").iterdir()}
    # Asked for once more it is done already; either command removes the files.
    said = drop_command(store=tmp_path, speakers=["s1"]) if command == "drop" else verify(store=tmp_path)
    assert "files that an interrupted edit was to remove are gone now" in said
    listed = {Path(file.name).name for shard in EmbeddingStore(tmp_path).shards for file in shard.files}
    assert {path.name for path in (tmp_path / "shards").iterdir() if not path.name.startswith(".")} == listed
    assert not (tmp_path / ".removal.json").exists()
    EmbeddingStore(tmp_path).verify()


def test_a_note_of_a_removal_that_never_came_to_be_removes_nothing(tmp_path):
    write(tmp_path, SHARDS)
    names = sorted(f"shards/{path.name}" for path in (tmp_path / "shards").iterdir())
    (tmp_path / ".removal.json").write_text(json.dumps({"shards": ["00000-aaaaaaaa"], "remove": names, "retire": []}))
    assert complete_removal(tmp_path) == 0
    shards = [shard.name for shard in EmbeddingStore(tmp_path).shards]
    noted = {"shards": shards, "remove": [*names, "store.json", "../a"], "retire": names}
    (tmp_path / ".removal.json").write_text(json.dumps(noted))
    assert complete_removal(tmp_path) == 0
    EmbeddingStore(tmp_path).verify()
