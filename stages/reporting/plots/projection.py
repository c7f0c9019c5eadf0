"""A picture of the embedding space: a few speakers, clean and noisy, in two dimensions, before and after enhancement.

By principal components, or by t-SNE (van der Maaten and Hinton, JMLR 9, 2008).

Shapes: U chosen utterances, R rows of one, V views, C crops, D embedding dimension, N points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from reseed.stages.audio.conditions import describe
from reseed.stages.common.figures import figure, to_svg
from reseed.stages.common.speakers import joined_column
from reseed.stages.common.theme import Theme
from reseed.stages.scoring.cosine import utterance_embeddings
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.inputs.lists import read_speakers
from reseed.store import EmbeddingStore

_UTTERANCES_EACH = 10
_NOISY_VIEWS = 6
_PERPLEXITY = 30.0
_HEIGHT_IN = 5.2


@dataclass(frozen=True)
class Chosen:
    """Utterances to draw: their rows among the store's utterances [U] and their speakers as numbers [U]."""

    rows_U: NDArray[np.int64]
    speaker_U: NDArray[np.int64]


@dataclass(frozen=True)
class Panel:
    """Points of one system in the plane: clean [U, 2] and noisy [U, V, 2], and what the axes are."""

    clean_U2: Floats
    noisy_UV2: Floats
    axes: str


def choose(source: EmbeddingStore, utterances: Path, speakers: int) -> Chosen | None:
    """Choose the `speakers` with the most utterances; None where fewer than two are known."""
    manifest = read_speakers(utterances)
    ids_U = pa.array(source.utterance_ids(), pa.string())
    names = joined_column("speaker_id", ids_U, manifest).to_pylist()
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


def project(source: EmbeddingStore, chosen: Chosen, method: str = "pca", seed: int = 0) -> Panel | None:
    """Flatten a store's chosen utterances.

    Each system has axes of its own, since an enhancer may rotate or rescale the space. None without a clean and a
    noisy view, or where the clean vectors do not span a plane.

    Args:
        method: "pca", the two main axes of the clean vectors; "tsne", clean and noisy vectors together.
        seed: of t-SNE.
    """
    (conditions,) = describe(source.recipes)
    clean = [index for index, condition in enumerate(conditions.values()) if condition.is_clean][:1]
    noisy = [index for index, condition in enumerate(conditions.values()) if not condition.is_clean]
    noisy = noisy[:: -(-len(noisy) // _NOISY_VIEWS) or 1]
    if not clean or not noisy:
        return None
    units_UVD = embeddings_of(source, chosen.rows_U)
    clean_UD, noisy_UVD = units_UVD[:, clean[0]], units_UVD[:, noisy]
    return _by_tsne(clean_UD, noisy_UVD, seed) if method == "tsne" else _by_pca(clean_UD, noisy_UVD)


def _by_pca(clean_UD: Floats, noisy_UVD: Floats) -> Panel | None:
    mean_D = clean_UD.mean(axis=0)
    _, singular_K, axes_KD = np.linalg.svd(clean_UD - mean_D, full_matrices=False)
    if singular_K.size < 2 or not singular_K[1] > 0:
        return None
    explained = float((singular_K[:2] ** 2).sum() / (singular_K**2).sum())
    axes = f"two main axes of the clean vectors: {100 * explained:.0f}\u202f% of their variance"
    return Panel((clean_UD - mean_D) @ axes_KD[:2].T, (noisy_UVD - mean_D) @ axes_KD[:2].T, axes)


def _by_tsne(clean_UD: Floats, noisy_UVD: Floats, seed: int) -> Panel:
    from sklearn.manifold import TSNE

    units_NVD = np.concatenate([clean_UD[:, None], noisy_UVD], axis=1)
    count = units_NVD.shape[0] * units_NVD.shape[1]
    perplexity = min(_PERPLEXITY, (count - 1) / 3)
    # The exact gradient: that of Barnes and Hut adds up in an order that the number of threads decides.
    flat = TSNE(2, perplexity=perplexity, init="pca", method="exact", random_state=seed)
    points_NV2 = flat.fit_transform(units_NVD.reshape(count, -1)).reshape(*units_NVD.shape[:2], 2).astype(np.float64)
    points_NV2 -= points_NV2.mean(axis=(0, 1))
    return Panel(points_NV2[:, 0], points_NV2[:, 1:], f"t-SNE of clean and noisy vectors, perplexity {perplexity:g}")


def turned_like(panel: Panel, model: Panel) -> Panel:
    """Rotate or reflect a panel to lie like another one: axes have no sign of their own (orthogonal Procrustes)."""
    left, _, right = np.linalg.svd(panel.clean_U2.T @ model.clean_U2)
    turn_22 = left @ right
    return Panel(panel.clean_U2 @ turn_22, panel.noisy_UV2 @ turn_22, panel.axes)


def draw_panels(panels: Mapping[str, Panel], chosen: Chosen, theme: Theme) -> str:
    """Draw one panel per title: a colour per speaker, dots for clean utterances, crosses for their noisy views."""
    with figure(theme, _HEIGHT_IN) as drawn:
        grid = drawn.subplots(1, 2, squeeze=False)[0]
        for axes, (title, panel) in zip(grid, panels.items(), strict=False):
            _scatter(axes, panel, chosen, theme)
            axes.set_title(title)
            axes.set_xlabel(panel.axes)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        drawn.legend(handles=_handles(theme), loc="outside upper center", ncols=2)
        return to_svg(drawn)


def embeddings_of(source: EmbeddingStore, rows_U: NDArray[np.int64]) -> Floats:
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
