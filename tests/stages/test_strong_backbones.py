"""Networks on Kaldi's bands, trained elsewhere: tuned near stored anchors and put behind a mask, like any other."""

import json

import pytest
import torch

from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.backbones.table import backbone_class, load_backbone
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.frontends.folder import load_frontend
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.train_backbone import BackboneOrder, train_backbone
from reseed.stages.train_frontend import FrontendOrder, train_frontend
from reseed.store import EmbeddingStore
from tests.corpus import prepared, write_corpus
from tests.stages.backbones.checkpoints import STATES, save

NETWORKS = ("campplus", "resnet34_wespeaker")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "audio", splits=("train",), speakers=3, takes=2)
    return prepared(folder / "audio", folder, ("speech", "noise"))


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, corpus, tmp_path_factory):
    """(name, checkpoint, store of clean embeddings by it)."""
    folder = tmp_path_factory.mktemp(request.param)
    weights = save(STATES[request.param](), folder / "weights.pt")
    return request.param, weights, extracted(corpus, request.param, weights, folder / "store")


def extracted(corpus, name, weights, folder):
    views = ExtractSettings(views={"clean": {}}, crops={"duration_s": 0.5})
    order = ExtractOrder(corpus["speech"], name, views, 0, {}, {"weights": str(weights)})
    extract(order=order, store=folder, shards=1)
    return folder


def test_a_published_network_is_tuned_near_its_own_stored_embeddings(corpus, network, tmp_path):
    name, weights, store = network
    settings = {"backbone": name, "weights": weights, "crop_s": 0.5, "epochs": 1, "batch": 6, "lr": 1e-4}
    order = {"utterances": corpus["speech"], "sources": {"noise": corpus["noise"]}, "seed": 0, "anchors": store}
    training = BackboneTraining(**settings, views={"noise": {"noise": 5}})
    train_backbone(BackboneOrder(**order, model=tmp_path / "tuned", settings=training))
    facts = json.loads((tmp_path / "tuned" / "backbone.json").read_text())
    assert facts["started_from"] == facts["anchors"]["space"] == EmbeddingStore(store).space
    kind = backbone_class(name)
    before, after = (
        kind(kind.Config(weights=path)).state_dict() for path in (weights, tmp_path / "tuned" / "weights.safetensors")
    )
    moved = [key for key in before if not torch.equal(before[key], after[key])]
    assert len(moved) > 0.9 * len([key for key in before if before[key].is_floating_point()])


def test_a_crop_that_is_left_over_is_trained_on_by_the_statistics_so_far(corpus, network, tmp_path):
    name, weights, _ = network
    settings = {"backbone": name, "weights": weights, "crop_s": 0.5, "epochs": 1, "batch": 5, "lr": 1e-4}
    order = BackboneOrder(
        utterances=corpus["speech"], seed=0, model=tmp_path / "tuned", settings=BackboneTraining(**settings)
    )
    train_backbone(order)  # six utterances: one is alone in its batch
    tuned = load_backbone(name, {"weights": tmp_path / "tuned" / "weights.safetensors"}).frozen()
    assert torch.isfinite(tuned(torch.randn(1, 8000))).all()


def test_a_mask_is_trained_before_it(corpus, network, tmp_path):
    name, weights, store = network
    settings = FrontendTraining(crop_s=0.5, epochs=1, width=2, batch=6, views={"noise": {"noise": 0}}, score="anchor")
    given = {"backbone": name, "backbone_settings": {"weights": str(weights)}, "store": store, "seed": 0}
    order = {"utterances": corpus["speech"], "sources": {"noise": corpus["noise"]}, "model": tmp_path / "mask"}
    train_frontend(FrontendOrder(**given, **order, settings=settings))
    masked, _ = load_frontend(tmp_path / "mask", load_backbone(name, {"weights": weights}))
    assert masked.space.startswith(f"{name}-gradw:")
    assert torch.isfinite(masked.frozen()(torch.randn(1, 8000))).all()
