"""A trained front end as a directory: weights.safetensors, frontend.json, train.jsonl, README.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from reseed.stages.backbones.base import Backbone, StagedBackbone
from reseed.stages.common.section import Section
from reseed.stages.common.theme import THEMES, spectrogram_file
from reseed.stages.frontends.masked import Masked, staged
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.frontends.unet import MaskNet
from reseed.stages.training.folder import TrainedFolder
from reseed.store import ModelError, atomic

WEIGHTS, INFO = "weights.safetensors", "frontend.json"
PICTURES = {theme.name: spectrogram_file(theme.name) for theme in THEMES}
FOLDER = TrainedFolder("a front end", INFO, WEIGHTS, tuple(PICTURES.values()))


class FrontendInfo(Section):
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
    weights_sha256: str = ""


def features_of(backbone: StagedBackbone) -> str:
    """Return what a backbone sees of a sound, in words that its identity holds, and in how many bands."""
    return f"{backbone.identity().get('features')}; {backbone.filterbank_HM.shape[1]} bands"


def save_frontend(
    path: Path, mask: MaskNet, info: FrontendInfo, history: list[dict[str, float]], pictures: Mapping[str, str]
) -> None:
    """Write the directory, replacing an older front end there; whole or not at all.

    Args:
        pictures: spectrograms as SVG, by theme.

    Raises:
        ModelError: `path` is something other than a front end.
    """

    def told(sha256: str) -> tuple[dict[str, Any], str]:
        whole = info.model_copy(update={"weights_sha256": sha256})
        return whole.model_dump(mode="json"), _card(whole, history)

    FOLDER.write(path, mask.state_dict(), history, told, {PICTURES[theme]: svg for theme, svg in pictures.items()})


def load_frontend(path: Path, backbone: Backbone) -> tuple[Masked, FrontendInfo]:
    """Return a backbone with the front end of a directory before it, and its frontend.json.

    Raises:
        ModelError: not a front end, damaged, of other features than the backbone's, or a backbone that opens none.
    """
    try:
        info = FrontendInfo.model_validate_json((path / INFO).read_text(encoding="utf-8"))
        mask = MaskNet(FrontendTraining.model_validate(info.settings).width)
        if atomic.sha256_file(path / WEIGHTS) != info.weights_sha256:
            raise ModelError(f"{path / WEIGHTS} is not what was written; train the front end again")
        mask.load_state_dict(load_file(path / WEIGHTS))
    except (OSError, ValidationError, SafetensorError, RuntimeError) as error:
        problem = " ".join(str(error).split())
        raise ModelError(
            f"{path} is no front end that can be used ({problem}); make it with `reseed train-frontend`"
        ) from error
    opened = staged(backbone, "a front end")
    if features_of(opened) != info.features:
        raise ModelError(
            f"{path} was trained for {info.backbone} ({info.features}), this is {backbone.name} "
            f"({features_of(opened)}); train a front end for it"
        )
    masked = Masked(opened, mask, info.method, info.weights_sha256)
    masked.eval().requires_grad_(False)
    return masked, info


def _card(info: FrontendInfo, history: list[dict[str, float]]) -> str:
    settings = "\n".join(f"| {name} | {value} |" for name, value in info.settings.items())
    return (
        f"# A front end: {info.method}\n\n"
        f"A mask on the spectrum that {info.backbone} sees ({info.features}), trained by `reseed train-frontend` on "
        f"{info.utterances} utterances with {info.space} frozen; seed {info.seed}. Final loss "
        f"{history[-1]['loss']:.4g} after {len(history)} epochs.\n\n"
        f"![noisy, enhanced, clean](spectrograms.light.svg)\n\n"
        f"`reseed extract --frontend FOLDER` puts it before the backbone, `reseed denoise` lets you hear it.\n\n"
        f"| setting | value |\n|---|---|\n{settings}\n"
    )
