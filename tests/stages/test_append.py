from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reseed.stages.append import append
from reseed.stages.audio.manifest import read_manifest
from reseed.stages.audio.recipe import View
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import EmbeddingStore, StoreError
from tests.corpus import voice, write_corpus, write_manifest, write_wave
from tests.stages.test_extract import SETTINGS, VIEWS, by_key, levels, manifests, order, run

__all__ = ["levels", "manifests"]


@pytest.fixture
def half(manifests, tmp_path) -> dict[str, Path]:
    """The first five utterances of the corpus, as a manifest of their own."""
    write_manifest(tmp_path / "half.parquet", read_manifest(manifests["speech"])[:5])
    return {**manifests, "speech": tmp_path / "half.parquet"}


def grow(manifests, half, store: Path, **changes) -> str:
    running = {key: changes.pop(key) for key in ("shards", "retry") if key in changes}
    sources = {"noise": manifests["noise"], "rir": manifests["rir"], "babble": half["speech"]}
    return append(order=order(manifests, **{"sources": sources, **changes}), store=store, **running)


def test_append_extracts_what_is_new_and_touches_no_old_shard(manifests, half, tmp_path):
    run(half, tmp_path / "s")
    before = by_key(EmbeddingStore(tmp_path / "s"))
    old_files = {path: path.stat().st_mtime_ns for path in (tmp_path / "s" / "shards").iterdir()}
    assert "3 utterances added, 0 rejected in all" in grow(manifests, half, tmp_path / "s", shards=2)
    store = EmbeddingStore(tmp_path / "s")
    store.verify()
    assert (store.header.stored, len(store.shards)) == (8, 5)
    found = by_key(store)
    for key, vector in before.items():
        np.testing.assert_array_equal(found[key], vector)
    assert old_files == {path: path.stat().st_mtime_ns for path in old_files}
    assert "nothing to append" in grow(manifests, half, tmp_path / "s")


def test_appended_vectors_are_those_of_an_extraction_of_everything(manifests, half, tmp_path):
    sources = {"noise": manifests["noise"], "rir": manifests["rir"], "babble": half["speech"]}
    run(manifests, tmp_path / "all", sources=sources)
    run(half, tmp_path / "grown")
    grow(manifests, half, tmp_path / "grown")
    everything, grown = by_key(EmbeddingStore(tmp_path / "all")), by_key(EmbeddingStore(tmp_path / "grown"))
    assert everything.keys() == grown.keys()
    for key, vector in everything.items():
        np.testing.assert_allclose(grown[key], vector, atol=1e-6)


def test_a_grown_corpus_is_appended_by_listing_and_reading_only_what_is_new(tmp_path):
    speech = write_corpus(tmp_path / "audio", splits=("train",), speakers=2, takes=2) / "speech" / "train"
    plain = SETTINGS.model_copy(update={"views": {"clean": View()}})

    def listed(name: str, known: Path | None = None) -> dict[str, Path]:
        paths = {"utterances": tmp_path / name, "rejects": tmp_path / f"{name}.rejects"}
        prepare(source=speech, settings=PrepareSettings(), known=known, **paths)
        return {"utterances": tmp_path / name, "sources": {}, "settings": plain}

    run({}, tmp_path / "s", **listed("old"))
    write_wave(speech / "toy" / "s9" / "s9-0.flac", voice(3, 9))
    grown = listed("grown", known=tmp_path / "old")
    old = [path for path in speech.rglob("*.flac") if path.stem != "s9-0"]
    for path in old:
        path.rename(path.with_suffix(".away"))  # whoever reads it fails
    assert "1 utterances added" in append(order=order({}, **grown), store=tmp_path / "s")
    for path in old:
        path.with_suffix(".away").rename(path)
    run({}, tmp_path / "all", **grown)
    found, everything = by_key(EmbeddingStore(tmp_path / "s")), by_key(EmbeddingStore(tmp_path / "all"))
    assert found.keys() == everything.keys()


def test_another_recipe_cannot_be_appended_and_is_named(manifests, half, tmp_path):
    run(half, tmp_path / "s")
    with pytest.raises(StoreError, match=r"made by another recipe.*\(seed: 3 in the store, 4 now\)"):
        grow(manifests, half, tmp_path / "s", seed=4)
    other = SETTINGS.model_copy(update={"views": {**VIEWS, "noise": View(noise=0)}})
    with pytest.raises(StoreError, match="views: .* in the store"):
        grow(manifests, half, tmp_path / "s", settings=other)
    with pytest.raises(StoreError, match="babble manifest"):
        grow(manifests, half, tmp_path / "s", sources={"noise": manifests["noise"], "rir": manifests["rir"]})


def test_rejects_are_retried_alone(manifests, tmp_path):
    rows = read_manifest(manifests["speech"])
    lost = replace(rows[2], path=str(tmp_path / "gone.flac"))
    write_manifest(tmp_path / "speech.parquet", [lost if row is rows[2] else row for row in rows])
    sources = {"noise": manifests["noise"], "rir": manifests["rir"], "babble": manifests["speech"]}
    run(manifests, tmp_path / "s", utterances=tmp_path / "speech.parquet", sources=sources)
    assert EmbeddingStore(tmp_path / "s").header.rejected == 1
    message = append(order=order(manifests, sources=sources), store=tmp_path / "s", retry=True)
    assert "1 utterances added, 0 rejected in all" in message
    store = EmbeddingStore(tmp_path / "s")
    assert (store.header.stored, store.header.rejected, store.header.expected) == (8, 0, 8)
    run(manifests, tmp_path / "whole", sources=sources)
    assert by_key(store).keys() == by_key(EmbeddingStore(tmp_path / "whole")).keys()
