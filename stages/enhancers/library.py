"""For use from Python: a trained model as a function from NumPy to NumPy.

Shapes: D embedding dimension, K dimensions of what comes out, M rows.
"""

import copy
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from reseed.stages.enhancers.base import Enhancer as Network
from reseed.stages.enhancers.base import enhance_vectors
from reseed.stages.enhancers.folder import ModelInfo, load_model
from reseed.stages.enhancers.operations import check_dimension, check_finite
from reseed.store import ModelError


class Enhancer:
    """A trained model, frozen.

    Attributes:
        info: the contents of its model.json.
        dim, dim_out: embedding dimension D going in, K coming out: the same but for chains with `lda`.
        space: the embedding space it was trained on, e.g. "ge2e:4f1c2a9b"; it fits no other.

    Example:
        >>> from reseed import EmbeddingStore, Enhancer
        >>> store = EmbeddingStore("stores/train")
        >>> enhancer = Enhancer.load("models/vire", space=store.space)
        >>> enhancer.enhance(store.vectors("noise")).shape
        (24, 16)
        >>> enhancer.enhance(store.get("utt-003", view="noise")).shape
        (16,)
    """

    def __init__(self, network: Network, info: ModelInfo, device: str) -> None:
        self._network, self._device, self._adapted = network, device, False
        self.info, self.dim, self.dim_out, self.space = info, info.dim, network.dim_out, info.space

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu", space: str | None = None) -> Self:
        """Load a model directory.

        Args:
            device: torch device, e.g. "cpu" or "cuda".
            space: of the embeddings to be enhanced (`EmbeddingStore.space`); checked if it is given.

        Raises:
            ModelError: no model there, a damaged one, or one trained on another space.
            ConfigError: no such device.
        """
        network, info = load_model(Path(path), device)
        if space is not None and space != info.space:
            raise ModelError(f"model {path} was trained on embeddings of {info.space}, not of {space}; train another")
        return cls(network, info, device)

    def enhance(self, embeddings: ArrayLike, *, seed: int = 0) -> NDArray[np.float32]:
        """Return enhanced embeddings [..., K], float32, each by itself.

        A model that takes the means of the store that is enhanced (`centre` with `mean: store`, also in a chain) goes
        by the training mean here, or by that of `adapt`.

        Args:
            embeddings: [..., D], as the backbone gave them: one, or any number, as numpy takes them or a tensor on
                any device.
            seed: seeds the sampling noise of models that draw any.

        Raises:
            ModelError: another dimension, or values that are not finite; names the first such row.
        """
        rows_MD = self._rows(embeddings)
        generator = torch.Generator().manual_seed(seed)
        views = 1 if self._adapted else None
        enhanced_MK = enhance_vectors(self._network, rows_MD, generator, self._device, views)
        return enhanced_MK.reshape(*np.shape(embeddings)[:-1], self.dim_out)

    def adapt(self, embeddings: ArrayLike, *, speakers: int | None = None) -> Self:
        """Return a copy that goes by the mean of some embeddings [..., D], such as those that are to be enhanced.

        One that goes by their neighbours, too (`neighbours` in a chain), enhances these in this order and no others.

        Args:
            speakers: how many there are; the mean of few counts for less. None: as many as embeddings.

        Raises:
            ModelError: the model takes no such mean, another dimension, or values that are not finite.
        """
        if not self._network.adapts:
            raise ModelError(f"the model {self.info.enhancer} takes nothing from what it enhances; leave adapt out")
        rows_MD = self._rows(embeddings)
        adapted = copy.copy(self)
        adapted._network, adapted._adapted = copy.deepcopy(self._network), True
        blocks = [torch.from_numpy(rows_MD).to(self._device)[:, None]]
        adapted._network.adapt(blocks, 1, len(rows_MD) if speakers is None else speakers)
        return adapted

    def _rows(self, embeddings: ArrayLike) -> NDArray[np.float32]:
        numbers = embeddings.detach().float().cpu().numpy() if isinstance(embeddings, torch.Tensor) else embeddings
        given = np.array(numbers, np.float32)
        check_dimension(given, self.dim)
        rows_MD = given.reshape(-1, self.dim)
        check_finite(rows_MD)
        return rows_MD
