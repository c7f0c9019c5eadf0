"""`reseed train-backbone`: train a speaker network on labelled speech, or fine-tune one near stored anchors.

`reseed extract --trained FOLDER` takes what comes of it.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch

from reseed.stages.audio.manifest import manifest_digest
from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.folder import FOLDER, AnchorsInfo, BackboneInfo, save_backbone
from reseed.stages.backbones.training.adaptation import merge_updates, mix_weights
from reseed.stages.backbones.training.anchors import Anchors
from reseed.stages.backbones.training.network import SpeakerClassifier, make_backbone
from reseed.stages.backbones.training.reader import SpeechReader
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.backbones.training.speech import Speech, SpeechOrder
from reseed.stages.backbones.training.validation import HeldOutSpeakers
from reseed.stages.common.device import torch_device
from reseed.stages.common.terminal import log
from reseed.stages.training.folder import Epoch
from reseed.stages.training.loop import optimise
from reseed.stages.training.process_group import ONE_PROCESS, ProcessGroup, run_in_processes
from reseed.store import ConfigError, EmbeddingStore
from reseed.store.url import AnyPath


@dataclass(frozen=True, kw_only=True)
class BackboneOrder(SpeechOrder):
    """Which backbone to train, and on which speech.

    Attributes:
        anchors: store of clean vectors of the very backbone that the training starts from; embeddings of the same
            crops, heard in noise, are held near them.
        base: folder of a trained backbone to start from, in place of `settings.weights`.
        processes: how many share every batch: one per GPU, or all on the CPU.

    Raises:
        ConfigError: the settings ask for anchors, a base or a source that is not given, or do not fit what is.
    """

    settings: BackboneTraining
    anchors: AnyPath | None = None
    base: Path | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        settings = self.settings
        if settings.anchored and self.anchors is None:
            raise ConfigError("anchored: true needs the clean vectors to stay near; give --anchors STORE")
        if settings.starts_from is not None and self.base is None:
            raise ConfigError(f"starts_from: {settings.starts_from} needs its folder; give --base FOLDER")
        if self.anchors is None and settings.head is None and settings.trained is not None:
            raise ConfigError("head: null trains by anchors alone; give --anchors STORE, or a head")
        if self.anchors is not None and settings.joint:
            raise ConfigError("joint draws noisy and clean embeddings together; leave out --anchors, or joint")
        if self.anchors is not None and settings.speeds != (1.0,):
            raise ConfigError("anchors are of speech at its own speed; set speeds: [1.0]")
        if settings.trained is None and self.processes > 1:
            raise ConfigError("trained: null adapts statistics, which one process gathers; leave out --processes")
        if self.starts_untrained:
            for name, asked in (("base_share", settings.base_share), ("lora", settings.lora)):
                if asked:
                    raise ConfigError(
                        f"{name} is of the weights that a training starts from, this from none; leave it out"
                    )

    @property
    def starts_untrained(self) -> bool:
        """Whether there are no weights to start from."""
        return self.base is None and self.settings.starts_untrained


def train_backbone(order: BackboneOrder, group: ProcessGroup = ONE_PROCESS) -> None:
    """Train a backbone and write a directory: weights.safetensors, backbone.json, train.jsonl, README.md.

    A training that was killed resumes from its checkpoint. One of no epochs writes the network that it starts from.

    Args:
        group: in a process that `train_backbone` itself has started: which of them this is.

    Raises:
        ConfigError: the base is another network, or fewer GPUs than processes.
        ManifestError: labels or speakers are too few, or a recording cannot be used.
        StoreError: the anchors are of another backbone; or the speakers are not those of a training that was killed.
        ModelError: the checkpoint to start from does not load, training diverged, or `model` is something else.
    """
    if order.processes > group.size:
        run_in_processes(train_backbone, order, order.processes)
        return
    FOLDER.check_replaceable(order.model, order.utterances, order.anchors, order.base, *order.sources.values())
    settings = order.settings
    backbone = make_backbone(settings, order.seed, order.base)
    if not settings.epochs:
        save_backbone(order.model, backbone, _info(order, backbone), [])
        order.remove_checkpoint()
        return
    anchors = Anchors(EmbeddingStore(order.anchors), backbone, settings.crop_s) if order.anchors else None
    speech = Speech.of(order.utterances, settings, anchors)
    info = _info(order, backbone, anchors, speech)
    if group.is_main:
        near = f", near the anchors of {order.anchors}" if anchors else ""
        count = f"{len(speech.utterances)} utterances of {len(speech.speakers)} speakers"
        log(f"train-backbone {settings.backbone}: {count}{near}")
    history = _trained(order, backbone, anchors, speech, info, group)
    if group.is_main:
        save_backbone(order.model, backbone, info, history)
        order.remove_checkpoint()


def _info(
    order: BackboneOrder, backbone: StagedBackbone, anchors: Anchors | None = None, speech: Speech | None = None
) -> BackboneInfo:
    near = None
    if anchors is not None:
        near = AnchorsInfo(path=str(anchors.path), space=anchors.space, fingerprint=anchors.fingerprint)
    return BackboneInfo(
        backbone=order.settings.backbone,
        settings=order.settings.model_dump(mode="json"),
        seed=order.seed,
        started_from="untrained" if order.starts_untrained else backbone.space,
        utterances=str(order.utterances),
        utterances_digest=manifest_digest(speech.utterances if speech else []),
        anchors=near,
        speakers=speech.speakers if speech else [],
    )


def _trained(
    order: BackboneOrder,
    backbone: StagedBackbone,
    anchors: Anchors | None,
    speech: Speech,
    info: BackboneInfo,
    group: ProcessGroup,
) -> list[Epoch]:
    """Train the backbone in place, and return the history."""
    settings = order.settings
    reader = SpeechReader(
        speech.utterances,
        speech.speakers,
        settings,
        sources=order.manifests,
        sample_rate_hz=backbone.sample_rate_hz,
        seed=order.seed,
        device=torch_device(order.device),
        anchors=anchors,
        with_clean=settings.joint,
    )
    before = copy.deepcopy(backbone.state_dict()) if settings.base_share else {}
    with torch.random.fork_rng():
        torch.manual_seed(order.seed)
        network = SpeakerClassifier.of(settings, backbone, anchors, speech).to(reader.device).train()
    history = optimise(
        network,
        reader,
        order.seed,
        validation=HeldOutSpeakers.of(speech.held_out, settings.views, reader) if speech.held_out else None,
        checkpoint=order.checkpoint(info.model_dump(include={"settings", "seed", "started_from", "anchors"})),
        tensorboard=order.tensorboard,
        group=group,
    )
    merge_updates(backbone)
    if settings.base_share:
        mix_weights(backbone, before, settings.base_share)
    return history
