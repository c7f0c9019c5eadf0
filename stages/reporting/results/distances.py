"""How close a speaker's embeddings lie together, how far speakers lie apart, and whether some lie near everyone.

Shapes: U sampled utterances, V noisy views, D embedding dimension, S speakers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.reporting.results.embeddings import Sample, clean_and_noisy, open_store, sample_speakers
from reseed.stages.reporting.results.styles import Style, Styles
from reseed.stages.reporting.results.systems import ScoredSystem
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.hubness import hubness, scatter
from reseed.store.url import AnyPath

_SPEAKERS = 200
_QUANTILES = (0.1, 0.5, 0.9)
_SHAPES = ("clean_scatter", "noisy_scatter", "clean_hubness", "noisy_hubness")


@dataclass(frozen=True)
class Quantiles:
    """Cosine distances in short: their mean, and the 10 %, 50 % and 90 % quantiles."""

    mean: float
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, distances: NDArray[np.floating[Any]]) -> "Quantiles":
        """Sum up distances."""
        return cls(float(distances.mean()), *(float(value) for value in np.quantile(distances, _QUANTILES)))


@dataclass(frozen=True)
class SpeakerDistances:
    """Cosine distances in one space.

    Attributes:
        clean, noisy: within speakers: of an utterance from the mean of its speaker's other, clean utterances.
        between: of the means of two speakers.
        clean_scatter, noisy_scatter: of `reseed.stages.scoring.hubness`; the noisy one is the mean over views.
        clean_hubness, noisy_hubness: likewise.
    """

    clean: Quantiles
    noisy: Quantiles | None
    between: Quantiles
    clean_scatter: float
    noisy_scatter: float | None
    clean_hubness: float
    noisy_hubness: float | None

    def row(self, label: str) -> dict[str, Any]:
        """Return the row of spread.json."""
        return (
            {"system": label}
            | {
                f"{part}_{name}": value
                for part, found in (("clean", self.clean), ("noisy", self.noisy), ("between", self.between))
                for name, value in (vars(found).items() if found else ())
            }
            | {name: getattr(self, name) for name in _SHAPES}
        )


def measure_distances(
    systems: Sequence[ScoredSystem], styles: Styles, utterances: AnyPath
) -> dict[Style, SpeakerDistances]:
    """Return the distances in the store of each system, where it has a clean view and two speakers of two utterances.

    Raises:
        StoreError: a store is not the one that its scores were computed from.
    """
    found: dict[Style, SpeakerDistances] = {}
    for scored in systems:
        style = styles[scored.system]
        if style not in found:
            source = open_store(scored)
            sample = sample_speakers(source, utterances, _SPEAKERS)
            repeated = _of_repeated_speakers(sample) if sample else None
            vectors = clean_and_noisy(source, repeated.rows_U) if repeated else None
            if repeated and vectors:
                found[style] = distances(*vectors, repeated.speaker_U)
    return found


def distances(clean_UD: Floats, noisy_UVD: Floats, speaker_U: NDArray[np.integer[Any]]) -> SpeakerDistances:
    """Return the distances of unit vectors of speakers that have two utterances or more."""
    sums_SD = np.zeros((int(speaker_U.max()) + 1, clean_UD.shape[1]))
    np.add.at(sums_SD, speaker_U, clean_UD)
    others_UD = _unit(sums_SD[speaker_U] - clean_UD)
    means_SD = _unit(sums_SD)
    pairs = np.triu_indices(len(means_SD), 1)
    views = [noisy_UVD[:, view] for view in range(noisy_UVD.shape[1])]
    return SpeakerDistances(
        Quantiles.of(1 - np.einsum("ud,ud->u", clean_UD, others_UD)),
        Quantiles.of(1 - np.einsum("uvd,ud->uv", noisy_UVD, others_UD).ravel()) if noisy_UVD.shape[1] else None,
        Quantiles.of(1 - (means_SD @ means_SD.T)[pairs]),
        scatter(clean_UD, speaker_U),
        float(np.mean([scatter(view_UD, speaker_U) for view_UD in views])) if views else None,
        hubness(clean_UD),
        float(np.mean([hubness(view_UD) for view_UD in views])) if views else None,
    )


def _of_repeated_speakers(sample: Sample) -> Sample | None:
    """Return the utterances of speakers that have several; None where these are fewer than two speakers."""
    kept_U = np.bincount(sample.speaker_U)[sample.speaker_U] > 1
    speakers, speaker_U = np.unique(sample.speaker_U[kept_U], return_inverse=True)
    return Sample(sample.rows_U[kept_U], speaker_U) if len(speakers) > 1 else None


def _unit(rows_ND: Floats) -> Floats:
    unit: Floats = rows_ND / np.maximum(np.linalg.norm(rows_ND, axis=-1, keepdims=True), 1e-12)
    return unit
