"""The audit on a store of real recordings: no false alarm, and every planted fault found and named."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reseed.stages.audio.manifest import read_manifest
from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.audit import audit as audit_stage
from reseed.stages.auditing.finding import FAILED, PASSED, SKIPPED
from reseed.stages.enhance import enhance
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.stages.train import EnhancerOrder, train
from reseed.store import EmbeddingStore, drop
from tests.corpus import REAL, needs_recordings, write_manifest
from tests.stages.auditing.faults import altered, forge, only, relabelled, renamed

pytestmark = needs_recordings

_VIEWS = {"clean": {}, "noise": {"noise": [-5, 5]}, "music": {"music": 0}}
_SPEAKERS = 18


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run's folder with one store per split: some speakers of each, the pretrained encoder, three views."""
    root = tmp_path_factory.mktemp("real")
    for split in ("train", "dev"):
        manifests = {}
        for kind in ("speech", "noise", "music"):
            manifests[kind] = root / f"{split}-{kind}.parquet"
            prepare(
                source=REAL / kind / split,
                utterances=manifests[kind],
                rejects=root / f"{split}-{kind}.rejects.parquet",
                settings=PrepareSettings(),
                kind=kind,
            )
        rows = [row for row in read_manifest(manifests["speech"]) if row.utterance_id.startswith("speechocean")]
        kept = sorted({row.speaker_id for row in rows})[: _SPEAKERS if split == "dev" else 6]
        write_manifest(manifests["speech"], [row for row in rows if row.speaker_id in kept])
        settings = ExtractSettings(views=_VIEWS, crops={"count": 1, "duration_s": 1.6, "placement": "even"})
        sources = {kind: manifests[kind] for kind in ("noise", "music")}
        order = ExtractOrder(manifests["speech"], "ge2e", settings, seed=0, sources=sources)
        extract(order=order, store=root / split, shards=6)
    return root


def audit(store, **options):
    return audit_stage(store=store, recordings=[store.parent, REAL], **options)


def failed(audited):
    return {rule: audited.findings[rule] for rule in audited.rules(FAILED)}


def test_no_false_alarm(folder, tmp_path):
    found = audit(store=folder / "dev", against=folder / "train", page=tmp_path / "page.html")
    assert failed(found) == {}, found.summary()
    assert set(found.rules(PASSED)) >= {
        "replay",
        "manifest",
        "leakage",
        "labels",
        "noise",
    }


def test_an_exchanged_pair_of_speakers_is_found_by_the_manifest(folder):
    first, second = _speakers(folder)[2:9:6]
    exchange = {first: second, second: first}
    store = altered(folder / "dev", folder / "swapped", lambda _, vectors, rows: (vectors, relabelled(rows, exchange)))
    found = failed(audit(store=store))
    assert found.keys() == {"manifest"}
    assert f"Exchanged: {first} and {second}." in found["manifest"].says


def test_an_exchanged_pair_of_speakers_is_found_by_their_voices(folder):
    first, second = _speakers(folder)[2:9:6]
    ids = [
        row.utterance_id for row in read_manifest(folder / "dev-speech.parquet") if row.speaker_id in (first, second)
    ]
    exchange = {first: second, second: first}
    change = lambda _, vectors, rows: (vectors, relabelled(rows, exchange, set(ids[::2])))  # noqa: E731
    found = failed(audit(store=altered(folder / "dev", folder / "half", change), replay=0))
    told = " ".join(found[rule].says for rule in ("labels", "identities") if rule in found)
    assert f"{first} and {second}" in told


def test_one_per_cent_of_duplicates_is_found(folder):
    ids = EmbeddingStore(folder / "dev").utterance_ids()[::100]

    def change(_, vectors, rows):
        chosen = np.flatnonzero([name in ids for name in rows["utterance_id"].to_pylist()])
        copy = renamed(rows.take(pa.array(chosen)), lambda name: f"{name}-again").cast(rows.schema)
        return np.concatenate([vectors, vectors[chosen]]), pa.concat_tables([rows, copy])

    found = failed(audit(store=altered(folder / "dev", folder / "again", change)))
    assert found.keys() == {"duplicates", "manifest"}  # the manifest does not list them
    assert found["duplicates"].offenders[0]["hear"].startswith("reseed replay --out heard.wav ")
    assert {row["utterance"] for row in found["duplicates"].offenders} == set(ids)


