import math
from pathlib import Path

import numpy as np
import pytest
import torch

from reseed.stages.common import derived
from reseed.stages.enhance import enhance, shard_generator
from reseed.stages.enhancers.chain import ChainConfig
from reseed.stages.enhancers.folder import load_model
from reseed.stages.enhancers.seed import SeedConfig
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.stages.train import EnhancerOrder, train
from reseed.store import EmbeddingStore, ModelError, Reject, StoreError, atomic, read_rejects
from tests.stages.stores import overwrite_vector, write_store


def train_model(store: EmbeddingStore, model: Path, enhancer: str = "seed") -> Path:
    settings = WccnConfig() if enhancer == "wccn" else SeedConfig(epochs=2)
    train(EnhancerOrder(store=store.path, model=model, enhancer=enhancer, settings=settings, seed=0))
    return model


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    return write_store(tmp_path / "store", shards=3, rejects=(Reject("utt-x", "extract", "empty"),))


@pytest.fixture
def model(tmp_path, store) -> Path:
    return train_model(store, tmp_path / "model")


def contents(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_enhanced_store_has_the_catalogue_and_the_rejects_of_its_parent(store, model, tmp_path):
    enhance(store=store.path, model=model, enhanced=tmp_path / "enhanced", seed=0)
    enhanced = EmbeddingStore(tmp_path / "enhanced")
    enhanced.verify()
    assert enhanced.rows().equals(store.rows())
    assert (enhanced.recipes, enhanced.crops, enhanced.dim) == (store.recipes, store.crops, store.dim)
    assert (enhanced.header.expected, enhanced.header.rejected) == (13, 1)
    assert read_rejects(enhanced.path / "rejects.parquet") == [Reject("utt-x", "extract", "empty")]


def test_enhanced_store_declares_its_space_inputs_and_lineage(store, model, tmp_path):
    enhance(store=store.path, model=model, enhanced=tmp_path / "enhanced", seed=7)
    enhanced, weights = EmbeddingStore(tmp_path / "enhanced"), load_model(model)[1].weights_sha256
    declared = enhanced.header.declaration
    assert enhanced.space == f"ge2e:aaaaaaaa+seed:{weights[:8]}"
    assert declared.inputs.to_json() == {
        "parent": store.fingerprint,
        "model": weights,
        "enhancer": "seed",
        "config": SeedConfig(epochs=2).model_dump(),
        "seed": 7,
    }
    assert [parent.to_json() for parent in declared.lineage] == [
        {"role": "parent", "path": str(store.path), "digest": store.fingerprint},
        {"role": "model", "path": str(model), "digest": weights},
    ]


def test_vectors_are_those_of_the_enhancer_with_the_noise_of_their_shard(store, model, tmp_path):
    enhance(store=store.path, model=model, enhanced=tmp_path / "enhanced", seed=5)
    network, _ = load_model(model)
    expected = network.enhance(torch.from_numpy(np.array(store.shard(2).vectors())), shard_generator(5, 2))
    np.testing.assert_array_equal(EmbeddingStore(tmp_path / "enhanced").shard(2).vectors(), expected.numpy())


def test_a_model_that_adapts_takes_the_means_of_the_whole_store_and_declares_its_vectors(store, tmp_path):
    settings = ChainConfig(chain=[{"centre": {"mean": "views", "prior": 0}}, {"lda": 3}])
    order = EnhancerOrder(store=store.path, model=tmp_path / "own", enhancer="chain", settings=settings, seed=0)
    train(order)
    enhance(store=store.path, model=tmp_path / "own", enhanced=tmp_path / "enhanced", seed=0)
    enhanced = EmbeddingStore(tmp_path / "enhanced")
    assert (enhanced.dim, enhanced.vectors().shape) == (3, (72, 3))
    assert enhanced.rows().equals(store.rows())
    inputs = enhanced.header.declaration.inputs.to_json()
    assert inputs["adapted_to"] == atomic.digest([shard.digest for shard in store.shards])
    network, _ = load_model(tmp_path / "own")
    blocks_NVD = torch.from_numpy(store.vectors().copy()).unflatten(0, (-1, 3))
    network.adapt([blocks_NVD], crops=2, speakers=6)
    expected_NVK = network.enhance_block(blocks_NVD, torch.Generator())
    np.testing.assert_allclose(enhanced.vectors(), expected_NVK.flatten(0, 1), atol=1e-5)


def test_a_store_that_is_whole_is_not_read_again_to_adapt_to(store, tmp_path, monkeypatch):
    settings = ChainConfig(chain=[{"centre": {"mean": "store"}}])
    train(EnhancerOrder(store=store.path, model=tmp_path / "own", enhancer="chain", settings=settings, seed=0))
    enhance(store=store.path, model=tmp_path / "own", enhanced=tmp_path / "enhanced", seed=0)
    before = contents(tmp_path / "enhanced")
    monkeypatch.setattr("reseed.stages.enhance.adapt", lambda *_: pytest.fail("it was read"))
    enhance(store=store.path, model=tmp_path / "own", enhanced=tmp_path / "enhanced", seed=0)
    assert contents(tmp_path / "enhanced") == before


def test_noise_differs_between_shards_and_between_seeds():
    draws = [torch.randn(4, generator=shard_generator(seed, shard)) for seed, shard in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(draw.tolist()) for draw in draws}) == 3
    assert torch.equal(draws[0], torch.randn(4, generator=shard_generator(0, 0)))


