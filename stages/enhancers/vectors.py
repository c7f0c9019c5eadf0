"""For a service: a model in closed form applied to vectors as they come, by numpy alone, in microseconds.

Of packages it loads numpy and safetensors, neither torch nor Arrow nor pydantic.

Shapes: D embedding dimension, K dimensions of what comes out, M rows.
"""

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from reseed.stages.enhancers.operations import (
    OPERATIONS,
    Affine,
    Exact,
    Floats,
    check_dimension,
    checked_dim_out,
    chunks,
    folded,
    mapped,
    operations_of,
)
from reseed.store.atomic import sha256_once
from reseed.store.errors import ModelError
from reseed.store.sealed import read_record

_OBSERVING = Lock()  # one for all, so that an enhancer can be pickled


class _Running(NamedTuple):
    """A mean that goes by what was observed, and where it stands among the steps."""

    place: int
    training_D: Exact
    prior: float
    vectors: int
    speakers: int
    total_D: Exact

    def mean(self) -> Floats:
        """Return (speakers * own mean + prior * training mean) / (speakers + prior), [D]."""
        share = self.speakers / (self.speakers + self.prior) if self.speakers and self.vectors else 0.0
        own_D = self.total_D / max(1, self.vectors)
        return (share * own_D + (1 - share) * self.training_D).astype(np.float32)