def test_a_noise_of_pure_silence_is_found(folder):
    source = EmbeddingStore(folder / "dev")
    drawn = [name for ids in source.rows(["noise_ids"])["noise_ids"].to_pylist() for name in ids]
    silent = max(set(drawn), key=lambda name: (drawn.count(name), name))

    def change(_, vectors, rows):
        blocks = vectors.reshape(-1, len(_VIEWS), source.dim)
        for place, ids in enumerate(rows["noise_ids"].to_pylist()):
            if silent in ids:
                blocks[place // len(_VIEWS), place % len(_VIEWS)] = blocks[place // len(_VIEWS), 0]
        return blocks.reshape(-1, source.dim), rows

    found = failed(audit(store=altered(folder / "dev", folder / "silent", change), replay=0))
    assert found.keys() == {"noise"}
    assert silent in found["noise"].says


def test_a_shard_of_another_backbone_is_found(folder):
    turn = np.random.default_rng(0).permutation(256)
    store = altered(folder / "dev", folder / "foreign", only(2, lambda vectors, rows: (vectors[:, turn], rows)))
    found, name = failed(audit(store=store)), EmbeddingStore(store).shards[2].name
    assert {"shards", "replay"} <= found.keys()
    assert name in found["shards"].says
    assert name in found["replay"].says


def test_rows_that_are_not_numbers_are_found(folder):
    store = shutil.copytree(folder / "dev", folder / "nan")
    forge(store, 3, lambda vectors: vectors.__setitem__(slice(4, 6), np.nan))
    assert failed(audit(store=store)).keys() == {"finite"}


def test_leakage_is_found(folder):
    taken = EmbeddingStore(folder / "train").get(EmbeddingStore(folder / "train").utterance_ids()[0], view="clean")
    store = altered(folder / "dev", folder / "leaking", only(1, lambda vectors, rows: (_with(vectors, 6, taken), rows)))
    found = failed(audit(store=store, against=folder / "train", replay=0))
    assert found.keys() == {"leakage"}
    assert "1 recording under another id" in found["leakage"].says


def test_an_edited_store_is_as_sound_as_before(folder):
    store = shutil.copytree(folder / "dev", folder / "edited")
    drop(store, utterances=EmbeddingStore(store).utterance_ids()[3:5])
    found = audit(store=store, replay=2)
    assert failed(found) == {}, found.summary()


def test_without_the_recordings_what_needs_them_is_skipped_and_says_why(folder):
    manifest = folder / "dev-speech.parquet"
    manifest.rename(manifest.with_suffix(".gone"))
    try:
        found = audit(store=folder / "dev")
    finally:
        manifest.with_suffix(".gone").rename(manifest)
    assert set(found.rules(SKIPPED)) >= {"manifest", "replay"}
    assert "dev-speech.parquet" in found.findings["replay"].says


def test_an_enhanced_store_is_compared_with_what_it_was_made_from(folder):
    train(EnhancerOrder(enhancer="wccn", settings=WccnConfig(), store=folder / "train", model=folder / "wccn", seed=0))
    enhance(store=folder / "dev", model=folder / "wccn", enhanced=folder / "enhanced", seed=0)
    found = audit(store=folder / "enhanced", page=folder / "enhanced.html")
    assert failed(found) == {}, found.summary()
    versions, identities = found.findings["versions"], found.findings["identities"]
    assert versions.says.startswith("It was made from that store")
    assert {"with clean, before", "with clean, after"} <= versions.offenders[0].keys()
    assert f"{folder / 'dev'} " in identities.offenders[0]["hear"]  # the store that has recordings


def _with(vectors: np.ndarray, row: int, vector: np.ndarray) -> np.ndarray:
    vectors[row] = vector
    return vectors


def _speakers(folder: Path) -> list[str]:
    return sorted({str(row.speaker_id) for row in read_manifest(folder / "dev-speech.parquet")})