def test_large_shards_go_through_the_network_in_blocks(store, tmp_path, monkeypatch):
    model = train_model(store, tmp_path / "model", "wccn")
    enhance(store=store.path, model=model, enhanced=tmp_path / "whole", seed=0)
    monkeypatch.setattr("reseed.stages.enhancers.base._BLOCK_ROWS", 5)
    enhance(store=store.path, model=model, enhanced=tmp_path / "blocks", seed=0)
    whole, blocks = (EmbeddingStore(tmp_path / name).vectors() for name in ("whole", "blocks"))
    np.testing.assert_allclose(blocks, whole, rtol=1e-5, atol=1e-6)


def test_interrupted_enhance_resumes_to_the_same_bytes(store, model, tmp_path, monkeypatch):
    written = []
    write_shard = derived.write_shard

    def dying_write_shard(enhanced, index, *rest, **named):
        if index == 1 and not written[1:]:
            written.append("died")
            raise KeyboardInterrupt
        written.append(index)
        write_shard(enhanced, index, *rest, **named)

    enhance(store=store.path, model=model, enhanced=tmp_path / "whole", seed=0)
    monkeypatch.setattr(derived, "write_shard", dying_write_shard)
    with pytest.raises(KeyboardInterrupt):
        enhance(store=store.path, model=model, enhanced=tmp_path / "enhanced", seed=0)
    with pytest.raises(StoreError, match="not a finished store"):
        EmbeddingStore(tmp_path / "enhanced")
    enhance(store=store.path, model=model, enhanced=tmp_path / "enhanced", seed=0)
    assert written == [0, "died", 1, 2]
    assert contents(tmp_path / "enhanced") == contents(tmp_path / "whole")


def test_finished_store_is_enhanced_anew_only_where_its_inputs_change(store, model, tmp_path, capsys):
    for seed in (0, 0, 1):
        enhance(store=store.path, model=model, enhanced=tmp_path / "enhanced", seed=seed)
    lines = [line for line in capsys.readouterr().err.splitlines() if "shards to do" in line]
    assert [line.rsplit(": ")[1] for line in lines] == [f"{n} of 3 shards to do" for n in (3, 0, 3)]


def test_enhanced_store_can_be_trained_on_and_enhanced_again(store, tmp_path):
    whiten = train_model(store, tmp_path / "wccn", "wccn")
    enhance(store=store.path, model=whiten, enhanced=tmp_path / "whitened", seed=0)
    model = train_model(EmbeddingStore(tmp_path / "whitened"), tmp_path / "seed")
    enhance(store=tmp_path / "whitened", model=model, enhanced=tmp_path / "both", seed=0)
    assert EmbeddingStore(tmp_path / "both").space.startswith("ge2e:aaaaaaaa+wccn:")
    assert "+seed:" in EmbeddingStore(tmp_path / "both").space


def test_float16_store_stays_float16(tmp_path):
    store = write_store(tmp_path / "store", dtype="float16")
    model = train_model(store, tmp_path / "model")
    enhance(store=store.path, model=model, enhanced=tmp_path / "enhanced", seed=0)
    assert EmbeddingStore(tmp_path / "enhanced").vectors().dtype == np.float16


def test_model_of_another_backbone_names_both_spaces(model, tmp_path):
    other = write_store(tmp_path / "other", space="ecapa:bbbbbbbb")
    with pytest.raises(ModelError, match=r"trained on embeddings of ge2e:aaaaaaaa, store .*other holds ecapa:bbbbbbbb"):
        enhance(store=other.path, model=model, enhanced=tmp_path / "enhanced", seed=0)


def test_model_of_another_dimension_names_both_dimensions(model, tmp_path):
    other = write_store(tmp_path / "other", dim=32)
    with pytest.raises(ModelError, match=r"takes 16 dimensions, store .*other holds 32"):
        enhance(store=other.path, model=model, enhanced=tmp_path / "enhanced", seed=0)


def test_store_is_never_enhanced_onto_itself(store, model):
    before = contents(store.path)
    with pytest.raises(StoreError, match="which is to be read; write it elsewhere"):
        enhance(store=store.path, model=model, enhanced=store.path, seed=0)
    assert contents(store.path) == before


def test_vectors_that_are_not_finite_name_their_utterance(store, model, tmp_path, monkeypatch):
    monkeypatch.setenv("RESEED_CHECK_VECTORS", "0")  # or they are found to be damaged first
    overwrite_vector(store, row=7, value=math.nan)
    with pytest.raises(StoreError, match=r"shard 00000-\w+: 1 vectors are not finite, first .*utt-001.*, view 'noise'"):
        enhance(store=store.path, model=model, enhanced=tmp_path / "enhanced", seed=0)
    assert not (tmp_path / "enhanced/store.json").exists()


def test_a_disk_without_room_is_known_before_the_first_shard(store, model, tmp_path, monkeypatch):
    monkeypatch.setattr("reseed.stages.common.space.free_bytes_at", lambda path: 1000)
    with pytest.raises(StoreError, match=r"enhanced will take about .* kB more, and its disk has 1 kB left; make room"):
        enhance(store=store.path, model=model, enhanced=tmp_path / "enhanced", seed=0)
    assert not (tmp_path / "enhanced").exists()
