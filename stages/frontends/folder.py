"""A trained front end as a directory: weights.safetensors, frontend.json, spectrograms, train.jsonl, README.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reseed.stages.backbones.base import Backbone, StagedBackbone, require_stages
from reseed.stages.common.theme import THEMES, spectrogram_file
from reseed.stages.frontends.masked import MaskedBackbone
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.frontends.unet import MaskNet
from reseed.stages.training.folder import Epoch, TrainedFolder, TrainedInfo, table_of
from reseed.store import ModelError


class FrontendInfo(TrainedInfo):
    """What frontend.json says.

    Attributes:
        method: by which loss it was trained, e.g. gradw.
        backbone, features: the network it was trained with, and what that sees of a sound: it fits such alone.
        space: of that very network.
        store: fingerprint of the store whose embeddings took part.
    """

    method: str
    settings: dict[str, Any]
    backbone: str
    features: str
    space: str
    seed: int
    store: str
    utterances: int


SPECTROGRAMS = {theme.name: spectrogram_file(theme.name) for theme in THEMES}
FOLDER = TrainedFolder(
    "a front end",
    "reseed train-frontend",
    FrontendInfo,
    "frontend.json",
    other_files=tuple(SPECTROGRAMS.values()),
)


def save_frontend(
    path: Path, mask: MaskNet, info: FrontendInfo, history: Sequence[Epoch], spectrograms: Mapping[str, str]
) -> None:
    """Write the directory, replacing an older front end there; whole or not at all.

    Args:
        spectrograms: as SVG, by theme.

    Raises:
        ModelError: `path` is something other than a front end.
    """
    files = {SPECTROGRAMS[theme]: svg for theme, svg in spectrograms.items()}
    FOLDER.write(path, mask.state_dict(), info, history, lambda info: _card(info, history), files)


def load_frontend(path: Path, backbone: Backbone) -> tuple[MaskedBackbone, FrontendInfo]:
    """Return a backbone with the front end of a directory before it, and its frontend.json.

    Raises:
        ModelError: not a front end, damaged, of other features than the backbone's, or a backbone that opens none.
    """
    mask, info = FOLDER.load(path, _build)
    opened = require_stages(backbone, "a front end")
    if features_of(opened) != info.features:
        raise ModelError(
            f"{path} was trained for {info.backbone} ({info.features}), this is {backbone.name} "
            f"({features_of(opened)}); train a front end for it"
        )
    published = FrontendTraining.model_validate(info.settings).published
    return MaskedBackbone(opened, mask, info.method, info.weights_sha256, published).frozen(), info


def features_of(backbone: StagedBackbone) -> str:
    """Return what a backbone sees of a sound, in words that its identity holds, and in how many bands."""
    return f"{backbone.identity().get('features')}; {backbone.filterbank_HM.shape[1]} bands"


def _build(info: FrontendInfo) -> MaskNet:
    return MaskNet(FrontendTraining.model_validate(info.settings).width)


def _card(info: FrontendInfo, history: Sequence[Epoch]) -> str:
    return (
        f"# A front end: {info.method}\n\n"
        f"A mask on the spectrum that {info.backbone} sees ({info.features}), trained by `reseed train-frontend` on "
        f"{info.utterances} utterances with {info.space} frozen; seed {info.seed}. Final loss "
        f"{history[-1]['loss']:.4g} after {len(history)} epochs.\n\n"
        f"![noisy, enhanced, clean]({SPECTROGRAMS['light']})\n\n"
        "Put it before the backbone of a configuration, and hear what it leaves of a recording:\n\n"
        "    reseed extract --config CONFIG --utterances UTTERANCES --store STORE --frontend FRONTEND\n"
        "    reseed denoise NOISY CLEANER --config CONFIG --frontend FRONTEND\n\n"
        f"{table_of(info.settings)}"
    )
