"""The model directory: what `train` leaves behind and `enhance` takes up.

MODEL/model.safetensors   parameters and statistics of the enhancer
MODEL/model.json          enhancer, its settings, and which store it was trained on; carries the weights' digest
MODEL/train.jsonl         one row per epoch
MODEL/README.md           the model card
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from reseed.stages.common.device import torch_device
from reseed.stages.common.section import Section
from reseed.stages.common.terminal import said
from reseed.stages.enhancers.base import Enhancer
from reseed.stages.enhancers.table import enhancer_class, enhancer_code, make_enhancer
from reseed.stages.training.folder import HISTORY, Epoch, TrainedFolder, TrainedInfo, table_of
from reseed.store import EmbeddingStore, ModelError


class ModelInfo(TrainedInfo):
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
    adopted: str | None = None

    @classmethod
    def of(cls, store: EmbeddingStore, enhancer: str, settings: Section, seed: int) -> Self:
        """Return the contents of model.json for an enhancer trained on a store."""
        config = settings.model_dump(mode="json")
        return cls(
            plugins=enhancer_code(enhancer, config),
            enhancer=enhancer,
            config=config,
            dim=store.dim,
            space=store.space,
            store_fingerprint=store.fingerprint,
            store_path=str(store.path),
            views=store.views,
            utterances=store.header.stored,
            seed=seed,
        )

    def check_fits(self, store: EmbeddingStore, model: Path) -> None:
        """Check that the model was trained on embeddings like those of a store.

        Raises:
            ModelError: another embedding space or another dimension; names both.
        """
        if self.space != store.space:
            raise ModelError(
                f"model {model} was trained on embeddings of {self.space}, store {store.path} holds {store.space}; "
                "train a model on a store of that space"
            )
        if self.dim != store.dim:
            raise ModelError(
                f"model {model} takes {self.dim} dimensions, store {store.path} holds {store.dim}; "
                "train a model on a store of that dimension"
            )


FOLDER = TrainedFolder("a model", "reseed train", ModelInfo, "model.json", "model.safetensors")


def save_model(path: Path, enhancer: Enhancer, info: ModelInfo, history: Sequence[Epoch]) -> ModelInfo:
    """Write the model directory `path`, replacing an older model there; whole or not at all.

    Args:
        info: its `weights_sha256` is filled in here.
        history: rows of train.jsonl.

    Returns:
        `info` with the digest of the weights.

    Raises:
        ModelError: `path` is something other than a model.
    """
    return FOLDER.write(
        path, enhancer.state_dict(), info, history, lambda info: said(model_card(enhancer, info, history))
    )


def load_model(path: Path, device: str = "cpu") -> tuple[Enhancer, ModelInfo]:
    """Return the enhancer of a model directory, frozen and on `device`, and its model.json.

    Raises:
        ModelError: not a model, damaged, or with weights that do not fit its own model.json.
        ConfigError: no such device.
    """
    enhancer, info = FOLDER.load(path, _build)
    return enhancer.to(torch_device(device)), info


def _build(info: ModelInfo) -> Enhancer:
    return make_enhancer(info.enhancer, enhancer_class(info.enhancer).Config.model_validate(info.config), info.dim)


def model_card(enhancer: Enhancer, info: ModelInfo, history: Sequence[Epoch]) -> str:
    """Return the model card, in Markdown."""
    title = (type(enhancer).__doc__ or info.enhancer).strip().splitlines()[0].rstrip(".")
    return f"""# {title}

Maps a speaker embedding to one less affected by noise: {info.dim} dimensions in, {enhancer.dim_out} out. Enhancer
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

{table_of({**info.config, "seed": info.seed})}
{_describe_fit(enhancer, info, history)}

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


def _describe_fit(enhancer: Enhancer, info: ModelInfo, history: Sequence[Epoch]) -> str:
    if info.adopted is not None:
        return "How it was trained is for its makers to say; of the settings above, only those of sampling apply."
    if not history:
        return f"Computed in closed form: there is no training loss. {_sentence(enhancer.remark())}".strip()
    first, last = history[0], history[-1]
    course = (
        f"Loss {first['loss']:.4f} in the first epoch, {last['loss']:.4f} in the last of {len(history)} "
        f"({last['step']:.0f} steps; see `{HISTORY}`)."
    )
    if "validation_eer" not in last:
        return course
    best = min(history, key=lambda row: row["validation_eer"])
    return (
        f"{course} Kept is epoch {best['epoch']}: EER {100 * best['validation_eer']:.2f} % between views of utterances "
        "held out, where two utterances of one speaker count as impostors."
    )


def _sentence(text: str) -> str:
    return text and f"{text[0].upper()}{text[1:]}."
