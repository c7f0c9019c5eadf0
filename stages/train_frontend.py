"""`reseed train-frontend`: train a mask on the spectrum before a frozen backbone (Grad-W and its rivals).

The stored clean embeddings of the very crops take part: a head on them gives the score of a speaker, or they are
themselves what the enhanced crop must agree with.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reseed.stages.audio.manifest import Utterance, read_manifest
from reseed.stages.audio.recipe import check_sources
from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.training.anchors import CLEAN_VIEW, Anchors
from reseed.stages.backbones.training.reader import SpeechReader
from reseed.stages.frontends.folder import FOLDER, FrontendInfo, features_of, save_frontend
from reseed.stages.frontends.gradw import MaskTraining, speaker_head
from reseed.stages.frontends.masked import staged
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.training.checkpoint import Checkpoint
from reseed.stages.training.loop import optimise
from reseed.stages.training.record import log
from reseed.store import EmbeddingStore, ManifestError


def train_frontend(
    *,
    utterances: Path,
    store: Path,
    model: Path,
    backbone: Backbone,
    settings: FrontendTraining,
    seed: int,
    sources: Mapping[str, Path] | None = None,
    device: str = "cpu",
    tensorboard: Path | None = None,
    checkpoint_every_s: float = 60.0,
) -> str:
    """Train a front end, write a directory, and return one sentence on it; a killed training is gone on with.

    Args:
        utterances: manifest of the speech.
        store: clean vectors of it by the frozen backbone, which say where crops lie.
        model: directory to write; an older front end there is replaced.
        sources: "noise", "music", "rir", "babble" -> manifest, as the views need; babble is the speech by default.

    Raises:
        ConfigError: a view asks for a source that is not given.
        ManifestError: labels are missing, or no utterance is in the store.
        StoreError: the store is of another backbone or another length of crops.
        ModelError: the backbone opens no spectrum, training diverged, or `model` is something else.
    """
    FOLDER.check_replaceable(model)
    seed += settings.seed
    opened = staged(backbone, "a front end")
    given = {"babble": utterances, **(sources or {})}
    check_sources(settings.views, given)
    source = EmbeddingStore(store)
    anchors = Anchors(source, backbone)
    anchors.check_length(settings.crop_s)
    rows = anchors.stored(read_manifest(utterances), utterances)
    speakers = sorted({row.speaker_id for row in rows if row.speaker_id is not None})
    opened.frozen(device)
    head_KD = _head(source, rows, speakers, utterances).to(device) if _needs_labels(settings) else None
    reader = SpeechReader(
        rows,
        speakers,
        settings,
        sources=given,
        sample_rate_hz=backbone.sample_rate_hz,
        seed=seed,
        device=device,
        anchors=anchors,
        with_clean=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MaskTraining(settings, opened, head_KD).to(reader.device).train()
    log(f"train-frontend {settings.loss} before {backbone.space}: {len(rows)} utterances")
    about = {"settings": settings.model_dump(mode="json"), "seed": seed, "store": source.fingerprint}
    path = model.resolve()
    checkpoint = Checkpoint(path.with_name(f".{path.name}.checkpoint"), about, checkpoint_every_s)
    history = optimise(network, reader, seed, checkpoint=checkpoint, tensorboard=tensorboard)
    info = FrontendInfo(
        method=settings.loss,
        settings=settings.model_dump(mode="json"),
        backbone=backbone.name,
        features=features_of(opened),
        space=backbone.space,
        seed=seed,
        store=source.fingerprint,
        utterances=len(rows),
    )
    from reseed.stages.frontends.picture import pictures  # matplotlib takes seconds

    save_frontend(model, network.mask, info, history, pictures(network, next(iter(reader.batches(1)))))
    checkpoint.remove()
    return f"{model}: {settings.loss} before {backbone.space}, of {len(rows)} utterances"


def _needs_labels(settings: FrontendTraining) -> bool:
    return settings.loss == "gradw" and settings.score == "speaker"


def _head(source: EmbeddingStore, rows: list[Utterance], speakers: list[str], manifest: Path) -> Tensor:
    """Train the directions of the speakers on the stored clean embeddings."""
    unlabelled = sum(row.speaker_id is None for row in rows)
    if unlabelled or len(speakers) < 2:
        what = f"{unlabelled} of {len(rows)} utterances have no speaker" if unlabelled else "there is one speaker"
        raise ManifestError(f"{manifest}: {what}; set score: anchor, which needs no labels")
    number = {speaker: place for place, speaker in enumerate(speakers)}
    of: dict[str, Any] = {row.utterance_id: number[str(row.speaker_id)] for row in rows}
    known = [(place, of[name]) for place, name in enumerate(source.utterance_ids()) if name in of]
    places_U = torch.tensor([place for place, _ in known])
    label_U = torch.tensor([label for _, label in known])
    vectors = torch.from_numpy(source.vectors(CLEAN_VIEW)[:].astype("float32"))
    picked = vectors.unflatten(0, (-1, source.crops))[places_U]
    return speaker_head(picked.flatten(0, 1), label_U.repeat_interleave(source.crops), len(speakers))
