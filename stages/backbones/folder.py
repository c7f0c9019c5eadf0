"""A trained backbone as a directory: weights.safetensors, backbone.json, train.jsonl, README.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reseed.stages.backbones.base import Backbone
from reseed.stages.common.section import Section
from reseed.stages.training.folder import Epoch, TrainedFolder, TrainedInfo, table_of

_FEATURES = ("mel", "torchfb", "torchmfcc")  # windows and filter banks, which are computed and not learnt


class AnchorsInfo(Section):
    """Which store held the anchors, if any: where it lay, its embedding space and its fingerprint."""

    path: str
    space: str
    fingerprint: str


class BackboneInfo(TrainedInfo):
    """What backbone.json says.

    Attributes:
        backbone, settings: a name in the table of backbones, and how it was trained.
        started_from: space of the backbone that the training started from, or "untrained".
        utterances, utterances_digest: manifest of the speech, and the digest of the rows that were used.
        speakers: those it was trained on.
    """

    backbone: str
    settings: dict[str, Any]
    seed: int
    started_from: str
    utterances: str
    utterances_digest: str
    anchors: AnchorsInfo | None
    speakers: list[str]


FOLDER = TrainedFolder("a trained backbone", "reseed train-backbone", BackboneInfo, "backbone.json")


def save_backbone(path: Path, backbone: Backbone, info: BackboneInfo, history: Sequence[Epoch]) -> None:
    """Write the directory, replacing an older backbone there; whole or not at all.

    Raises:
        ModelError: `path` is something other than a trained backbone.
    """
    state = {name: tensor for name, tensor in backbone.state_dict().items() if name.partition(".")[0] not in _FEATURES}
    FOLDER.write(path, state, info, history, lambda info: _card(info, history))


def read_trained(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the backbone's name and the settings by which it is loaded.

    Raises:
        ModelError: not a folder that `reseed train-backbone` wrote, or a damaged one.
    """
    info, _ = FOLDER.read(path)
    return info.backbone, {"weights": str((path / FOLDER.weights_file).resolve())}


def _card(info: BackboneInfo, history: Sequence[Epoch]) -> str:
    eers = [row["validation_eer"] for row in history if "validation_eer" in row]
    eer = f"Lowest EER on held-out speakers: {100 * min(eers):.2f} %. " if eers else ""
    near = f" Held near the anchors of `{info.anchors.path}` ({info.anchors.space})." if info.anchors else ""
    trained = f"Not trained further: {info.started_from}, as it is."
    if history:
        trained = (
            f"Trained by `reseed train-backbone` on {len(info.speakers)} speakers of `{info.utterances}`, "
            f"starting from {info.started_from}.{near} {eer}Final loss {history[-1]['loss']:.4f} after {len(history)} "
            "epochs."
        )
    return (
        f"# A speaker backbone: {info.backbone}\n\n{trained}\n\n"
        "Extract embeddings with it, whatever backbone the configuration names:\n\n"
        "    reseed extract --config CONFIG --utterances UTTERANCES --store STORE --trained BACKBONE\n\n"
        f"or name it there: `backbone: {{name: {info.backbone}, settings: {{weights: {FOLDER.weights_file}}}}}`, with "
        f"that file's path.\n\n{table_of(info.settings)}"
    )
