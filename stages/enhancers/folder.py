"""The model directory: what `train` leaves behind and `enhance` takes up.

MODEL/model.safetensors   parameters and statistics of the enhancer
MODEL/model.json          enhancer, its settings, and which store it was trained on; carries the weights' digest
MODEL/train.jsonl         one row per epoch
MODEL/README.md           the model card

Shapes: B rows of a block, D embedding dimension, M rows.
"""

from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer
from reseed.stages.enhancers.table import enhancer_class, make_enhancer
from reseed.stages.training.folder import HISTORY, TrainedFolder
from reseed.store import ConfigError, EmbeddingStore, ModelError, atomic

_WEIGHTS, _INFO = "model.safetensors", "model.json"
_FOLDER = TrainedFolder("a model", _INFO, _WEIGHTS)
check_replaceable = _FOLDER.check_replaceable
_BLOCK_ROWS = 65_536  # bounds the memory of the network's hidden layers: 128 MiB each at D=256


class ModelInfo(Section):
    """The contents of model.json.

    Attributes:
        enhancer: name in the table of enhancers.
        config: the enhancer's settings.
        dim: embedding dimension D.
        space: embedding space of the store it was trained on; it fits stores of this space alone.
        store_fingerprint: fingerprint of that store.
        store_path: where that store lay, for the reader of the model card only.
        views: the views of that store, in its order.
        utterances: stored utterances it was trained on.
        seed: seed of the initial weights and of the training.
        weights_sha256: SHA-256 of model.safetensors.
        adopted: name and digest of the checkpoint it was made of, where it was trained elsewhere.
    """

    format: Literal["reseed-model"] = "reseed-model"
    version: Literal[1] = 1
    enhancer: str
    config: dict[str, Any]
    dim: int
    space: str
    store_fingerprint: str
    store_path: str
    views: list[str]
    utterances: int
    seed: int
    weights_sha256: str = ""
    adopted: str | None = None

    @classmethod
    def of(cls, source: EmbeddingStore, enhancer: str, settings: Section, seed: int) -> Self:
        """Return the contents of model.json for an enhancer trained on a store."""
        return cls(
            enhancer=enhancer,
            config=settings.model_dump(mode="json"),
            dim=source.dim,
            space=source.space,
            store_fingerprint=source.fingerprint,
            store_path=str(source.path),
            views=source.views,
            utterances=source.header.stored,
            seed=seed,
        )


def save_model(path: Path, enhancer: Enhancer, info: ModelInfo, history: list[dict[str, float]]) -> ModelInfo:
    """Write the model directory `path`, replacing an older model there; whole or not at all.

    Args:
        info: its `weights_sha256` is filled in here.
        history: rows of train.jsonl.

    Returns:
        `info` with the digest of the weights.

    Raises:
        ModelError: `path` is something other than a model.
    """

    def told(sha256: str) -> tuple[dict[str, Any], str]:
        nonlocal info
        info = info.model_copy(update={"weights_sha256": sha256})
        return info.model_dump(mode="json"), model_card(info, history)

    _FOLDER.write(path, enhancer.state_dict(), history, told)
    return info


def load_model(path: Path, device: str = "cpu") -> tuple[Enhancer, ModelInfo]:
    """Return the enhancer of a model directory, frozen and on `device`, and its model.json.

    Raises:
        ModelError: not a model, damaged, or with weights that do not fit its own model.json.
        ConfigError: no such device.
    """
    info = read_info(path)
    try:
        config = enhancer_class(info.enhancer).Config.model_validate(info.config)
    except (ConfigError, ValidationError) as error:
        raise ModelError(f"{path / _INFO} cannot be used: {_one_line(error)}; train the model again") from error
    enhancer = make_enhancer(info.enhancer, config, info.dim)
    state = _read_weights(path / _WEIGHTS)
    _check_state(path / _WEIGHTS, state, enhancer)
    if atomic.sha256_file(path / _WEIGHTS) != info.weights_sha256:
        raise ModelError(f"{path / _WEIGHTS} is not the file that {_INFO} names by its SHA-256; train the model again")
    enhancer.load_state_dict(state, strict=True)
    return enhancer.to(torch_device(device)).eval().requires_grad_(False), info


