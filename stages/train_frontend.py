"""`reseed train-frontend`: train a mask on the spectrum before a frozen backbone (Grad-W and its rivals).

The stored clean embeddings of the very crops take part: a head on them gives the score of a speaker, or they are
themselves what the enhanced crop must agree with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reseed.stages.audio.manifest import Utterance, read_manifest
from reseed.stages.backbones.base import StagedBackbone, require_stages
from reseed.stages.backbones.table import backbone_code, load_backbone
from reseed.stages.backbones.training.anchors import Anchors
from reseed.stages.backbones.training.network import Crops
from reseed.stages.backbones.training.reader import SpeechReader
from reseed.stages.backbones.training.speech import SpeechOrder, speakers_of
from reseed.stages.common.device import torch_device
from reseed.stages.common.terminal import log
from reseed.stages.frontends.folder import FOLDER, FrontendInfo, features_of, save_frontend
from reseed.stages.frontends.gradw import MaskTraining, speaker_head
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.training.folder import Epoch
from reseed.stages.training.loop import optimise
from reseed.store import EmbeddingStore, ManifestError
from reseed.store.url import AnyPath


@dataclass(frozen=True, kw_only=True)
class FrontendOrder(SpeechOrder):
    """Which front end to train, before which backbone, and on which speech.

    Attributes:
        store: clean vectors of the speech by the frozen backbone, which say where crops lie.
        backbone, backbone_settings: its name, and the settings of its Config.
    """

    store: AnyPath
    settings: FrontendTraining
    backbone: str
    backbone_settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entry_seed(self) -> int:
        """The seed of this entry of the run: entries that repeat another one add their own to that of the run."""
        return self.seed + self.settings.seed


def train_frontend(order: FrontendOrder) -> str:
    """Train a front end, write a directory, and return one sentence on it; a training that was killed is resumed.

    Raises:
        ManifestError: labels are missing, or no utterance is in the store.
        StoreError: the store is of another backbone or another length of crops.
        ModelError: the backbone opens no spectrum, training diverged, or `model` is something else.
    """
    FOLDER.check_replaceable(order.model, order.utterances, order.store, *order.sources.values())
    settings, device = order.settings, torch_device(order.device)
    backbone = require_stages(load_backbone(order.backbone, order.backbone_settings), "a front end").frozen(device)
    anchors = Anchors(EmbeddingStore(order.store), backbone, settings.crop_s)
    utterances = anchors.stored(read_manifest(order.utterances), order.utterances)
    reader = SpeechReader(
        utterances,
        speakers_of(utterances),
        settings,
        sources=order.manifests,
        sample_rate_hz=backbone.sample_rate_hz,
        seed=order.entry_seed,
        device=device,
        anchors=anchors,
        with_clean=True,
    )
    settings = settings.warmed_up_over(reader.batches_per_epoch)
    network = _network(order, settings, backbone, anchors, utterances).to(device).train()
    log(f"train-frontend {settings.loss} before {backbone.space}: {len(utterances)} utterances")
    info = _info(order, backbone, anchors, len(utterances))
    checkpoint = order.checkpoint(info.model_dump(mode="json", include={"settings", "seed", "store"}))
    history = optimise(network, reader, info.seed, checkpoint=checkpoint, tensorboard=order.tensorboard)
    _save(order.model, network, info, history, next(iter(reader.batches(1))))
    order.remove_checkpoint()
    return f"{order.model}: {settings.loss} before {backbone.space}, of {len(utterances)} utterances"


def _network(
    order: FrontendOrder,
    settings: FrontendTraining,
    backbone: StagedBackbone,
    anchors: Anchors,
    utterances: Sequence[Utterance],
) -> MaskTraining:
    head_KD = None
    if settings.loss == "gradw" and settings.score == "speaker":
        head_KD = _head(anchors, utterances, order).to(order.device)
    with torch.random.fork_rng():
        torch.manual_seed(order.entry_seed)
        return MaskTraining(settings, backbone, head_KD)


def _head(anchors: Anchors, utterances: Sequence[Utterance], order: FrontendOrder) -> Tensor:
    """Train the directions of the speakers on the stored clean embeddings."""
    unlabelled = sum(utterance.speaker_id is None for utterance in utterances)
    number = {speaker: place for place, speaker in enumerate(speakers_of(utterances))}
    if unlabelled or len(number) < 2:
        what = f"{unlabelled} of {len(utterances)} utterances have no speaker" if unlabelled else "there is one speaker"
        raise ManifestError(f"{order.utterances}: {what}; set score: anchor, which needs no labels")
    label_U = torch.tensor([number[str(utterance.speaker_id)] for utterance in utterances])
    crops = [(utterance.utterance_id, crop) for utterance in utterances for crop in range(anchors.crops)]
    vectors_ND, label_N = anchors.vectors(crops), label_U.repeat_interleave(anchors.crops)
    return speaker_head(vectors_ND, label_N, len(number), published=order.settings.published)


def _info(order: FrontendOrder, backbone: StagedBackbone, anchors: Anchors, utterances: int) -> FrontendInfo:
    return FrontendInfo(
        method=order.settings.loss,
        settings=order.settings.model_dump(mode="json"),
        plugins=backbone_code(order.backbone),
        backbone=backbone.name,
        features=features_of(backbone),
        space=backbone.space,
        seed=order.entry_seed,
        store=anchors.fingerprint,
        utterances=utterances,
    )


def _save(path: Path, network: MaskTraining, info: FrontendInfo, history: Sequence[Epoch], crops: Crops) -> None:
    from reseed.stages.frontends.spectrograms import spectrograms  # matplotlib takes seconds

    save_frontend(path, network.mask, info, history, spectrograms(network, crops))