class VectorEnhancer:
    """A trained model in closed form, for a service: numpy to numpy, called from as many threads as there are.

    It can be pickled, and goes on with what it has observed.

    Attributes:
        enhancer: which it is, "auto".
        dim, dim_out: embedding dimension D going in, K coming out.
        space: the embedding space it was trained on, e.g. "ge2e:4f1c2a9b"; it fits no other.
        adapts: whether it goes by the running mean of what it observes.

    Example:
        >>> import numpy as np
        >>> from reseed import VectorEnhancer
        >>> enhancer = VectorEnhancer.load("models/vire")
        >>> better = enhancer.enhance(np.ones(enhancer.dim))
        >>> better.shape, round(float(np.linalg.norm(better)), 3)
        ((16,), 1.0)
    """

    def __init__(self, info: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        self.enhancer, self.dim, self.space = str(info["enhancer"]), int(info["dim"]), str(info["space"])
        operations: list[Exact | None] = []
        self._running: list[_Running] = []
        for prefix, name, settings in _named_steps(self.enhancer, info["config"]):
            if name == "centre" and settings["mean"] != "training":
                mean_D = tensors[f"{prefix}unit_mean_D"].astype(np.float64)
                place = len(folded([*operations, None]))  # the mean follows a division
                self._running.append(_Running(place, mean_D, settings["prior"], 0, 0, np.zeros_like(mean_D)))
            operations += operations_of(name, tensors, prefix)
        self.dim_out = checked_dim_out(operations, self.dim)
        self.adapts = bool(self._running)
        self._steps = folded(operations)

    @classmethod
    def load(cls, path: str | Path, *, space: str | None = None) -> Self:
        """Load a model directory.

        Args:
            space: of the embeddings to be enhanced (`EmbeddingStore.space`); checked if it is given.

        Raises:
            ModelError: no model there, a damaged one, one of a network, or one trained on another space.
        """
        info, tensors = _read(Path(path))
        try:
            enhancer = cls(info, tensors)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _unusable(f"{path}: model.json does not fit its weights ({error})") from error
        if space is not None and space != enhancer.space:
            trained = f"was trained on embeddings of {enhancer.space}"
            raise ModelError(f"model {path} {trained}, not of {space}; train another")
        return enhancer

    def enhance(self, embeddings: ArrayLike) -> Floats:
        """Return enhanced embeddings [..., K], float32, each by itself.

        Args:
            embeddings: [..., D], as the backbone gave them: one, or any number.

        Raises:
            ModelError: another dimension, or values that are not finite; names the first such row.
        """
        given, steps = np.asarray(embeddings), self._steps
        check_dimension(given, self.dim)
        if given.ndim == 1:
            return mapped(given, steps)
        rows_MD = given.reshape(-1, self.dim)
        enhanced_MK = np.empty((len(rows_MD), self.dim_out), np.float32)
        for some in chunks(rows_MD):
            enhanced_MK[some] = mapped(rows_MD[some], steps, some.start)
        return enhanced_MK.reshape(*given.shape[:-1], self.dim_out)

    def observe(self, embeddings: ArrayLike, *, speakers: int | None = None) -> None:
        """Count embeddings [..., D] towards the running mean, which `enhance` goes by from then on.

        After any number of calls that is the mean which `Enhancer.adapt` takes of all these vectors at once.

        Args:
            speakers: how many of their speakers were not observed before; the mean of few counts for less. None: as
                many as embeddings.

        Raises:
            ModelError: the model takes no such mean, or several; another dimension, or values that are not finite.
        """
        self._check_observes()
        given = np.asarray(embeddings)
        check_dimension(given, self.dim)
        rows_MD = given.reshape(-1, self.dim)
        new = len(rows_MD) if speakers is None else speakers
        if new < 0:
            raise ModelError(f"{new} speakers cannot be new; give how many were not observed before")
        before, total_D = self._steps[: self._running[0].place], np.zeros(self._running[0].total_D.shape)
        for some in chunks(rows_MD):
            total_D += mapped(rows_MD[some], before, some.start).sum(axis=0, dtype=np.float64)
        with _OBSERVING:
            known = self._running[0]
            self._running = [
                known._replace(
                    vectors=known.vectors + len(rows_MD),
                    speakers=known.speakers + new,
                    total_D=known.total_D + total_D,
                )
            ]
            centred = Affine(self._running[0].mean())
            self._steps = (*before, centred, *self._steps[len(before) + 1 :])

    def _check_observes(self) -> None:
        if not self._running:
            raise ModelError(f"the model {self.enhancer} takes nothing from what it enhances; leave observe out")
        if len(self._running) > 1:
            raise ModelError(
                f"the model {self.enhancer} takes several means, each of what the one before it makes of all vectors; "
                "have these at hand and use adapt of reseed.Enhancer"
            )


def _named_steps(enhancer: str, config: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each step: what the names of its tensors begin with, its name, its settings."""
    if enhancer != "chain":
        yield "", enhancer, config
        return
    for position, step in enumerate(config["chain"]):
        ((name, settings),) = step.items()
        yield f"steps.{position}.", name, settings


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what model.json says and the tensors of a model in closed form."""
    file, weights = path / "model.json", path / "model.safetensors"
    try:
        info = read_record(file)
    except FileNotFoundError:
        raise ModelError(f"{path} is not a model: it has no model.json; make one with `reseed train`") from None
    except (OSError, ValueError) as error:
        raise _unusable(f"{file} is damaged ({' '.join(str(error).split())})") from error
    if not isinstance(info, dict) or info.get("format") != "reseed-model" or info.get("version") != 1:
        raise _unusable(f"{file} describes no model that this version of reseed can read")
    _check_closed_form(path, info)
    try:
        if sha256_once(weights) != info.get("weights_sha256"):
            raise _unusable(f"{weights} is damaged or was exchanged: model.json has another SHA-256 of it")
        tensors = load_file(weights)
    except FileNotFoundError:
        raise _unusable(f"{weights} is missing") from None
    except (OSError, SafetensorError) as error:
        raise _unusable(f"{weights} is damaged ({' '.join(str(error).split())})") from error
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise _unusable(f"{weights}: tensor {name!r} holds values that are not finite")
    return info, tensors


def _check_closed_form(path: Path, info: dict[str, Any]) -> None:
    enhancer, config = info.get("enhancer"), info.get("config")
    try:
        unknown = [name for _, name, _ in _named_steps(str(enhancer), config or {}) if name not in OPERATIONS]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _unusable(f"{path / 'model.json'}: its steps cannot be read") from None
    if unknown:
        raise ModelError(
            f"model {path}: VectorEnhancer has no formula for {unknown[0]}; load it by reseed.Enhancer, or write it by "
            "`reseed export-model` for ONNX Runtime"
        )


def _unusable(problem: str) -> ModelError:
    return ModelError(f"{problem}; make a model again with `reseed train`")
