"""How an enhancer gets at a store: to be fitted on it, and to adapt to it.

Shapes: D embedding dimension, N utterances x crops of a block, V views.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from reseed.stages.enhancers.base import Enhancer
from reseed.stages.enhancers.utterances import Blocks
from reseed.stages.training.data import TrainingData
from reseed.store import EmbeddingStore


def fit(enhancer: Enhancer, store: EmbeddingStore, data: TrainingData) -> None:
    """Fit an enhancer on what is trained on; speakers are told where that is the whole store.

    Raises:
        StoreError: vectors on which it cannot be fitted.
    """
    speakers = store.speaker_ids() if data.held_out is None else ()
    enhancer.fit(Blocks(data.pairs.blocks), store.views, store.crops, speakers)


def adapt(enhancer: Enhancer, store: EmbeddingStore, device: torch.device) -> None:
    """Let an enhancer take up what the store that it will enhance tells; most take nothing, and nothing is read."""
    if not enhancer.adapts:
        return

    def read() -> Iterator[Tensor]:
        for block_UCVD in store.utterance_blocks():
            yield torch.from_numpy(block_UCVD.astype("float32")).to(device).flatten(0, 1)

    speakers = {speaker for speaker in store.speaker_ids() if speaker is not None}
    enhancer.adapt(Blocks(read), store.crops, len(speakers) or store.header.stored)
