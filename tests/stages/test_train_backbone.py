"""Backbones trained on files of generated voices: from nothing, from ge2e near stored anchors, killed and resumed."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from reseed.stages.audio.manifest import read_manifest
from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.backbones.table import backbone_class
from reseed.stages.backbones.training.anchors import Anchors
from reseed.stages.backbones.training.losses import angular_margin, proximity
from reseed.stages.backbones.training.network import Crops, SpeakerClassifier, make_backbone
from reseed.stages.backbones.training.reader import SpeechReader
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.backbones.training.speech import Speech
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.train_backbone import BackboneOrder, train_backbone
from reseed.store import ConfigError, EmbeddingStore, ManifestError, ModelError, StoreError
from tests.corpus import prepared, write_corpus

ROOT = Path(__file__).resolve().parents[2]

SMALL = {"backbone": "ecapa_tdnn", "channels": 8, "dimensions": 16, "bands": 24, "crop_s": 0.4, "batch": 8}
NOISY = {"clean": {}, "noise": {"noise": [0, 10]}, "babble": {"babble": 5}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Manifests of the speech of four speakers, four utterances each, and of noise."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "audio", speakers=4, takes=4)
    return prepared(folder / "audio", folder, ("speech", "noise"))


@pytest.fixture(scope="module")
def anchors(corpus: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("anchors") / "store"
    views = ExtractSettings(views={"clean": {}, "noise": {"noise": 5}}, crops={"count": 2, "duration_s": 1.6})
    sources = {"noise": corpus["noise"]}
    extract(order=ExtractOrder(corpus["speech"], "ge2e", views, 0, sources), store=store, shards=2)
    return store


def run(corpus: dict[str, Path], model: Path, **options: Any) -> dict[str, Any]:
    settings = BackboneTraining(**(SMALL | options.pop("settings", {})))
    given = {"utterances": corpus["speech"], "sources": {"noise": corpus["noise"]}, "seed": 0}
    train_backbone(BackboneOrder(**{**given, "model": model, "settings": settings, **options}))
    return json.loads((model / "backbone.json").read_text())


def losses(model: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (model / "train.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("head", ["aam", "softmax"])
def test_an_untrained_network_learns_speakers_and_is_extracted_like_any_other(corpus, tmp_path, head):
    model = tmp_path / "small"
    facts = run(corpus, model, settings={"head": head, "epochs": 5, "crops": 2, "speeds": [0.9, 1.0], "margin": 0.0})
    assert losses(model)[-1] < 0.8 * losses(model)[0]
    assert len(facts["speakers"]) == 4
    assert facts["started_from"] == "untrained"
    weights = {"weights": str(model / "weights.safetensors")}
    views = ExtractSettings(views={"clean": {}}, crops={"duration_s": 0.4})
    extract(
        order=ExtractOrder(corpus["speech"], "ecapa_tdnn", views, 0, {}, weights), store=tmp_path / "store", shards=1
    )
    store = EmbeddingStore(tmp_path / "store")
    assert store.dim == 16
    assert store.space.startswith("ecapa_tdnn:")
    assert "# A speaker backbone: ecapa_tdnn" in (model / "README.md").read_text()


def test_resnet_is_trained_too_and_judged_on_speakers_held_out(corpus, tmp_path):
    sizes = {"backbone": "resnet_se34v2", "bands": 16, "dimensions": 8, "epochs": 1, "held_out": 0.5, "ema": 0.9}
    facts = run(corpus, tmp_path / "resnet", settings=sizes | {"views": NOISY})
    assert len(facts["speakers"]) == 2
    row = json.loads((tmp_path / "resnet" / "train.jsonl").read_text())
    assert 0 <= row["validation_eer"] <= 1
    assert row["crops_per_s"] > 0
    network = backbone_class("resnet_se34v2")
    made = network(network.Config(weights=tmp_path / "resnet" / "weights.safetensors")).frozen()
    assert torch.isfinite(made(torch.randn(2, 8000))).all()


def test_fine_tuning_near_anchors_holds_embeddings_where_they_were(corpus, anchors, tmp_path):
    tuned = {"backbone": "ge2e", "crop_s": 1.6, "epochs": 3, "lr": 3e-4, "views": NOISY, "head": "softmax", "batch": 8}
    near = tuned | {"proximity": {"kind": "cosine", "weight": 100.0}}
    facts = run(corpus, tmp_path / "near", settings=near, anchors=anchors)
    assert facts["anchors"]["space"] == facts["started_from"] == EmbeddingStore(anchors).space
    run(corpus, tmp_path / "free", settings=tuned | {"crops": 2})
    kept = {}
    for name in ("near", "free"):
        network = backbone_class("ge2e")
        moved = network(network.Config(weights=tmp_path / name / "weights.safetensors")).frozen()
        assert moved.space != EmbeddingStore(anchors).space
        views = ExtractSettings(views={"clean": {}}, crops={"count": 2, "duration_s": 1.6})
        weights = {"weights": str(tmp_path / name / "weights.safetensors")}
        extract(
            order=ExtractOrder(corpus["speech"], "ge2e", views, 0, {}, weights),
            store=tmp_path / f"{name}.store",
            shards=1,
        )
        first, second = EmbeddingStore(anchors).vectors("clean"), EmbeddingStore(tmp_path / f"{name}.store").vectors()
        kept[name] = float((first * second).sum(axis=1).mean())
    assert kept["near"] > kept["free"]
    assert kept["near"] > 0.9


@pytest.mark.parametrize("kind", ["l2", "log_residual"])
def test_anchors_alone_need_no_labels_and_frozen_layers_stay(corpus, anchors, tmp_path, kind):
    unlabelled = tmp_path / "unlabelled.parquet"
    table = pq.read_table(corpus["speech"])
    place = table.schema.get_field_index("speaker_id")
    pq.write_table(table.set_column(place, "speaker_id", pa.nulls(len(table), pa.string())), unlabelled)
    settings = {"backbone": "ge2e", "crop_s": 1.6, "epochs": 1, "head": None, "proximity": {"kind": kind}}
    run({**corpus, "speech": unlabelled}, tmp_path / "m", settings=settings | {"frozen": ["lstm"]}, anchors=anchors)
    network = backbone_class("ge2e")
    before = network().state_dict()
    after = network(network.Config(weights=tmp_path / "m" / "weights.safetensors")).state_dict()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"linear"}


def test_chosen_layers_are_trained_and_statistics_stay_where_they_are_fixed(corpus, tmp_path):
    run(corpus, tmp_path / "base", settings={"epochs": 1})
    network = backbone_class("ecapa_tdnn")
    changed = {}
    for statistics in ("batch", "fixed"):
        top = {"epochs": 1, "trained": ["attention", "fc6"], "frozen": ["attention.0"], "batch_norm": statistics}
        run(corpus, tmp_path / statistics, base=tmp_path / "base", settings=top)
        before, after = (
            network(network.Config(weights=tmp_path / name / "weights.safetensors")).state_dict()
            for name in ("base", statistics)
        )
        changed[statistics] = {name for name in before if not torch.equal(before[name], after[name])}
    assert not {name for name in changed["fixed"] if "running" in name or "tracked" in name}
    assert "bn1.running_mean" in changed["batch"]
    learnt = {name for name in changed["batch"] if "running" not in name and "tracked" not in name}
    assert learnt == changed["fixed"] >= {"attention.3.weight", "fc6.weight"}
    assert {name.partition(".")[0] for name in learnt} == {"attention", "fc6"}
    assert not {name for name in learnt if name.startswith("attention.0")}


CENTRED = {"backbone": "ge2e", "crop_s": 1.6, "anchored": True, "head_start": "anchors", "centre": True}


def classifier(corpus, store, settings):
    """Return what a training would start with, and its first batch, all clean."""
    backbone = make_backbone(settings, 0)
    anchors = Anchors(EmbeddingStore(store), backbone, settings.crop_s)
    speech = Speech.of(corpus["speech"], settings, anchors)
    network = SpeakerClassifier.of(settings, backbone, anchors, speech).eval()
    given = {"sources": {}, "sample_rate_hz": 16_000, "seed": 0, "device": "cpu", "anchors": anchors}
    return network, next(iter(SpeechReader(speech.utterances, speech.speakers, settings, **given).batches(1)))


@pytest.mark.parametrize("centre", [False, True])
def test_a_classifier_that_starts_at_the_anchors_knows_their_speakers(corpus, anchors, centre):
    settings = BackboneTraining(**CENTRED | {"centre": centre}, batch=64)
    network, crops = classifier(corpus, anchors, settings)
    unit_ND = F.normalize(crops.anchor_BD, dim=-1)
    centred_ND = F.normalize(unit_ND - unit_ND.mean(dim=0), dim=-1) if centre else unit_ND
    by_hand = torch.stack([centred_ND[crops.label_B == label].mean(dim=0) for label in range(4)])
    assert torch.allclose(network.speaker_KD, F.normalize(by_hand, dim=-1), atol=1e-5)
    said_B = (F.normalize(network.centred(crops.anchor_BD), dim=-1) @ network.speaker_KD.T).argmax(dim=1)
    assert (said_B == crops.label_B).float().mean() > 0.9
    heard_BD = network.centred(network.backbone(crops.waveform_BT))
    near = proximity(heard_BD, centred_ND, settings.proximity)
    assert near < 1e-3  # the very crops, heard clean; stores are of half precision
    loss = angular_margin(heard_BD, network.speaker_KD, crops.label_B, settings.margin, settings.scale) + near
    assert torch.allclose(network.loss(crops, torch.Generator()), loss, atol=1e-4)


def test_in_bfloat16_a_crop_at_its_speaker_has_a_finite_gradient():
    settings = BackboneTraining(**CENTRED, batch=4)
    mean_D, *unit_4D = F.normalize(torch.randn(5, 256, generator=torch.Generator().manual_seed(0)), dim=-1)
    heard_BD = torch.stack(unit_4D).bfloat16().float().requires_grad_()
    start_KD = F.normalize(heard_BD.detach(), dim=-1) - mean_D
    network = SpeakerClassifier(settings, make_backbone(settings, 0), 4, start_KD=start_KD, mean_D=mean_D)
    network.backbone = torch.nn.Identity()
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.loss(Crops(heard_BD, torch.arange(4), heard_BD.detach()), torch.Generator())
    loss.backward()
    assert torch.isfinite(heard_BD.grad).all()
    wanted = angular_margin(network.centred(heard_BD), start_KD, torch.arange(4), settings.margin, settings.scale)
    assert torch.allclose(loss, wanted, atol=1e-6)


def test_a_training_from_the_anchors_moves_network_and_classifier_and_judges_centred(corpus, anchors, tmp_path):
    settings = CENTRED | {"epochs": 2, "lr": 1e-4, "batch": 8, "views": NOISY, "precision": "bfloat16"}
    facts = run(corpus, tmp_path / "m", settings=settings | {"head_lr_factor": 10, "held_out": 0.5}, anchors=anchors)
    assert facts["settings"]["head_start"] == "anchors"
    rows = [json.loads(line) for line in (tmp_path / "m" / "train.jsonl").read_text().splitlines()]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert all(0 <= row["validation_eer"] < 0.5 for row in rows)


def test_settings_that_came_later_count_where_they_are_set():
    later = {"trained": ["linear"], "batch_norm": "fixed", "head_lr_factor": 10.0, "centre": True}
    later |= {"head_start": "anchors", "anchored": True}
    later["lora"] = {"rank": 4, "alpha": 8.0}
    assert not {*later} - {"anchored"} & set(BackboneTraining().model_dump(mode="json"))
    assert later.items() <= BackboneTraining(**later).model_dump(mode="json").items()


def test_fine_tuning_starts_from_a_backbone_that_was_trained_before(corpus, tmp_path):
    first = run(corpus, tmp_path / "base", settings={"epochs": 1})
    base = {"base": tmp_path / "base", "settings": {"epochs": 1, "lr": 1e-9, "weight_decay": 0, "warmup_steps": 0}}
    second = run(corpus, tmp_path / "tuned", **base)
    assert second["started_from"].startswith("ecapa_tdnn:")
    network = backbone_class("ecapa_tdnn")
    states = [
        network(network.Config(weights=tmp_path / name / "weights.safetensors")).state_dict()
        for name in ("base", "tuned")
    ]
    assert first["weights_sha256"] != second["weights_sha256"]  # statistics of its normalisations move on
    assert all(
        torch.allclose(states[0][name], states[1][name], atol=1e-6)
        for name in states[0]
        if "running" not in name and "num_" not in name
    )
    with pytest.raises(ConfigError, match=r"base is a ecapa_tdnn, the training is of a resnet_se34v2; set backbone"):
        run(corpus, tmp_path / "other", base=tmp_path / "base", settings={"backbone": "resnet_se34v2"})


def test_a_network_that_is_used_as_it_is_hears_no_speech(corpus, tmp_path):
    facts = run(corpus, tmp_path / "base", settings={"epochs": 1})
    weights = {"weights": tmp_path / "base" / "weights.safetensors", "epochs": 0}
    nobody = {**corpus, "speech": tmp_path / "no.parquet"}
    same = run(nobody, tmp_path / "same", settings=weights)
    assert (same["weights_sha256"], same["speakers"]) == (facts["weights_sha256"], [])
    card = (tmp_path / "same" / "README.md").read_text()
    assert f"Not trained further: {same['started_from']}, as it is.\n" in card
    assert losses(tmp_path / "same") == []


def test_a_share_of_the_base_is_kept(corpus, anchors, tmp_path):
    tuned = {"backbone": "ge2e", "crop_s": 1.6, "epochs": 1, "head": None, "batch": 8}
    for name, share in (("tuned", 0.0), ("mixed", 0.25)):
        run(corpus, tmp_path / name, settings=tuned | {"base_share": share}, anchors=anchors)
    kind = backbone_class("ge2e")
    base = kind().state_dict()
    tuned_state, mixed = (
        kind(kind.Config(weights=tmp_path / name / "weights.safetensors")).state_dict() for name in ("tuned", "mixed")
    )
    assert not torch.equal(base["linear.weight"], tuned_state["linear.weight"])
    for name, before in base.items():
        assert torch.allclose(mixed[name], 0.75 * tuned_state[name] + 0.25 * before, atol=1e-6)
    with pytest.raises(ConfigError, match="base_share is of the weights that a training starts from"):
        run(corpus, tmp_path / "none", settings={"base_share": 0.5})


def test_joint_training_hears_each_crop_clean_as_well(corpus, tmp_path):
    settings = BackboneTraining(**SMALL, views={"noise": {"noise": 0}}, joint=True)
    rows = read_manifest(corpus["speech"])
    speakers = sorted({row.speaker_id for row in rows})
    sources = {"noise": corpus["noise"]}
    given = {"sources": sources, "sample_rate_hz": 16_000, "seed": 0, "device": "cpu"}
    crops = next(iter(SpeechReader(rows, speakers, settings, with_clean=True, **given).batches(1)))
    added = crops.waveform_BT - crops.clean_BT
    powers = [signal.square().mean(dim=1) for signal in (crops.clean_BT, added)]
    assert torch.allclose(powers[0], powers[1], rtol=1e-2)  # 0 dB
    network = SpeakerClassifier(settings, make_backbone(settings, 0), len(speakers)).eval()
    parts = network.loss(crops, torch.Generator())
    heard, clean = network.backbone(crops.waveform_BT), network.backbone(crops.clean_BT)
    wanted = network._classified(torch.cat([heard, clean]), network.speaker_KD, crops.label_B.repeat(2))
    wanted = wanted + proximity(heard, clean, settings.proximity)
    assert torch.allclose(parts, wanted, atol=1e-5)
    run(corpus, tmp_path / "joint", settings={"epochs": 1, "joint": True, "views": NOISY})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"anchored": True}, "anchored: true needs the clean vectors to stay near; give --anchors STORE"),
        ({"starts_from": "base"}, "starts_from: base needs its folder; give --base FOLDER"),
    ],
)
def test_what_a_run_would_pass_on_is_asked_for(corpus, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        run(corpus, tmp_path / "m", settings=settings)


def test_speakers_of_one_utterance_are_counted(corpus, tmp_path, capsys):
    table = pq.read_table(corpus["speech"])
    fewer = tmp_path / "fewer.parquet"
    pq.write_table(table.slice(3), fewer)  # of the first speaker one utterance is left
    run({**corpus, "speech": fewer}, tmp_path / "m", settings={"epochs": 1})
    assert "1 of 4 speakers have one utterance, e.g. " in capsys.readouterr().err


def test_batches_depend_on_seed_epoch_and_position_alone(corpus):
    settings = BackboneTraining(**SMALL, views=NOISY, speeds=(0.9, 1.0), crops=2)
    rows = read_manifest(corpus["speech"])
    speakers = sorted({row.speaker_id for row in rows})

    def reader(seed: int = 0) -> SpeechReader:
        sources = {"noise": corpus["noise"], "babble": corpus["speech"]}
        return SpeechReader(rows, speakers, settings, sources=sources, sample_rate_hz=16_000, seed=seed, device="cpu")

    whole = list(reader().batches(1))
    assert len(whole) == 4
    tail = list(reader().batches(1, 2))
    for first, second in zip(whole[2:], tail, strict=True):
        assert torch.equal(first.waveform_BT, second.waveform_BT)
        assert torch.equal(first.label_B, second.label_B)
    assert {int(label) for batch in whole for label in batch.label_B} <= set(range(8))
    assert not torch.equal(next(iter(reader().batches(2))).waveform_BT, whole[0].waveform_BT)
    assert not torch.equal(next(iter(reader(1).batches(1))).waveform_BT, whole[0].waveform_BT)


KILLED = """
import os
import signal

