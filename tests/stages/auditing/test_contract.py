"""What every group of rules owes: the same in any order, in any process, of any store."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from reseed.stages.auditing import blocks
from reseed.stages.auditing.blocks import AuditedStore
from reseed.stages.auditing.evidence import Evidence
from reseed.stages.auditing.finding import FAILED
from reseed.stages.auditing.table import GROUPS, RULES
from reseed.stages.auditing.workspace import workspace
from reseed.stages.common.execution import in_process
from reseed.stages.extraction.lineage import Ancestry
from reseed.store import finalise, undamaged
from tests.stages.auditing.faults import forge
from tests.stages.auditing.generated import DIM, make_store

DOCUMENTED = Path(__file__).resolve().parents[3] / "docs" / "audit.md"
NAMES = ["-".join(rule.__name__ for rule in group.rules) or "page" for group in GROUPS]
groups = pytest.mark.parametrize("group", GROUPS, ids=NAMES)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A sound store, and such as leave little to judge."""
    root = tmp_path_factory.mktemp("contract")
    sound = make_store(root / "sound", speakers=8, each=4, shards=4)
    make_store(root / "bare", speakers=3, each=2, shards=1, crops=1, views={"clean": {}}, labelled=False)
    make_store(root / "broken", speakers=3, each=2, shards=1)
    forge(root / "broken", 0, lambda vectors: vectors.__setitem__(slice(None), np.nan))
    finalise(root / "empty", sound.header.declaration, [], 0)
    return root


def findings(group, store, execute=in_process, against=None):
    """What the rules of a group say, beside all others, on whose evidence they may build."""
    audited, other = (AuditedStore(path, *undamaged(path)) if path else None for path in (store, against))
    with workspace(None) as shared:
        evidence = Evidence(audited, execute, shared, Ancestry(), other=other)
        evidence.gather([*GROUPS, *([] if group in GROUPS else [group])])
        return {rule.__name__: rule(evidence) for rule in group.rules}


@groups
def test_a_sound_store_does_not_fail(group, stores):
    found = findings(group, stores / "sound")
    assert [name for name, finding in found.items() if finding.status == FAILED] == []


def backward(function, numbers):
    return map(function, reversed(numbers))


@groups
def test_blocks_are_added_in_any_order_and_of_any_size(group, stores, monkeypatch):
    whole = findings(group, stores / "sound", against=stores / "sound")
    monkeypatch.setattr(blocks, "_ELEMENTS", 3 * 6 * DIM)  # three utterances
    assert findings(group, stores / "sound", against=stores / "sound") == whole
    assert findings(group, stores / "sound", backward, stores / "sound") == whole


@groups
def test_blocks_are_gathered_in_any_process(group, stores):
    def elsewhere(function, numbers):
        return (pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(function))(number))) for number in numbers)

    assert findings(group, stores / "sound", elsewhere) == findings(group, stores / "sound")


@groups
@pytest.mark.parametrize("store", ["bare", "broken", "empty"])
def test_whatever_a_store_holds_every_rule_says_something_that_is_json(group, store, stores):
    for finding in findings(group, stores / store).values():
        assert re.fullmatch(r"\S.*\.", finding.says)
        json.dumps([dict(row) for row in finding.offenders])


def test_every_rule_is_documented():
    rows = re.findall(r"^\| `(\w+)` \|", DOCUMENTED.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == list(RULES)


def test_every_block_is_read_twice(stores, monkeypatch):
    numbers, read = [], AuditedStore.read

    def noted(store, number):
        numbers.append(number)
        return read(store, number)

    monkeypatch.setattr(AuditedStore, "read", noted)
    findings(GROUPS[0], stores / "sound")
    assert numbers == [*range(4), *range(4)]
