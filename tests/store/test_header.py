"""store.json of other versions: what lies in headers/ was written before inputs and lineage had types."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from reseed.store.edit import compact, drop
from reseed.store.header import read_header, write_header
from reseed.store.inputs import EnhancedInputs, ExtractedInputs, ImportedInputs, MappedInputs
from tests.store.stores import write

OLD = sorted((Path(__file__).parent / "headers").glob("*.json"))
MAKERS = {"extracted": ExtractedInputs, "enhanced": EnhancedInputs, "mapped": MappedInputs, "imported": ImportedInputs}

LATER = {"later": {"a": [1, None]}}


def content(store: Path) -> dict:
    return {key: value for key, value in json.loads((store / "store.json").read_text()).items() if key != "digest"}


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
def test_a_header_of_an_older_version_is_written_as_it_was_with_its_fingerprint(tmp_path, old):
    shutil.copy(old, tmp_path / "store.json")
    before, header = content(tmp_path), read_header(tmp_path)
    assert type(header.declaration.inputs) is MAKERS[old.stem.partition("_")[0]]
    assert header.declaration.fingerprint == before["fingerprint"]
    write_header(tmp_path, header)
    assert content(tmp_path) == before


def test_inputs_and_lineage_of_an_older_version_are_typed(tmp_path):
    shutil.copy(next(path for path in OLD if path.stem == "extracted_and_edited"), tmp_path / "store.json")
    declaration = read_header(tmp_path).declaration
    assert [edit.what for edit in declaration.inputs.edits] == ["append", "drop"]
    assert declaration.inputs.manifests["noise"] == declaration.parent("noise").digest
    assert declaration.parent("backbone").settings == {"weights": "weights/small.safetensors"}
    assert declaration.parent("backbone").further == {"since": "a later version"}


def test_keys_that_this_version_does_not_know_survive_every_edit(tmp_path):
    write(tmp_path, shards=[("u0", "u1"), ("u2", "u3")])
    header = read_header(tmp_path)
    write_header(tmp_path, replace(header, declaration=replace(header.declaration, further=LATER)))
    drop(tmp_path, utterances=["u1"])
    compact(tmp_path, rows_per_shard=100)
    assert LATER.items() <= content(tmp_path).items()
    assert [edit.what for edit in read_header(tmp_path).declaration.inputs.edits] == ["drop"]
