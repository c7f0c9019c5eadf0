"""Cached vectors as arrays, enhancers that map them, and error rates over all pairs of utterances.

Shapes: U utterances, C crops, V views, D embedding dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reseed.stages.enhancers.base import Enhancer
from reseed.stages.enhancers.chain import Chain, ChainConfig
from reseed.stages.scoring.cosine import unit_rows, utterance_embeddings
from reseed.stages.scoring.metrics import eer
from reseed.store import EmbeddingStore

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cached:
    """Unit vectors of a store, whose recordings are clean in the first view, and what was done to each.

    Attributes:
        snr_UCV: in dB; nan where nothing was added.
        recipes: view name -> its recipe.
    """

    unit_UCVD: Floats
    snr_UCV: Floats
    speakers_U: NDArray[np.str_]
    recipes: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: str | Path) -> "Cached":
        """Read a store whole."""
        store = EmbeddingStore(path)
        unit_UCVD = np.concatenate([unit_rows(np.asarray(block)) for block in store.utterance_blocks()])
        snr_N = store.rows(["snr_db"]).column("snr_db").to_numpy(zero_copy_only=False)
        snr_UCV = snr_N.astype(np.float64).reshape(unit_UCVD.shape[:3])
        return cls(unit_UCVD, snr_UCV, np.array(store.speaker_ids(), np.str_), store.recipes)

    def only(self, kept_U: NDArray[Any]) -> "Cached":
        """Return some of its utterances."""
        vectors, snr = self.unit_UCVD[kept_U], self.snr_UCV[kept_U]
        return replace(self, unit_UCVD=vectors, snr_UCV=snr, speakers_U=self.speakers_U[kept_U])


@dataclass(frozen=True)
class AllPairs:
    """Every pair of two utterances as a trial: [U, U], enrolment first."""

    target_UU: Mask
    nontarget_UU: Mask

    @classmethod
    def of(cls, speakers_U: NDArray[np.str_], confusable: Sequence[Sequence[str]] = ()) -> "AllPairs":
        """Pair utterances; speakers of a confusable group are never impostors of each other."""
        group = {speaker: names[0] for names in confusable for speaker in names}
        group_U = np.array([group.get(speaker, speaker) for speaker in speakers_U.tolist()])
        same_UU = speakers_U[:, None] == speakers_U
        return cls(same_UU & ~np.eye(len(speakers_U), dtype=bool), group_U[:, None] != group_U)

    def among(self, rows: NDArray[Any], columns: NDArray[Any]) -> "AllPairs":
        """Return the trials of some enrolments with some tests."""
        chosen = np.ix_(rows, columns)
        return AllPairs(self.target_UU[chosen], self.nontarget_UU[chosen])

    def rate(self, enrolled_UCD: Floats, tested_UCD: Floats) -> float:
        """Return the EER in % of cosines of the means over crops."""
        score_UU = utterance_embeddings(enrolled_UCD) @ utterance_embeddings(tested_UCD).T
        nontarget_N = score_UU[self.nontarget_UU]
        lower = len(nontarget_N) // 2  # count as one score, for speed: they bear on no EER below 50 %
        upper_N = np.partition(nontarget_N, lower)[lower:]
        weight_N = np.r_[lower + 1.0, np.ones(len(upper_N) - 1)]
        return 100 * eer(score_UU[self.target_UU], upper_N, nontarget_weights=weight_N)

    def rates(self, mapped_UCVD: Floats) -> Floats:
        """Return the EER in % of each view [V], enrolment clean."""
        clean_UCD = mapped_UCVD[:, :, 0]
        return np.array([self.rate(clean_UCD, mapped_UCVD[:, :, view]) for view in range(mapped_UCVD.shape[2])])


def chain(steps: Sequence[Any], train: Cached) -> Chain:
    """Return a chain fitted on a cache."""
    made = Chain(ChainConfig(chain=list(steps)), train.unit_UCVD.shape[-1])
    fit(made, train)
    return made


def fit(enhancer: Enhancer, train: Cached) -> None:
    """Fit an enhancer on a cache, with its speakers for the steps that need them."""
    enhancer.fit([_block(train.unit_UCVD)], list(train.recipes), train.unit_UCVD.shape[1], train.speakers_U.tolist())


@torch.inference_mode()
def mapped(enhancer: Enhancer, unit_UCVD: Floats, speakers: int) -> Floats:
    """Return unit vectors [U, C, V, K] as an enhancer maps a store of as many speakers."""
    block_NVD = _block(unit_UCVD)
    enhancer.adapt([block_NVD], unit_UCVD.shape[1], speakers)
    enhanced_NVK = enhancer.enhance_block(block_NVD, torch.Generator()).numpy()
    return unit_rows(enhanced_NVK.reshape(*unit_UCVD.shape[:3], -1))


def _block(unit_UCVD: Floats) -> torch.Tensor:
    return torch.from_numpy(unit_UCVD.astype(np.float32)).flatten(0, 1)
