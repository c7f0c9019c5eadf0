"""`reseed train-backbone`: train a speaker network on labelled speech, or fine-tune one near stored anchors.

The outcome is a checkpoint of its own: `extract` takes it by `backbone.settings.weights`.
"""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reseed.stages.audio.manifest import Utterance, manifest_digest, read_manifest
from reseed.stages.audio.mix import mix
from reseed.stages.audio.recipe import check_sources
from reseed.stages.audio.views import draw, stable_seed
from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.folder import FOLDER, AnchorsInfo, BackboneInfo, save_backbone
from reseed.stages.backbones.training.anchors import Anchors
from reseed.stages.backbones.training.judge import HeldOutSpeakers, hold_out
from reseed.stages.backbones.training.network import SpeakerClassifier, make_backbone, mix_weights
from reseed.stages.backbones.training.reader import SpeechReader, clean_crops
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.training.checkpoint import Checkpoint
from reseed.stages.training.loop import optimise
from reseed.stages.training.record import log
from reseed.stages.training.team import ALONE, Team, check_processes, together
from reseed.store import ConfigError, EmbeddingStore, ManifestError


def train_backbone(
    *,
    utterances: Path,
    model: Path,
    settings: BackboneTraining,
    seed: int,
    sources: Mapping[str, Path] | None = None,
    anchors: Path | None = None,
    base: Path | None = None,
    device: str = "cpu",
    processes: int = 1,
    tensorboard: Path | None = None,
    checkpoint_every_s: float = 60.0,
) -> None:
    """Train a backbone and write a directory: weights.safetensors, backbone.json, train.jsonl, README.md.

    A training that was killed goes on from `.NAME.checkpoint` beside the model.

    Args:
        utterances: manifest of the labelled speech.
        model: directory to write; an older backbone there is replaced.
        sources: "noise", "music", "rir", "babble" -> manifest, as the views need; babble is the speech by default.
        anchors: store of clean vectors of the very backbone that the training starts from; embeddings of the same
            crops, heard in noise, are held near them.
        base: folder of a trained backbone to start from, in place of `weights`.
        processes: how many share every batch: one per GPU, or all on the CPU.

    Raises:
        ConfigError: a view asks for a source that is not given, a setting does not fit, or fewer GPUs than processes.
        ManifestError: labels or speakers are too few, or a recording cannot be used.
        StoreError: the anchors are of another backbone; or the speakers are not those of a training that was killed.
        ModelError: the checkpoint to start from does not load, training diverged, or `model` is something else.
    """
    check_processes(processes, device)
    FOLDER.check_replaceable(model)
    arguments: dict[str, Any] = {
        "utterances": utterances,
        "model": model,
        "settings": settings,
        "seed": seed,
        "sources": {"babble": utterances, **(sources or {})},
        "anchors": anchors,
        "base": base,
        "tensorboard": tensorboard,
        "checkpoint_every_s": checkpoint_every_s,
    }
    _check(settings, arguments["sources"], anchors, base)
    if processes > 1:
        together(processes, device, _train, arguments)
    else:
        _train(team=ALONE, device=device, **arguments)


