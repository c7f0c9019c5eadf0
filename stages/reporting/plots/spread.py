"""How tightly a speaker's vectors lie together, and how far speakers lie apart: before and after enhancement.

Shapes: U chosen utterances, V views, D embedding dimension, S speakers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from reseed.stages.audio.conditions import describe
from reseed.stages.common.figures import figure, to_svg
from reseed.stages.common.theme import Theme
from reseed.stages.reporting.plots.projection import Chosen, embeddings_of
from reseed.stages.reporting.plots.style import Look
from reseed.stages.scoring.curves import Floats
from reseed.store import EmbeddingStore

SPEAKERS = 200
_ROW_IN, _MARKERS = 0.5, ("o", "X", "s")
_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Range:
    """Cosine distances in short: their mean, and the 10 %, 50 % and 90 % quantiles."""

    mean: float
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, distances: NDArray[np.floating[Any]]) -> "Range":
        """Sum up distances."""
        return cls(float(distances.mean()), *(float(value) for value in np.quantile(distances, _QUANTILES)))


@dataclass(frozen=True)
class Spread:
    """Cosine distances in one space.

    Attributes:
        clean, noisy: of an utterance from its speaker's mean over the other utterances, as these are on clean speech.
        between: of the means of two speakers.
    """

    clean: Range
    noisy: Range | None
    between: Range


def measure_spread(source: EmbeddingStore, chosen: Chosen) -> Spread | None:
    """Return the spread of chosen utterances; None without a clean view, or two speakers of two utterances each."""
    (conditions,) = describe(source.recipes)
    clean = [index for index, condition in enumerate(conditions.values()) if condition.is_clean][:1]
    noisy = [index for index, condition in enumerate(conditions.values()) if not condition.is_clean]
    counts = np.bincount(chosen.speaker_U)
    kept_U = counts[chosen.speaker_U] > 1
    if not clean or np.unique(chosen.speaker_U[kept_U]).size < 2:
        return None
    units_UVD = embeddings_of(source, chosen.rows_U[kept_U])
    _, speaker_U = np.unique(chosen.speaker_U[kept_U], return_inverse=True)
    return spread(units_UVD[:, clean[0]], units_UVD[:, noisy], speaker_U)


def spread(clean_UD: Floats, noisy_UVD: Floats, speaker_U: NDArray[np.integer[Any]]) -> Spread:
    """Return the spread of unit vectors of speakers that have two utterances or more."""
    sums_SD = np.zeros((int(speaker_U.max()) + 1, clean_UD.shape[1]))
    np.add.at(sums_SD, speaker_U, clean_UD)
    others_UD = _unit(sums_SD[speaker_U] - clean_UD)
    means_SD = _unit(sums_SD)
    apart = np.triu_indices(len(means_SD), 1)
    return Spread(
        Range.of(1 - np.einsum("ud,ud->u", clean_UD, others_UD)),
        Range.of(1 - np.einsum("uvd,ud->uv", noisy_UVD, others_UD).ravel()) if noisy_UVD.shape[1] else None,
        Range.of(1 - (means_SD @ means_SD.T)[apart]),
    )


def draw_spreads(spreads: Sequence[tuple[Look, Spread]], theme: Theme) -> str:
    """Draw a row per system: median and 10 to 90 % of either scatter, and of the distance between speakers."""
    with figure(theme, 1.1 + _ROW_IN * len(spreads)) as drawn:
        axes = drawn.subplots()
        for row, (look, found) in enumerate(spreads):
            for part, (marker, place) in enumerate(zip(_MARKERS, (-0.22, 0.0, 0.22), strict=True)):
                shown = (found.clean, found.noisy, found.between)[part]
                if shown is not None:
                    colour = look.colour(theme)
                    axes.hlines(row + place, shown.low, shown.high, color=colour, linewidth=1.6, alpha=0.6)
                    axes.plot(shown.median, row + place, marker, color=colour, markersize=6)
        axes.set_yticks(range(len(spreads)), [look.label for look, _ in spreads])
        axes.set_ylim(len(spreads) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(left=0)
        axes.set_xlabel("cosine distance")
        ink: Any = {"color": theme.ink, "linestyle": ""}
        names = ("own speaker, clean", "own speaker, noisy", "between speakers")
        handles = [Line2D([], [], marker=mark, label=name, **ink) for mark, name in zip(_MARKERS, names, strict=True)]
        drawn.legend(handles=handles, loc="outside upper center", ncols=3)
        return to_svg(drawn)


def spread_rows(spreads: Mapping[str, Spread]) -> list[dict[str, Any]]:
    """Return the rows of spread.json, by the label of each system."""
    return [
        {"system": label}
        | {
            f"{part}_{name}": value
            for part, found in (("clean", s.clean), ("noisy", s.noisy), ("between", s.between))
            for name, value in (vars(found).items() if found else ())
        }
        for label, s in spreads.items()
    ]


def _unit(rows_ND: Floats) -> Floats:
    unit: Floats = rows_ND / np.maximum(np.linalg.norm(rows_ND, axis=-1, keepdims=True), 1e-12)
    return unit
