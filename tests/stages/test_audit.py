"""The audit on generated stores: nothing said of a sound one, every planted fault found and named."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.pipeline.executor import executor
from reseed.stages.audit import audit
from reseed.stages.auditing import blocks, duplicates
from reseed.stages.auditing.finding import FAILED, PASSED, SKIPPED
from reseed.stages.auditing.table import RULES
from reseed.store import ConfigError, EmbeddingStore, Reject, StoreError, finalise, write_shard
from reseed.store.inputs import Parent
from tests.stages.auditing.faults import altered, forge, only, relabelled, renamed
from tests.stages.auditing.generated import DIM, make_store

UNSEEN = {"manifest", "replay", "leakage", "versions"}  # without recordings and another store


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("audit") / "sound"
    make_store(path)
    return path


def failed(audited):
    return set(audited.rules(FAILED))


def test_nothing_speaks_against_a_sound_store(sound):
    found = audit(store=sound)
    assert {rule: finding.status for rule, finding in found.findings.items()} == {
        rule: SKIPPED if rule in UNSEEN else PASSED for rule in RULES
    }
    assert found.verdict == f"Nothing speaks against {sound}: {len(RULES) - 4} rules hold, 4 could not be checked."
    assert "1,152 vectors" in found.findings["finite"].says


def test_rows_that_are_not_numbers_are_named_with_their_shard(sound, tmp_path):
    store = shutil.copytree(sound, tmp_path / "nan")
    forge(store, 3, lambda vectors: vectors.__setitem__(slice(7, 9), np.nan))
    forge(store, 4, lambda vectors: vectors.__setitem__(0, 0))
    found = audit(store=store)
    assert failed(found) == {"finite"}
    finding = found.findings["finite"]
    shard = EmbeddingStore(store).shards[3].name
    assert finding.says == f"2 rows NaN or infinite (2 in {shard}) and 1 row zero, of 1,152."
    assert finding.offenders[0]["utterance"] == EmbeddingStore(store).shard(3).rows()["utterance_id"][7].as_py()
    assert "hear" not in finding.offenders[0]  # no recordings are behind it


def test_a_sample_of_shards_says_so_and_sees_no_fault_in_the_others(sound, tmp_path):
    store = shutil.copytree(sound, tmp_path / "sampled")
    forge(store, 3, lambda vectors: vectors.__setitem__(slice(7, 9), np.nan))
    shards = len(EmbeddingStore(store).shards)
    few, more = audit(store=store, shards=2), audit(store=store, shards=shards)
    assert f"2 of {shards} shards were looked at" in few.verdict
    assert "finite" not in failed(few)
    assert "shards were looked at" not in more.verdict
    assert failed(more) == {"finite"}
    with pytest.raises(ConfigError, match="a sample of shards is compared with no other store"):
        audit(store=store, shards=2, against=sound)


def test_vectors_far_longer_than_the_others_are_named(sound, tmp_path):
    store = shutil.copytree(sound, tmp_path / "long")
    forge(store, 0, lambda vectors: vectors.__setitem__(5, 100 * vectors[5]))
    found = audit(store=store)
    assert failed(found) == {"norms"}
    assert found.findings["norms"].offenders[0]["crop"] == 1


def test_speakers_exchanged_in_part_are_named(sound, tmp_path):
    half = {f"s{speaker:04}-{take}" for speaker in (3, 11) for take in range(0, 8, 2)}
    store = altered(
        sound,
        tmp_path / "half",
        lambda _, vectors, rows: (vectors, relabelled(rows, {"s0003": "s0011", "s0011": "s0003"}, half)),
    )
    found = audit(store=store)
    assert failed(found) <= {"labels", "identities"}
    told = " ".join(finding.says for finding in found.findings.values() if finding.status == FAILED)
    assert "s0003 and s0011" in told


def test_one_utterance_under_another_speaker_is_named(sound, tmp_path):
    change = lambda _, vectors, rows: (vectors, relabelled(rows, {"s0003": "s0011"}, {"s0003-2"}))  # noqa: E731
    found = audit(store=altered(sound, tmp_path / "one", change))
    assert failed(found) == {"labels"}
    assert "s0003-2" in found.findings["labels"].says
    assert found.findings["labels"].offenders[0]["nearer to"] == "s0003"


def test_one_person_under_two_ids_is_named(sound, tmp_path):
    some = {f"s0005-{take}" for take in range(4)}
    change = lambda _, vectors, rows: (vectors, relabelled(rows, {"s0005": "s9999"}, some))  # noqa: E731
    found = audit(store=altered(sound, tmp_path / "two", change))
    assert failed(found) <= {"identities", "labels"}  # each half lies among the other
    assert "s0005 and s9999" in found.findings["identities"].says


def test_a_speaker_of_many_voices_is_named(sound, tmp_path):
    mixed = {f"s{speaker:04}-0" for speaker in range(0, 16, 2)}
    names = {f"s{speaker:04}": "everybody" for speaker in range(24)}
    change = lambda _, vectors, rows: (vectors, relabelled(rows, names, mixed))  # noqa: E731
    found = audit(store=altered(sound, tmp_path / "mixed", change))
    assert "everybody" in found.findings["speakers"].says
    assert failed(found) <= {"speakers", "labels"}


def again(every: int):
    """Store every n-th utterance once more, under another id."""

    def change(position, vectors, rows):
        chosen = np.flatnonzero(np.arange(len(vectors)) // 6 % every == 0)
        copy = renamed(rows.take(pa.array(chosen)), lambda name: f"{name}-again").cast(rows.schema)
        return np.concatenate([vectors, vectors[chosen]]), pa.concat_tables([rows, copy])

    return change


@pytest.mark.parametrize("exact", [100_000, 10])
def test_recordings_stored_twice_are_named_by_all_pairs_and_by_hashing(sound, tmp_path, exact, monkeypatch):
    monkeypatch.setattr(duplicates, "EXACT", exact)
    found = audit(store=altered(sound, tmp_path / "again", again(32)))
    assert failed(found) == {"duplicates"}
    assert found.findings["duplicates"].says == "6 pairs of ids for one recording."
    pairs = {(row["utterance"], row["again as"]) for row in found.findings["duplicates"].offenders}
    assert ("s0000-0", "s0000-0-again") in pairs


def test_recordings_that_all_but_coincide_are_found_too(sound, tmp_path):
    jitter = np.random.default_rng(0)

    def change(position, vectors, rows):
        vectors, rows = again(32)(position, vectors, rows)
        return vectors + 1e-3 * jitter.normal(size=vectors.shape).astype(np.float32), rows

    found = audit(store=altered(sound, tmp_path / "nearly", change))
    assert failed(found) == {"duplicates"}, found.summary()
    assert found.findings["duplicates"].offenders[0]["found by"].startswith("cosine")


def silenced(sound_name):
    """Give rows with a noise the vectors of their clean crops."""

    def change(position, vectors, rows):
        blocks = vectors.reshape(-1, 3, DIM)
        with_it = np.array([sound_name in ids for ids in rows["noise_ids"].to_pylist()]).reshape(-1, 3)
        for view in (1, 2):
            blocks[with_it[:, view], view] = blocks[with_it[:, view], 0]
        return blocks.reshape(-1, DIM), rows

    return change


def test_a_noise_of_pure_silence_is_named(sound, tmp_path):
    found = audit(store=altered(sound, tmp_path / "silent", silenced("noise/3")))
    assert failed(found) == {"noise"}
    assert found.findings["noise"].says == "1 sound changing nothing, as silence would: noise/3."


def test_a_shard_of_another_backbone_is_named(sound, tmp_path):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0].astype(np.float32)
    store = altered(sound, tmp_path / "foreign", only(2, lambda vectors, rows: (vectors @ turn, rows)))
    found = audit(store=store)
    assert "shards" in failed(found)
    assert EmbeddingStore(store).shards[2].name in found.findings["shards"].says


def test_damaged_files_are_named_and_the_rest_is_audited(sound, tmp_path):
    store = shutil.copytree(sound, tmp_path / "damaged")
    lost, cut = (EmbeddingStore(store).shards[number] for number in (0, 4))
    (store / lost.files[0].name).unlink()
    path = store / cut.files[1].name
    path.write_bytes(path.read_bytes()[:-9])
    found = audit(store=store)
    assert failed(found) == {"files"}
    problems = [row["problem"] for row in found.findings["files"].offenders]
    assert any(lost.name in line and "missing" in line for line in problems)
    assert any(cut.name in line for line in problems)
    assert found.findings["finite"].says.startswith("All 768 vectors")


def test_a_store_without_any_sound_shard_is_still_judged(sound, tmp_path):
    store = shutil.copytree(sound, tmp_path / "gone")
    shutil.rmtree(store / "shards")
    found = audit(store=store, page=tmp_path / "page.html")
    assert failed(found) == {"files"}


def test_a_damaged_header_is_one_clear_error(sound, tmp_path):
    store = shutil.copytree(sound, tmp_path / "header")
    (store / "store.json").write_text((store / "store.json").read_text().replace("generated", "elsewhere"))
    with pytest.raises(StoreError, match="was altered"):
        audit(store=store)


def test_one_view_and_no_labels_leave_what_cannot_be_checked_unchecked(tmp_path):
    make_store(tmp_path / "bare", views={"clean": {}}, labelled=False)
    found = audit(store=tmp_path / "bare", page=tmp_path / "bare.html")
    skipped = set(found.rules(SKIPPED))
    assert skipped == UNSEEN | {"views", "noise", "speakers", "labels", "identities"}
    assert failed(found) == set()


@pytest.mark.parametrize(("layout", "dtype"), [("parquet", "float32"), ("hdf5", "float16")])
def test_every_layout_and_precision_is_audited_alike(sound, tmp_path, layout, dtype):
    source = EmbeddingStore(sound)
    declared = replace(source.header.declaration, vectors=layout, dtype=dtype)
    shards = range(len(source.shards))
    names = [
        write_shard(tmp_path, n, np.array(source.shard(n).vectors()), source.shard(n).rows(), declared) for n in shards
    ]
    finalise(tmp_path, declared, names, source.header.stored)
    assert failed(audit(store=tmp_path, against=sound)) == set()


def test_a_store_of_nothing_is_judged_by_little(sound, tmp_path):
    finalise(tmp_path / "empty", EmbeddingStore(sound).header.declaration, [], 0)
    found = audit(store=tmp_path / "empty", page=tmp_path / "empty.html")
    passed = set(found.rules(PASSED))
    assert passed == {"files", "finite", "coverage", "duplicates"}


def test_many_rejects_fail_and_are_counted_by_reason(tmp_path):
    rejects = tuple(Reject(f"x{n}", "extract", f"/data/{n}.wav is silent: its peak is {n} dBFS") for n in range(30))
    make_store(tmp_path / "few", rejects=rejects)
    finding = audit(store=tmp_path / "few").findings["coverage"]
    assert finding.status == FAILED
    assert finding.offenders == [{"reason": "is silent: its peak is # dBFS", "utterances": 30}]


def test_train_and_evaluation_share_nothing_unless_it_is_planted(sound, tmp_path):
    make_store(tmp_path / "dev", speakers=6, first=100, shards=3)
    found = audit(store=sound, against=tmp_path / "dev")
    assert (found.findings["leakage"].status, failed(found)) == (PASSED, set())

    # Two of its recordings under other ids, one speaker of ours with recordings that we do not have.
    names = {"s0100": "s0000"}

    def leaking(position, vectors, rows):
        taken = EmbeddingStore(sound).shard(0).vectors()[:12]
        if position == 0:
            vectors[:12] = taken
        return vectors, relabelled(renamed(rows, lambda name: f"dev-{name}"), names)

    found = audit(store=sound, against=altered(tmp_path / "dev", tmp_path / "leaking", leaking))
    assert failed(found) == {"leakage"}
    says = found.findings["leakage"].says
    assert "1 speaker id (s0000)" in says
    assert "2 recordings under another id" in says
    assert {row["there"] for row in found.findings["leakage"].offenders} == {"dev-s0100-0", "dev-s0100-1"}

    make_store(tmp_path / "ids", speakers=6, first=20, shards=3)
    says = audit(store=sound, against=tmp_path / "ids").findings["leakage"].says
    assert "32 utterance ids (s0020-0, s0020-1, s0020-2 and 29 more)" in says
    assert "4 speaker ids" in says
    assert "under another id" not in says


def test_an_evaluation_that_lies_wholly_within_training_is_leakage(sound, tmp_path):
    make_store(tmp_path / "part", speakers=6, shards=3)
    assert "48 utterance ids" in audit(store=sound, against=tmp_path / "part").findings["leakage"].says
    said = audit(store=sound, against=tmp_path / "part", relation="versions").findings
    assert (said["leakage"].status, said["versions"].status) == (SKIPPED, PASSED)


def test_two_broken_utterances_are_no_duplicates_and_no_leakage(sound, tmp_path):
    store = shutil.copytree(sound, tmp_path / "broken")
    forge(store, 1, lambda vectors: vectors.__setitem__(slice(0, 12), np.nan))
    forge(store, 2, lambda vectors: vectors.__setitem__(slice(0, 12), 0))
    other = altered(sound, tmp_path / "other", lambda _, v, rows: (v, renamed(rows, lambda name: f"o-{name}")))
    forge(other, 3, lambda vectors: vectors.__setitem__(slice(0, 12), 0))
    assert failed(audit(store=store)) == {"finite"}
    found = audit(store=store, against=other).findings["leakage"]
    assert "186 recordings under another id" in found.says  # of 192, less four broken ones here and two there


def test_vectors_that_all_coincide_are_judged_and_not_stumbled_over(sound, tmp_path):
    store = altered(sound, tmp_path / "same", lambda _, vectors, rows: (np.ones_like(vectors), rows))
    assert {"dimensions", "views"} <= failed(audit(store=store))


def test_two_speakers_are_enough(tmp_path):
    make_store(tmp_path / "two", speakers=2, shards=1)
    assert failed(audit(store=tmp_path / "two")) <= {"identities", "labels"}


def test_an_id_stored_twice_is_told(sound, tmp_path):
    change = lambda _, vectors, rows: (vectors, renamed(rows, lambda name: name.replace("s0001-0", "s0002-0")))  # noqa: E731
    finding = audit(store=altered(sound, tmp_path / "twice", change)).findings["files"]
    assert finding.says == "1 utterance id stored more than once."


def test_a_rule_that_could_not_be_checked_does_not_satisfy_whoever_asks_for_it(sound):
    assert audit(store=sound, fail_on=("leakage",)).failed_on == ["leakage"]
    assert audit(store=sound, fail_on=("any",)).failed_on == []


def test_another_space_is_compared_by_ids_alone(sound, tmp_path):
    make_store(tmp_path / "other", speakers=6, first=100, space="small:bbbbbbbb")
    finding = audit(store=sound, against=tmp_path / "other").findings["leakage"]
    assert finding.status == PASSED
    assert "small:bbbbbbbb there and cannot be compared" in finding.says


def test_versions_of_a_store_are_the_same_or_have_drifted(sound, tmp_path):
    same = shutil.copytree(sound, tmp_path / "same")
    assert audit(store=sound, against=same).findings["versions"].status == PASSED
    noise = np.random.default_rng(0)

    def drifted(position, vectors, rows):
        vectors = vectors + 0.2 * noise.normal(size=vectors.shape).astype(np.float32)
        return vectors, relabelled(rows, {"s0001": "s0002", "s0002": "s0001"})

    found = audit(store=altered(sound, tmp_path / "drifted", drifted), against=sound)
    assert failed(found) == {"versions"}
    says = found.findings["versions"].says
    assert "differ" in says
    assert "16 utterances under another speaker (s0001-0, s0001-1, s0001-2 and 13 more)" in says
    rows = found.findings["versions"].offenders
    drift = {row["view"]: row["mean cosine"] for row in rows if "mean cosine" in row}
    assert len([row for row in rows if "utterance" in row]) == 10  # the farthest
    assert drift.keys() == {"clean", "noise", "music"}
    assert all(0.5 < cosine < 0.999 for cosine in drift.values())


def test_versions_of_two_backbones_are_compared_by_their_geometry(sound, tmp_path):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0].astype(np.float32)
    turned = altered(sound, tmp_path / "turned", lambda _, vectors, rows: (vectors @ turn, rows))
    says = audit(store=sound, against=turned).findings["versions"].says
    assert "(linear CKA) 1.000" in says  # a rotation changes every vector and nothing of the geometry


def test_a_pass_over_dask_finds_what_a_pass_in_this_process_finds(sound, tmp_path):
    store = altered(sound, tmp_path / "again", again(32))
    with executor("local:2") as execute:
        spread = audit(store=store, against=sound, execute=execute)
    here = audit(store=store, against=sound)
    assert spread.findings == here.findings


def test_a_store_is_compared_with_its_parent_by_itself_while_that_is_what_it_was(sound, tmp_path):
    parent = shutil.copytree(sound, tmp_path / "parent")
    made_from = Parent(role="parent", path=str(parent), digest=EmbeddingStore(parent).fingerprint)
    make_store(tmp_path / "made", space="ge2e:aaaaaaaa+wccn:1", lineage=(made_from,))
    finding = audit(store=tmp_path / "made").findings["versions"]
    assert finding.says == "It was made from that store; similarity of the clean spaces (linear CKA) 1.000."
    assert finding.offenders[1]["with clean, before"] == finding.offenders[1]["with clean, after"]
    (parent / "store.json").write_text("{}")
    assert audit(store=tmp_path / "made").findings["versions"].status == SKIPPED


HOSTILE = "<script>alert('x')</script>'; drop table catalogue; --"


def test_ids_with_markup_are_shown_and_not_obeyed(tmp_path, sound):
    store = altered(sound, tmp_path / "hostile", lambda _, v, rows: (v, renamed(rows, lambda name: HOSTILE + name)))
    forge(store, 0, lambda vectors: vectors.__setitem__(0, np.nan))
    found = audit(store=store, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert found.findings["finite"].offenders[0]["utterance"].startswith(HOSTILE)


def test_the_command_says_the_verdict_and_fails_where_asked(sound, tmp_path):
    store = altered(sound, tmp_path / "silent", silenced("noise/3"))
    runner = CliRunner()
    told = runner.invoke(main, ["audit", str(store)])
    assert told.exit_code == 0
    assert told.output.startswith(f"Do not trust {store} as it is: noise failed; {len(RULES) - 5} rules hold")
    assert runner.invoke(main, ["audit", str(store), "--fail-on", "labels"]).exit_code == 0
    assert runner.invoke(main, ["audit", str(store), "--fail-on", "noise"]).exit_code == 1
    machine = runner.invoke(main, ["audit", str(store), "--fail-on", "any", "--json"])
    assert machine.exit_code == 1
    told = json.loads(machine.output)
    assert {finding["rule"] for finding in told["findings"] if finding["status"] == "failed"} == {"noise"}
    assert {row["view"] for row in told["measures"]["drift"]} == {"noise", "music"}
    assert len(told["measures"]["dimension_means"]) == DIM
    assert told["measures"]["noises"][-1]["id"] == "noise/3"  # silence hurts least
    wrong = runner.invoke(main, ["audit", str(store), "--fail-on", "noises"])
    assert "no rule 'noises'; choose any, or of files, finite" in wrong.output


def test_an_unknown_relation_is_refused(sound):
    with pytest.raises(ConfigError, match="choose one of leakage, versions, parent"):
        audit(store=sound, against=sound, relation="twins")


def test_the_page_says_all_of_it_and_loads_nothing(sound, tmp_path):
    page = tmp_path / "deep" / "page.html"
    audit(store=sound, page=page)
    text = page.read_text()
    assert all(f'id="rule-{rule}"' in text for rule in RULES)
    assert set(re.findall("http://[^%\"' ]*", text)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "https://" not in text
    assert not [path for path in page.parent.iterdir() if path != page]


def test_shards_larger_than_a_block_are_read_in_parts(sound, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "_ELEMENTS", 5 * 6 * DIM)  # five utterances
    parts = audit(store=sound)
    monkeypatch.undo()
    assert parts.findings == audit(store=sound).findings