@torch.inference_mode()
def enhance_vectors(
    network: Enhancer, vectors_MD: NDArray[np.floating], generator: torch.Generator, device: str = "cpu"
) -> NDArray[np.float32]:
    """Return the enhanced vectors, float32 [M, D], computed block by block."""
    enhanced_MD = np.empty(vectors_MD.shape, np.float32)
    for start in range(0, len(vectors_MD), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        embedding_BD = torch.from_numpy(np.array(vectors_MD[rows], np.float32)).to(device)
        enhanced_MD[rows] = network.enhance(embedding_BD, generator).cpu().numpy()
    return enhanced_MD


def read_info(path: Path) -> ModelInfo:
    """Parse MODEL/model.json.

    Raises:
        ModelError: no model there, or its model.json is damaged.
    """
    file = path / _INFO
    try:
        return ModelInfo.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path} is not a model: it has no {_INFO}; run `reseed train`") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} is damaged ({_one_line(error)}); train the model again") from error


def torch_device(name: str) -> torch.device:
    """Return the torch device called `name`.

    Raises:
        ConfigError: torch knows no such device, or this machine has none.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"{name!r} is not a device; use cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} was asked for, but this machine has no usable CUDA device; use cpu")
    return device


def model_card(info: ModelInfo, history: list[dict[str, float]]) -> str:
    """Return the model card, in Markdown."""
    title = (enhancer_class(info.enhancer).__doc__ or info.enhancer).strip().splitlines()[0].rstrip(".")
    settings = "\n".join(f"| {name} | {value} |" for name, value in info.config.items())
    return f"""# {title}

Maps a speaker embedding to one less affected by noise: {info.dim} dimensions in, {info.dim} out. Enhancer
`{info.enhancer}` of reseed; it takes no audio.

## Trained on

{_describe_origin(info)}

| | |
|---|---|
| embedding space | `{info.space}` |
| views | {", ".join(info.views)} |
| fingerprint of the store | `{info.store_fingerprint}` |
| SHA-256 of the weights | `{info.weights_sha256}` |

## Settings

| setting | value |
|---|---|
{settings}
| seed | {info.seed} |

{_describe_loss(info, history)}

## Use

    reseed enhance --store STORE --model MODEL --enhanced ENHANCED

It fits embeddings of the space above and no others: reseed refuses the rest. Enhanced and raw embeddings lie in
different spaces, so enhance both sides of a trial.

## Limits

Noise, rooms, channels and languages unlike those of the views above may gain nothing or lose. Judge it by error rates
on trials from other speakers and noises, clean ones included, never by the loss. The terms of the backbone and of the
corpora behind the store may bind these weights too; this card grants nothing.
"""


def _describe_origin(info: ModelInfo) -> str:
    if info.adopted is not None:
        return f"Trained elsewhere: adopted from {info.adopted}, for embeddings like those of `{info.store_path}`."
    return f"{info.utterances} utterances of the store `{info.store_path}`, without speaker labels, by cached vectors."


def _describe_loss(info: ModelInfo, history: list[dict[str, float]]) -> str:
    if info.adopted is not None:
        return "How it was trained is for its makers to say; of the settings above, only those of sampling apply."
    if not history:
        return "Computed in closed form: there is no training loss."
    first, last = history[0], history[-1]
    told = (
        f"Loss {first['loss']:.4f} in the first epoch, {last['loss']:.4f} in the last of {len(history)} "
        f"({last['step']:.0f} steps; see `{HISTORY}`)."
    )
    if "validation_eer" not in last:
        return told
    best = min(history, key=lambda row: row["validation_eer"])
    return (
        f"{told} Kept is epoch {best['epoch']}: EER {100 * best['validation_eer']:.2f} % between views of utterances "
        "held out, where two utterances of one speaker count as impostors."
    )


def _read_weights(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except FileNotFoundError:
        raise ModelError(f"{file} is missing; train the model again") from None
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} is damaged ({_one_line(error)}); train the model again") from error


def _check_state(file: Path, state: dict[str, Tensor], enhancer: Enhancer) -> None:
    wanted = enhancer.state_dict()
    for name in sorted(wanted.keys() ^ state.keys()):
        fault = "lacks" if name in wanted else "has an unknown"
        raise ModelError(f"{file} {fault} tensor {name!r}; it was made for another enhancer, train the model again")
    for name, tensor in wanted.items():
        if tensor.shape != state[name].shape:
            raise ModelError(
                f"{file}: tensor {name!r} is {list(state[name].shape)}, but {_INFO} calls for {list(tensor.shape)}; "
                "the two files belong to different models, train the model again"
            )
        if not state[name].isfinite().all():
            raise ModelError(f"{file}: tensor {name!r} holds values that are not finite; train the model again")


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
    return " ".join(str(error).split())