def _train(
    *,
    team: Team,
    utterances: Path,
    model: Path,
    settings: BackboneTraining,
    seed: int,
    sources: Mapping[str, Path],
    anchors: Path | None,
    base: Path | None,
    device: str,
    tensorboard: Path | None,
    checkpoint_every_s: float,
) -> None:
    backbone = make_backbone(settings, seed, base)
    started_from = backbone.space if base or settings.weights or settings.backbone == "ge2e" else "untrained"
    if settings.base_share and started_from == "untrained":
        raise ConfigError("base_share is of the weights that a training starts from, this from none; leave it out")
    before = copy.deepcopy(backbone.state_dict()) if settings.base_share else {}
    held = Anchors(EmbeddingStore(anchors), backbone) if anchors else None
    if held is not None:
        held.check_length(settings.crop_s)
    rows, judged = hold_out(read_manifest(utterances), settings.held_out)
    rows, speakers = _usable(rows, settings, held, utterances)
    reader = SpeechReader(
        rows,
        speakers,
        settings,
        sources=sources,
        sample_rate_hz=backbone.sample_rate_hz,
        seed=seed,
        device=device,
        anchors=held,
        with_clean=settings.joint,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = SpeakerClassifier(settings, backbone, len(speakers) * len(settings.speeds)).to(reader.device).train()
    info = BackboneInfo(
        backbone=settings.backbone,
        settings=settings.model_dump(mode="json"),
        seed=seed,
        started_from=started_from,
        utterances=str(utterances),
        utterances_digest=manifest_digest(rows),
        anchors=held and AnchorsInfo(path=str(held.path), space=held.space, fingerprint=held.fingerprint),
        speakers=speakers,
    )
    if team.leads:
        near = f", near the anchors of {anchors}" if anchors else ""
        log(f"train-backbone {settings.backbone}: {len(rows)} utterances of {len(speakers)} speakers{near}")
    path = model.resolve()
    about = info.model_dump(mode="json", include={"settings", "seed", "started_from", "anchors"})
    checkpoint = Checkpoint(path.with_name(f".{path.name}.checkpoint"), about, checkpoint_every_s)
    history = optimise(
        network,
        reader,
        seed,
        held_out=_judge(judged, settings, backbone, reader, seed) if judged else None,
        checkpoint=checkpoint,
        tensorboard=tensorboard,
        team=team,
    )
    if settings.base_share:
        mix_weights(network.backbone, before, settings.base_share)
    if team.leads:
        save_backbone(model, network.backbone, info, history)
        checkpoint.remove()


def _check(settings: BackboneTraining, sources: Mapping[str, Path], anchors: Path | None, base: Path | None) -> None:
    if settings.anchored and anchors is None:
        raise ConfigError("anchored: true needs the clean vectors to stay near; give --anchors STORE")
    if settings.starts_from is not None and base is None:
        raise ConfigError(f"starts_from: {settings.starts_from} needs its folder; give --base FOLDER")
    check_sources(settings.views, sources)
    if anchors is None and settings.head is None:
        raise ConfigError("head: null trains by anchors alone; give --anchors STORE, or a head")
    if anchors is not None and settings.joint:
        raise ConfigError("joint draws noisy and clean embeddings together; leave out --anchors, or joint")
    if anchors is not None and settings.speeds != (1.0,):
        raise ConfigError("anchors are of speech at its own speed; set speeds: [1.0]")


def _usable(
    rows: Sequence[Utterance], settings: BackboneTraining, anchors: Anchors | None, manifest: Path
) -> tuple[list[Utterance], list[str]]:
    """Return the utterances that can be trained on, and their speakers, sorted."""
    if settings.head is not None:
        unlabelled = sum(row.speaker_id is None for row in rows)
        if unlabelled:
            raise ManifestError(
                f"{manifest}: {unlabelled} of {len(rows)} utterances have no speaker; leave them out, or train with "
                "head: null and anchors, which needs no labels"
            )
    if anchors is not None:
        rows = anchors.stored(rows, manifest)
    speakers = sorted({row.speaker_id for row in rows if row.speaker_id is not None})
    if settings.head is not None and len(speakers) < 2:
        raise ManifestError(f"{manifest}: {len(speakers)} speaker to train on; classification needs two or more")
    if settings.head is not None:
        _tell_of_lone(rows)
    return list(rows), speakers


def _tell_of_lone(rows: Sequence[Utterance]) -> None:
    """Say how many speakers have one utterance: their class is that recording, with its channel and its words."""
    counts = Counter(row.speaker_id for row in rows)
    lone = [name for name, count in counts.items() if count == 1]
    if lone:
        log(f"{len(lone)} of {len(counts)} speakers have one utterance, e.g. {lone[0]}: its channel tells them apart")


def _judge(
    rows: Sequence[Utterance],
    settings: BackboneTraining,
    backbone: StagedBackbone,
    reader: SpeechReader,
    seed: int,
) -> HeldOutSpeakers:
    """Render the crops of held-out speakers: clean, and in the training's views by turns."""
    rate = backbone.sample_rate_hz
    views = list(settings.views.items())
    plain, draws, speakers = [], [], []
    for number, (row, clean_T) in enumerate(clean_crops(rows, reader.crop_s, rate)):
        name, view = views[number % len(views)]
        speakers.append(str(row.speaker_id))
        plain.append(torch.from_numpy(np.ascontiguousarray(clean_T)))
        seeded = stable_seed(seed, "judge", row.utterance_id, name)
        draws.append(draw(clean_T, view, reader.bank, seed=seeded, speaker=str(row.speaker_id)))
    plain_UT = torch.stack(plain).to(reader.device)
    return HeldOutSpeakers(plain_UT, mix(draws, rate, reader.device), speakers)
