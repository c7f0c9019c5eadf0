"""A picture of the embedding space: a few speakers, clean and noisy, in two dimensions, before and after enhancement.

Shapes: U chosen utterances, R rows of one, V views, C crops, D embedding dimension, N points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from stages.reporting.figures import figure, to_svg
from stages.reporting.theme import Theme
from stages.score_files import read_speakers
from stages.scoring.conditions import describe
from stages.scoring.cosine import utterance_embeddings
from stages.scoring.curves import Floats
from store import EmbeddingStore

_UTTERANCES_EACH = 10
_NOISY_VIEWS = 6
_HEIGHT_IN = 5.2


@dataclass(frozen=True)
class Chosen:
    """Utterances to draw: their rows among the store's utterances [U] and their speakers as numbers [U]."""

    rows_U: NDArray[np.int64]
    speaker_U: NDArray[np.int64]


@dataclass(frozen=True)
class Panel:
    """Points of one system in the plane: clean [U, 2], noisy [U, V, 2], and the variance share of the two axes."""

    clean_U2: Floats
    noisy_UV2: Floats
    explained: float


def choose(source: EmbeddingStore, utterances: Path, speakers: int) -> Chosen | None:
    """Choose the `speakers` with the most utterances; None where fewer than two are known."""
    manifest = read_speakers(utterances)
    ids_U = pa.array(source.utterance_ids(), pa.string())
    names = manifest["speaker_id"].take(pc.index_in(ids_U, value_set=manifest["utterance_id"])).to_pylist()
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name is not None:
            rows.setdefault(name, []).append(row)
    most = sorted(rows, key=lambda name: (-len(rows[name]), name))[:speakers]
    if len(most) < 2:
        return None
    picked = [(row, number) for number, name in enumerate(most) for row in rows[name][:_UTTERANCES_EACH]]
    rows_U, speaker_U = np.array(sorted(picked), np.int64).T
    return Chosen(rows_U, speaker_U)


def project(source: EmbeddingStore, chosen: Chosen) -> Panel | None:
    """Project a store's chosen utterances onto the two main axes of their own clean vectors.

    Each system has axes of its own, since an enhancer may rotate or rescale the space. None without a clean and a
    noisy view, or where the clean vectors do not span a plane.
    """
    conditions = [describe(view, source.recipes[view]) for view in source.views]
    clean = [index for index, condition in enumerate(conditions) if condition.is_clean][:1]
    noisy = [index for index, condition in enumerate(conditions) if not condition.is_clean]
    noisy = noisy[:: -(-len(noisy) // _NOISY_VIEWS) or 1]
    if not clean or not noisy:
        return None
    units_UVD = _embeddings(source, chosen.rows_U)
    clean_UD, noisy_UVD = units_UVD[:, clean[0]], units_UVD[:, noisy]
    mean_D = clean_UD.mean(axis=0)
    _, singular_K, axes_KD = np.linalg.svd(clean_UD - mean_D, full_matrices=False)
    if singular_K.size < 2 or not singular_K[1] > 0:
        return None
    explained = float((singular_K[:2] ** 2).sum() / (singular_K**2).sum())
    return Panel((clean_UD - mean_D) @ axes_KD[:2].T, (noisy_UVD - mean_D) @ axes_KD[:2].T, explained)


def turned_like(panel: Panel, model: Panel) -> Panel:
    """Rotate or reflect a panel to lie like another one: axes have no sign of their own (orthogonal Procrustes)."""
    left, _, right = np.linalg.svd(panel.clean_U2.T @ model.clean_U2)
    turn_22 = left @ right
    return Panel(panel.clean_U2 @ turn_22, panel.noisy_UV2 @ turn_22, panel.explained)


def draw_panels(panels: Mapping[str, Panel], chosen: Chosen, theme: Theme) -> str:
    """Draw one panel per title: a colour per speaker, dots for clean utterances, crosses for their noisy views."""
    with figure(theme, _HEIGHT_IN) as drawn:
        grid = drawn.subplots(1, 2, squeeze=False)[0]
        for axes, (title, panel) in zip(grid, panels.items(), strict=False):
            _scatter(axes, panel, chosen, theme)
            axes.set_title(title)
            axes.set_xlabel(f"two main axes of the clean vectors: {100 * panel.explained:.0f}\u202f% of their variance")
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        drawn.legend(handles=_handles(theme), loc="outside upper center", ncols=2)
        return to_svg(drawn)


def _embeddings(source: EmbeddingStore, rows_U: NDArray[np.int64]) -> Floats:
    """Return unit vectors of the chosen utterances in every view, [U, V, D]."""
    crops, views = source.crops, len(source.views)
    rows_UR = rows_U[:, None] * (crops * views) + np.arange(crops * views)
    vectors_NCD = source.take(rows_UR.ravel()).reshape(-1, crops, views, source.dim).swapaxes(1, 2)
    units_ND = utterance_embeddings(vectors_NCD.reshape(-1, crops, source.dim))
    return units_ND.reshape(-1, views, source.dim)


def _scatter(axes: Axes, panel: Panel, chosen: Chosen, theme: Theme) -> None:
    for speaker in np.unique(chosen.speaker_U):
        colour = theme.speakers[speaker % len(theme.speakers)]
        own = chosen.speaker_U == speaker
        clean_U2, noisy_UV2 = panel.clean_U2[own], panel.noisy_UV2[own]
        rays_N22 = np.stack(np.broadcast_arrays(clean_U2[:, None], noisy_UV2), axis=2).reshape(-1, 2, 2)
        axes.add_collection(LineCollection(list(rays_N22), colors=colour, linewidths=0.5, alpha=0.2))
        axes.plot(*noisy_UV2.reshape(-1, 2).T, "x", color=colour, markersize=3, markeredgewidth=0.7, alpha=0.5)
        axes.plot(*clean_U2.T, "o", color=colour, markersize=6, markeredgecolor=theme.card, markeredgewidth=0.7)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _handles(theme: Theme) -> Sequence[Line2D]:
    ink: Any = {"color": theme.ink, "linestyle": ""}
    return [
        Line2D([], [], marker="o", label="clean utterance", **ink),
        Line2D([], [], marker="x", markersize=4, label="the same utterance in a noisy view", **ink),
    ]