from reseed.stages.training.checkpoint import TrainingCheckpoint

save = TrainingCheckpoint.save

def save_and_die(self, state):
    save(self, state)
    os.kill(os.getpid(), signal.SIGKILL)

TrainingCheckpoint.save = save_and_die
"""


def kill_at_first_checkpoint(script, checkpoint):
    """Run a training in a process of its own, which is killed as soon as it has left a checkpoint."""
    command = [sys.executable, "-c", KILLED + script]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL
    assert checkpoint.exists()


@pytest.mark.parametrize(
    "more", [{"epochs": 3}, CENTRED | {"head_lr_factor": 10}, CENTRED | {"lora": {}}], ids=["plain", "anchors", "lora"]
)
def test_a_killed_training_goes_on_to_the_very_same_weights(corpus, anchors, tmp_path, capfd, more):
    settings = {"epochs": 2, "crops": 2} | more
    store = anchors if "anchored" in more else None
    script = (
        "import torch; from pathlib import Path\n"
        "from reseed.stages.train_backbone import BackboneOrder, train_backbone\n"
        "from reseed.stages.backbones.training.settings import BackboneTraining\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        f"order = BackboneOrder(utterances=Path({str(corpus['speech'])!r}), model=Path({str(tmp_path / 'cut')!r}),\n"
        f"    anchors={store and str(store)!r},\n"
        f"    seed=0, checkpoint_every_s=0.0, settings=BackboneTraining(**{SMALL | settings!r}))\n"
        "train_backbone(order)"
    )
    kill_at_first_checkpoint(script, tmp_path / ".cut.checkpoint")
    for name in ("whole", "cut"):
        run(corpus, tmp_path / name, settings=settings, sources={}, anchors=store)
    assert "resuming from" in capfd.readouterr().err
    assert (tmp_path / "cut/weights.safetensors").read_bytes() == (tmp_path / "whole/weights.safetensors").read_bytes()


def test_what_cannot_be_trained_on_is_named(corpus, anchors, tmp_path):
    model = tmp_path / "m"
    with pytest.raises(ConfigError, match="the views ask for music; give the manifest with --music"):
        run(corpus, model, settings={"views": {"music": {"music": 5}}})
    with pytest.raises(ConfigError, match="head: null trains by anchors alone"):
        run(corpus, model, settings={"head": None})
    ge2e = {"backbone": "ge2e", "crop_s": 1.6}
    with pytest.raises(ConfigError, match=r"set speeds: \[1.0\]"):
        run(corpus, model, settings=ge2e | {"speeds": [0.9]}, anchors=anchors)
    with pytest.raises(StoreError, match=r"anchors .* are of crops of 1.6 s, the training hears 0.4 s"):
        run(corpus, model, settings={"backbone": "ge2e"}, anchors=anchors)
    with pytest.raises(StoreError, match="holds anchors of ge2e:.*, the training starts from ecapa_tdnn:"):
        run(corpus, model, settings={"crop_s": 1.6}, anchors=anchors)
    with pytest.raises(ConfigError, match=r"ge2e has no parameter conv1\.\.\.; its layers are lstm, linear"):
        run(corpus, model, settings=ge2e | {"frozen": ["conv1"]})
    with pytest.raises(ConfigError, match=r"trained: ecapa_tdnn has no parameter attention\.9.*are attention\.0"):
        run(corpus, model, settings={"trained": ["attention.9"]})
    with pytest.raises(ConfigError, match="trained: null adapts statistics of normalisations, and this ge2e has none"):
        run(corpus, model, settings=ge2e | {"trained": None, "head": None})
    with pytest.raises(ConfigError, match="lora: no linear layer or convolution of ge2e is among what is"):
        run(corpus, model, settings=ge2e | {"trained": ["lstm"], "lora": {}})
    with pytest.raises(ConfigError, match="lora is of the weights that a training starts from, this from none"):
        run(corpus, model, settings={"lora": {}})
    with pytest.raises(ConfigError, match="frozen: every parameter of ge2e is; leave some to train"):
        run(corpus, model, settings=ge2e | {"trained": ["linear"], "frozen": ["linear"]})
    table = pq.read_table(corpus["speech"])
    place = table.schema.get_field_index("speaker_id")
    for names, message in (
        (["a"] * 15 + [None], "1 of 16 utterances have no speaker"),
        (["a"] * 16, "1 speaker to train on; classification needs two"),
    ):
        changed = tmp_path / "changed.parquet"
        pq.write_table(table.set_column(place, "speaker_id", pa.array(names, pa.string())), changed)
        with pytest.raises(ManifestError, match=message):
            run({**corpus, "speech": changed}, model)
    model.mkdir()
    (model / "thesis.tex").touch()
    with pytest.raises(ModelError, match="exists and is not a trained backbone"):
        run(corpus, model)


def test_speakers_that_changed_are_named_on_resume(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("reseed.stages.training.order.TrainingOrder.remove_checkpoint", lambda self: None)
    run(corpus, tmp_path / "m", settings={"epochs": 2}, checkpoint_every_s=0.0)
    table = pq.read_table(corpus["speech"])
    fewer = tmp_path / "fewer.parquet"
    pq.write_table(table.slice(0, 12), fewer)
    with pytest.raises(StoreError, match="speakers was 4 and is 3"):
        run({**corpus, "speech": fewer}, tmp_path / "m", settings={"epochs": 2})
