"""Small stores whose every vector says which row it is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reseed.store import Declaration, drop, finalise, write_shard
from reseed.store.inputs import DeclaredInputs

VIEWS = {"clean": {}, "noise": {"noise": [0, 15]}, "reverb": {"reverb": True}}
ODD_IDS = ["a/b c", "quo'te\"d", "日本語/ünï", "x" * 10_000, "new\nline", "../../etc/passwd"]


def declare(**changes) -> Declaration:
    plain = {"dim": 4, "dtype": "float32", "views": VIEWS, "crops": 2, "space": "toy:1", "inputs": DeclaredInputs()}
    return Declaration(**{**plain, **changes})


def vectors_of(utterances: Sequence[str], dim: int = 4, first_row: int = 0) -> np.ndarray:
    rows = len(utterances) * 2 * len(VIEWS)
    return np.arange(first_row * dim, (first_row + rows) * dim, dtype=np.float32).reshape(rows, dim)


def catalogue_of(utterances: Sequence[str]) -> pa.Table:
    """Utterance "u3" is spoken by "s1", the odd ones by nobody known."""
    rows = [(u, crop, view) for u in utterances for crop in range(2) for view in VIEWS]
    ids, crops, views = zip(*rows, strict=True) if rows else ((), (), ())
    speakers = [f"s{int(u[1:]) // 2}" if u[1:].isdecimal() else None for u in ids]
    return pa.table(
        {
            "utterance_id": pa.array(ids, pa.string()),
            "speaker_id": pa.array(speakers, pa.string()),
            "view": pa.array(views, pa.string()),
            "crop": pa.array(crops, pa.int32()),
        }
    )


def write_shards(path: Path, shards: Sequence[Sequence[str]], declaration: Declaration, first: int = 0) -> list[str]:
    names, row = [], 0
    for index, utterances in enumerate(shards, start=first):
        vectors = vectors_of(utterances, declaration.dim, row)
        names.append(write_shard(path, index, vectors, catalogue_of(utterances), declaration, source=repr(utterances)))
        row += len(vectors)
    return names


def write(path: Path, shards: Sequence[Sequence[str]] = (("u0", "u1"), ("u2",)), **changes) -> Declaration:
    declaration = declare(**changes)
    finalise(path, declaration, write_shards(path, shards, declaration), sum(len(u) for u in shards))
    return declaration


def assert_same_files(first: Path, second: Path) -> None:
    """Two directories hold files of the same names and bytes; the earlier states of stores aside."""
    for name in (names := _files(first)):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert names == _files(second)


def _files(folder: Path) -> list[Path]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if "versions" not in path.parts)


def drop_and_die(store: Path, monkeypatch: pytest.MonkeyPatch, **what: list[str]) -> None:
    """Drop utterances or speakers, and die where files are to be removed."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("reseed.store.states.complete_removal", die)
        with pytest.raises(KeyboardInterrupt):
            drop(store, **what)
