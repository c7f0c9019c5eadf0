"""Stores that grow sideways: what `extend` adds is what an extraction of all views gives, byte for byte."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reseed.stages.append import append
from reseed.stages.audio.manifest import read_manifest
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.backbones.table import BACKBONES
from reseed.stages.compact import compact
from reseed.stages.drop import drop as drop_stage
from reseed.stages.extend import extend
from reseed.stages.extraction.order import ExtractOrder
from reseed.store import ConfigError, EmbeddingStore, StoreError, WriteError, drop
from reseed.store.expiry import expire
from tests.corpus import prepared, write_corpus, write_manifest
from tests.stages.test_extract import SETTINGS, VIEWS, Levels, levels, manifests, order, run
from tests.store.stores import assert_same_files
from tests.warm import KILLED, ask

__all__ = ["levels", "manifests"]

MORE = {"loud": View(noise=0), **VIEWS, "speedy": View(speed=(0.9, 1.1))}  # of the views that are there, some


def settings(**changes) -> ExtractSettings:
    return SETTINGS.model_copy(update={"views": MORE, **changes})


def ordered(manifests, **changes) -> ExtractOrder:
    return order(manifests, **{"settings": settings(), **changes})


@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_an_extended_store_is_one_extracted_in_one_go_byte_for_byte(manifests, tmp_path, vectors, dtype):
    before = SETTINGS.model_copy(update={"vectors": vectors, "dtype": dtype})
    after = settings(vectors=vectors, dtype=dtype)
    run(manifests, tmp_path / "grown", settings=before)
    said = extend(order=ordered(manifests, settings=after), store=tmp_path / "grown")
    assert said.endswith("grown: loud, speedy added to 8 utterances, 3 shards written")
    run(manifests, tmp_path / "fresh", settings=after)
    assert_same_files(tmp_path / "grown", tmp_path / "fresh")
    said = extend(order=ordered(manifests, settings=after), store=tmp_path / "grown")
    assert said.endswith("nothing to add, it has the views loud, clean, noise, both, speedy")


def test_a_network_gives_the_same_bytes_whenever_a_view_is_embedded(manifests, tmp_path):
    crops = {"crops": CropSettings(count=3, duration_s=1.6), "batch": 16}
    few, many = ({"settings": given.model_copy(update=crops), "backbone": "ge2e"} for given in (SETTINGS, settings()))
    run(manifests, tmp_path / "grown", **few, shards=2)
    extend(order=order(manifests, **many), store=tmp_path / "grown")
    run(manifests, tmp_path / "fresh", **many, shards=2)
    assert_same_files(tmp_path / "grown", tmp_path / "fresh")


def test_only_what_is_new_is_embedded_and_one_view_can_be_chosen(manifests, tmp_path, monkeypatch):
    heard = []

    class Counted(Levels):
        def forward(self, waveform_BT):
            heard.append(len(waveform_BT))
            return super().forward(waveform_BT)

    monkeypatch.setitem(BACKBONES, "levels", Counted)
    run(manifests, tmp_path)
    heard.clear()
    assert "speedy added to 8" in extend(order=ordered(manifests), store=tmp_path, views=["speedy"])
    assert sum(heard) == 8 * 2
    assert EmbeddingStore(tmp_path).views == [*VIEWS, "speedy"]
    with pytest.raises(ConfigError, match="no view 'slow' is configured; there are loud, clean, noise, both, speedy"):
        extend(order=ordered(manifests), store=tmp_path, views=["slow"])


@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
def test_a_process_killed_before_any_change_leaves_the_store_and_the_next_call_goes_on(tmp_path, vectors):
    views = json.dumps({"clean": {}, "noise": {"noise": 5}})
    write_corpus(tmp_path / "audio", splits=("train",), speakers=3, takes=2)
    prepared(tmp_path / "audio", tmp_path, ("speech", "noise"))
    extract = {"shards": 2, "train": {"crops": {"count": 2, "duration_s": 0.4}, "views": {"clean": {}}}}
    extract["train"]["vectors"] = vectors
    config = {"name": "toy", "corpus": {"root": "audio"}, "train": {}}
    config["extract"] = {**extract, "evaluation": {"views": {"clean": {}}}}
    (tmp_path / "toy.yaml").write_text(json.dumps(config))
    given = ["--config", "toy.yaml", "--utterances", "speech.parquet", "--noise", "noise.parquet"]
    wider = ["--set", f"extract.train.views={views}"]
    for name, setting in (("before", []), ("fresh", wider)):
        status, said = ask("extract", *given, *setting, "--store", name, folder=tmp_path)
        assert status == 0, said
    before = EmbeddingStore(tmp_path / "before")
    kept = (before.fingerprint, before.vectors().tobytes())
    for change in (3, 9, 20, 40):
        shutil.rmtree(tmp_path / "grown", ignore_errors=True)
        shutil.copytree(tmp_path / "before", tmp_path / "grown")
        status, said = ask("extend", *given, *wider, "--store", "grown", folder=tmp_path, KILLED_BEFORE=change)
        assert status in (0, KILLED), said
        store = EmbeddingStore(tmp_path / "grown")
        store.verify()
        assert store.views == ["clean", "noise"] or (store.fingerprint, store.vectors().tobytes()) == kept
        status, said = ask("extend", *given, *wider, "--store", "grown", folder=tmp_path)
        assert status == 0, said
        assert_same_files(tmp_path / "grown", tmp_path / "fresh")


def test_a_shard_that_cannot_be_written_is_an_error_and_the_old_store(manifests, tmp_path, monkeypatch):
    run(manifests, tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("reseed.store.writer.write_hdf5", full)
        with pytest.raises(WriteError, match="free on the disk"):
            extend(order=ordered(manifests), store=tmp_path)
    store = EmbeddingStore(tmp_path)
    store.verify()
    assert store.views == [*VIEWS]


def test_other_weights_sources_or_recipes_of_what_is_there_are_refused_and_named(manifests, tmp_path, monkeypatch):
    run(manifests, tmp_path)
    before = (tmp_path / "store.json").read_bytes()
    louder = settings(views={**MORE, "noise": View(noise=3)})
    longer = settings(crops=CropSettings(count=3, duration_s=0.4))
    fewer = settings(views={"loud": MORE["loud"], "clean": View()})
    halves = settings(dtype="float16")
    for changes, said in (
        ({"settings": louder}, r"another recipe, so no view can be added \(views: "),
        ({"settings": longer}, "crops: .*'count': 2.* in the store, .*'count': 3.* now"),
        ({"settings": fewer}, "views: "),
        ({"settings": halves}, "dtype: float32 in the store, float16 now"),
        ({"seed": 4}, "seed: 3 in the store, 4 now"),
        ({"sources": {"noise": manifests["rir"], "rir": manifests["rir"]}}, "noise manifest: "),
        ({"backbone": "ge2e"}, "backbone: .*levels.* in the store"),
    ):
        with pytest.raises(StoreError, match=said):
            extend(order=ordered(manifests, **changes), store=tmp_path)
    assert (tmp_path / "store.json").read_bytes() == before


def test_recordings_that_changed_or_are_gone_are_refused(manifests, tmp_path):
    rows = read_manifest(manifests["speech"])
    babble = {"noise": manifests["noise"], "rir": manifests["rir"], "babble": manifests["speech"]}
    run(manifests, tmp_path / "s", sources=babble)
    other = tmp_path / "other.parquet"
    write_manifest(other, [replace(rows[1], sha256="0" * 64) if row is rows[1] else row for row in rows])
    with pytest.raises(StoreError, match="other.parquet lists other recordings than .*s was made from"):
        extend(order=ordered(manifests, sources=babble, utterances=other), store=tmp_path / "s")
    write_manifest(other, rows[1:])
    with pytest.raises(StoreError, match=f"does not list '{rows[0].utterance_id}', which .*s was made from"):
        extend(order=ordered(manifests, sources=babble, utterances=other), store=tmp_path / "s")
    write_manifest(other, [replace(row, path=f"{row.path}.gone") for row in rows])
    with pytest.raises(StoreError, match=r"of which no new view can be made: .*gone does not exist; restore"):
        extend(order=ordered(manifests, sources=babble, utterances=other), store=tmp_path / "s")
    assert EmbeddingStore(tmp_path / "s").views == [*VIEWS]


def test_rejects_stay_rejects_and_a_new_view_that_is_not_finite_makes_one(manifests, tmp_path, monkeypatch):
    more = settings(views={**VIEWS, "louder": View(volume=(30, 30))})
    run(manifests, tmp_path / "sound", settings=more)
    bound = float(np.median(EmbeddingStore(tmp_path / "sound").vectors("louder").max(axis=1)))

    class Fragile(Levels):
        def forward(self, waveform_BT):
            embedding_BD = super().forward(waveform_BT)
            return torch.where(embedding_BD.amax(dim=1, keepdim=True) > bound, torch.nan, embedding_BD)

    monkeypatch.setitem(BACKBONES, "levels", Fragile)
    rows = read_manifest(manifests["speech"])
    lost = replace(rows[2], path=str(tmp_path / "gone.flac"))
    write_manifest(tmp_path / "speech.parquet", [lost if row is rows[2] else row for row in rows])
    asked = {"utterances": tmp_path / "speech.parquet"}
    run(manifests, tmp_path / "grown", **asked)
    extend(order=ordered(manifests, settings=more, **asked), store=tmp_path / "grown")
    run(manifests, tmp_path / "fresh", settings=more, **asked)
    header = EmbeddingStore(tmp_path / "fresh").header
    assert 0 < header.stored < 7
    assert_same_files(tmp_path / "grown", tmp_path / "fresh")


def test_an_appended_store_is_extended_as_if_it_had_been_appended_to_with_all_views(manifests, tmp_path):
    write_manifest(tmp_path / "half.parquet", read_manifest(manifests["speech"])[:5])
    sources = {"noise": manifests["noise"], "rir": manifests["rir"], "babble": tmp_path / "half.parquet"}
    half = {"utterances": tmp_path / "half.parquet", "sources": sources}
    for name, given in (("grown", SETTINGS), ("fresh", settings())):
        run(manifests, tmp_path / name, settings=given, **half)
        append(order=order(manifests, settings=given, sources=sources), store=tmp_path / name, shards=2)
    extend(order=ordered(manifests, sources=sources), store=tmp_path / "grown")
    assert_same_files(tmp_path / "grown", tmp_path / "fresh")
    EmbeddingStore(tmp_path / "grown").verify()


def test_what_was_dropped_stays_dropped(manifests, tmp_path):
    run(manifests, tmp_path / "s")
    ids = EmbeddingStore(tmp_path / "s").utterance_ids()
    drop(tmp_path / "s", utterances=ids[:2])
    extend(order=ordered(manifests), store=tmp_path / "s")
    store = EmbeddingStore(tmp_path / "s")
    store.verify()
    assert (store.utterance_ids(), store.views) == (ids[2:], [*MORE])
    run(manifests, tmp_path / "fresh", settings=settings())
    fresh = EmbeddingStore(tmp_path / "fresh")
    for name in ids[2:]:
        for view in MORE:
            np.testing.assert_allclose(store.get(name, view=view), fresh.get(name, view=view), atol=1e-6)


def test_a_store_that_is_no_extraction_is_refused(manifests, tmp_path):
    with pytest.raises(StoreError, match="is not a finished store"):
        extend(order=ordered(manifests), store=Path(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
def test_a_view_that_is_dropped_leaves_the_store_as_if_it_had_never_been_extracted(manifests, tmp_path, vectors):
    every, few = (given.model_copy(update={"vectors": vectors}) for given in (settings(), SETTINGS))
    run(manifests, tmp_path / "s", settings=every)
    gone = EmbeddingStore(tmp_path / "s").get("toy/s1/s1-0", view="speedy").tobytes()
    said = drop_stage(store=tmp_path / "s", views=["loud", "speedy"])
    assert said.endswith("8 utterances in clean, noise, both left")
    run(manifests, tmp_path / "fresh", settings=few)
    assert_same_shards(tmp_path / "s", tmp_path / "fresh")
    assert EmbeddingStore(tmp_path / "s", version=1).get("toy/s1/s1-0", view="speedy").tobytes() == gone
    expire(tmp_path / "s")
    assert not any(gone in path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file())
    assert "nothing to do" in run(manifests, tmp_path / "s", settings=few)
    extend(order=ordered(manifests, settings=every), store=tmp_path / "s")
    run(manifests, tmp_path / "every", settings=every)
    assert_same_shards(tmp_path / "s", tmp_path / "every")
    drop_stage(store=tmp_path / "s", views=["noise", "both", "loud"])
    assert [parent.role for parent in EmbeddingStore(tmp_path / "s").header.declaration.lineage] == [
        "utterances",
        "backbone",
    ], "nothing is drawn from noises and rooms any more"


def test_views_that_are_not_there_or_would_be_the_last_are_not_dropped(manifests, tmp_path):
    run(manifests, tmp_path)
    before = (tmp_path / "store.json").read_bytes()
    with pytest.raises(StoreError, match="has no view 'loud'; it has clean, noise, both; nothing was dropped"):
        drop_stage(store=tmp_path, views=["clean", "loud"], speakers=["toy/s1"])
    with pytest.raises(StoreError, match="would have no view left"):
        drop_stage(store=tmp_path, views=["both", "clean", "noise"])
    assert (tmp_path / "store.json").read_bytes() == before


@pytest.mark.parametrize("vectors", ["hdf5", "parquet"])
def test_a_store_is_halved_to_what_an_extraction_in_float16_gives(manifests, tmp_path, vectors):
    full = SETTINGS.model_copy(update={"vectors": vectors})
    run(manifests, tmp_path / "s", settings=full)
    assert compact(store=tmp_path / "s", rows=1, dtype="float16").endswith("s: 3 shards of float16")
    run(manifests, tmp_path / "fresh", settings=full.model_copy(update={"dtype": "float16"}))
    assert_same_shards(tmp_path / "s", tmp_path / "fresh")
    before = (tmp_path / "s" / "store.json").read_bytes()
    assert compact(store=tmp_path / "s", rows=1, dtype="float16").endswith("s: 3 shards of float16")
    with pytest.raises(StoreError, match="holds float16, and what was rounded does not come back"):
        compact(store=tmp_path / "s", rows=1, dtype="float32")
    assert (tmp_path / "s" / "store.json").read_bytes() == before


def assert_same_shards(first: Path, second: Path) -> None:
    """Two stores say the same of themselves, and their shards hold the same bytes; what these are called aside."""
    one, two = EmbeddingStore(first), EmbeddingStore(second)
    one.verify()
    assert one.fingerprint == two.fingerprint
    assert one.header.declaration == two.header.declaration
    assert [[file.sha256 for file in shard.files] for shard in one.shards] == [
        [file.sha256 for file in shard.files] for shard in two.shards
    ]
