"""Parts of a trained network adapted to other speech: low-rank updates, and statistics alone."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from reseed.stages.audio.manifest import read_manifest
from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.backbones.table import load_backbone
from reseed.stages.backbones.training.adaptation import choose, merge_updates, normalisations
from reseed.stages.backbones.training.network import SpeakerClassifier, make_backbone
from reseed.stages.backbones.training.reader import SpeechReader
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.train_backbone import BackboneOrder, train_backbone
from tests.corpus import prepared, write_corpus
from tests.stages.backbones.checkpoints import STATES, save

RESNET34 = Path(__file__).resolve().parents[3] / "shared/weights/wespeaker-resnet34-256.onnx"
LOW_RANK = {"lora": {"rank": 2, "alpha": 4}, "batch_norm": "fixed"}
# Which parameters of each are trained.
TOPS = {"campplus": ["xvector"], "resnet34_wespeaker": ["layer4", "seg_1"], "titanet": []}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "audio", splits=("train",), speakers=3, takes=2)
    return prepared(folder / "audio", folder, ("speech", "noise"))


def settings_of(name, folder, **more):
    weights = save(STATES[name](), folder / f"{name}.pt")
    short = {"backbone": name, "weights": weights, "crop_s": 0.5, "epochs": 1, "batch": 6, "warmup_steps": 0}
    return BackboneTraining(**short | {"views": {"noise": {"noise": 5}}} | more)


def trained(corpus, settings, folder, **order):
    given = {"utterances": corpus["speech"], "sources": {"noise": corpus["noise"]}, "seed": 0}
    train_backbone(BackboneOrder(**given, model=folder, settings=settings, **order))
    states = [load_backbone(settings.backbone, {"weights": path}) for path in (settings.weights, weights_in(folder))]
    before, after = (network.state_dict() for network in states)
    return {name for name in before if not torch.equal(before[name], after[name])}, before, after


def weights_in(folder):
    return folder / "weights.safetensors"


@pytest.mark.parametrize("name", TOPS)
def test_low_rank_updates_are_nothing_at_first_and_the_same_network_once_merged(tmp_path, name):
    settings = settings_of(name, tmp_path, trained=TOPS[name], **LOW_RANK)
    base, updated = (make_backbone(settings, 0).eval() for _ in range(2))
    choose(updated, settings)
    wave_BT = torch.randn(2, 8000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(base(wave_BT), updated(wave_BT))
    learnt = [parameter for parameter in updated.parameters() if parameter.requires_grad]
    assert sum(map(torch.numel, learnt)) < 0.7 * sum(map(torch.numel, base.parameters()))
    with torch.no_grad():
        for parameter in learnt:
            parameter += 0.05 * torch.randn_like(parameter)
    unmerged_BD = updated(wave_BT)
    assert not torch.allclose(unmerged_BD, base(wave_BT), rtol=1e-2)
    merge_updates(updated)
    assert torch.equal(updated(wave_BT), unmerged_BD)
    base.load_state_dict(updated.state_dict())
    assert torch.equal(base(wave_BT), unmerged_BD)


def test_what_low_rank_training_saves_is_an_ordinary_checkpoint_of_low_rank_changes(corpus, tmp_path):
    settings = settings_of("campplus", tmp_path, trained=["xvector.block3"], lr=1e-2, **LOW_RANK)
    moved, before, after = trained(corpus, settings, tmp_path / "m", checkpoint_every_s=0.0)
    assert moved
    for name in moved:
        assert name.startswith("xvector.block3")
        assert name.endswith(("linear.weight", "linear1.weight", "linear2.weight", "linear_local.weight"))
        assert torch.linalg.matrix_rank((after[name] - before[name]).flatten(1), rtol=1e-3) <= 2
    assert json.loads((tmp_path / "m/backbone.json").read_text())["settings"]["lora"] == {"rank": 2, "alpha": 4.0}


def test_statistics_alone_become_those_of_what_is_heard(corpus, tmp_path):
    settings = settings_of("campplus", tmp_path, trained=None, head=None, batch=3, ema=0.5)
    moved, _, after = trained(corpus, settings, tmp_path / "m")
    assert {name.rpartition(".")[2] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}
    backbone = make_backbone(settings, 0)
    assert {name.rpartition(".")[0] for name in moved} == {
        name for name, layer in backbone.named_modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    }
    rows, given = read_manifest(corpus["speech"]), {"sample_rate_hz": 16_000, "seed": 0, "device": "cpu"}
    sums = []
    backbone.head.bn1.register_forward_pre_hook(lambda layer, seen: sums.append(seen[0].mean(dim=(0, 2, 3))))
    network = SpeakerClassifier(settings, backbone, 3).train()
    for crops in SpeechReader(rows, [], settings, sources={"noise": corpus["noise"]}, **given).batches(1):
        network.loss(crops, torch.Generator())
    assert len(sums) == 2
    assert torch.allclose(after["head.bn1.running_mean"], torch.stack(sums).mean(dim=0), atol=1e-5)


def test_statistics_are_gathered_by_one_process(corpus, tmp_path):
    settings = settings_of("campplus", tmp_path, trained=None, head=None)
    with pytest.raises(Exception, match="trained: null adapts statistics, which one process gathers"):
        trained(corpus, settings, tmp_path / "m", processes=2)


@pytest.mark.skipif(not RESNET34.exists(), reason="the published weights are not there")
@pytest.mark.parametrize("lora", [None, {"rank": 4}])
def test_the_published_resnet34_is_tuned_near_its_anchors_without_normalisations(corpus, tmp_path, lora):
    views = ExtractSettings(views={"clean": {}}, crops={"duration_s": 0.5})
    order = ExtractOrder(corpus["speech"], "resnet34_wespeaker", views, 0, {}, {"weights": str(RESNET34)})
    extract(order=order, store=tmp_path / "store", shards=1)
    settings = BackboneTraining(
        **{"backbone": "resnet34_wespeaker", "weights": RESNET34, "crop_s": 0.5, "epochs": 1, "batch": 3, "lr": 1e-4},
        **{"anchored": True, "centre": True, "head_start": "anchors", "trained": ["layer4", "seg_1"], "lora": lora},
    )
    moved, _, _ = trained(corpus, settings, tmp_path / "m", anchors=tmp_path / "store")
    assert moved
    assert all(name.startswith(("layer4", "seg_1")) for name in moved)
    tuned = load_backbone("resnet34_wespeaker", {"weights": weights_in(tmp_path / "m")}).frozen()
    assert not normalisations(tuned)
    assert torch.isfinite(tuned(torch.randn(1, 8000))).all()
