"""The embedding space in two dimensions: a few speakers, clean and noisy, before and after enhancement.

By principal components, or by t-SNE (van der Maaten and Hinton, JMLR 9, 2008).

Shapes: U sampled utterances, V noisy views, D embedding dimension, N points.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from reseed.stages.common.figures import Plot, figure, plotted, to_svg
from reseed.stages.common.terms import Wording
from reseed.stages.common.theme import Theme
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.embeddings import Sample, clean_and_noisy, open_store, sample_speakers
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.stages.reporting.results.summary import best_enhanced
from reseed.stages.reporting.results.systems import ScoredSystem
from reseed.stages.scoring.curves import Floats
from reseed.store import EmbeddingStore
from reseed.store.url import AnyPath

_ILLUSTRATION = (
    "An illustration: two of many dimensions. A colour is a speaker, not a system; the rays from a dot show what noise "
    "does to that utterance. "
)
_CAUTIONS = {
    "pca": "Panels have separate axes and scales, each those of its own clean vectors: distances compare within a "
    "panel, not between panels.",
    "tsne": "t-SNE preserves neighbourhoods; neither distances nor the sizes of clusters mean anything.",
}
_NOISY_VIEWS = 6
_PERPLEXITY = 30.0
_HEIGHT_IN = 5.2


@dataclass(frozen=True)
class SpacePanel:
    """Points of one system in the plane: clean [U, 2] and noisy [U, V, 2], and what the axes are."""

    clean_U2: Floats
    noisy_UV2: Floats
    axes: str


def embedding_space(
    systems: Sequence[ScoredSystem], results: Results, utterances: AnyPath, settings: ReportSettings
) -> Plot | None:
    """Plot raw beside the best enhanced system, or what there is of the two.

    Args:
        systems: those whose stores are given.

    Raises:
        StoreError: a store is not the one that its scores were computed from.
    """
    with_store = {scored.system for scored in systems}
    best = best_enhanced([s for s in results.summaries if s.system in with_store])
    raw = [s for s in systems if s.system.is_raw and (not best or s.system.run == best.system.run)][:1]
    panels: dict[str, SpacePanel] = {}
    sample = None
    for scored in raw + [s for s in systems if best and s.system == best.system]:
        source = open_store(scored)
        sample = sample or sample_speakers(source, utterances, settings.projection_speakers)
        panel = project(source, sample, settings.projection, settings.seed) if sample else None
        if panel is not None:
            first = next(iter(panels.values()), panel)
            panels[results.styles[scored.system].label] = aligned_with(panel, first)
    if sample is None or not panels:
        return None
    speaker_U = sample.speaker_U
    return plotted(
        "projection",
        results.say("A few speakers in the embedding space"),
        results.say(_ILLUSTRATION + _CAUTIONS[settings.projection]),
        lambda theme: _draw(panels, speaker_U, _handles(theme, results.wording), theme),
        data=[row for title, panel in panels.items() for row in _rows(title, panel, speaker_U)],
    )


def _rows(title: str, panel: SpacePanel, speaker_U: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    """Yield the points of a panel; speakers and utterances are numbers, view 0 is the clean one."""
    points_UV2 = np.concatenate([panel.clean_U2[:, None], panel.noisy_UV2], axis=1)
    for utterance, (speaker, points_V2) in enumerate(zip(speaker_U.tolist(), points_UV2.tolist(), strict=True)):
        for view, (x, y) in enumerate(points_V2):
            yield {"panel": title, "speaker": speaker, "utterance": utterance, "view": view, "x": x, "y": y}


def project(source: EmbeddingStore, sample: Sample, method: str = "pca", seed: int = 0) -> SpacePanel | None:
    """Flatten a sample of a store.

    Each system has axes of its own, since an enhancer may rotate or rescale the space. None without a clean and a
    noisy view, or where the clean vectors do not span a plane.

    Args:
        method: "pca", the two main axes of the clean vectors; "tsne", clean and noisy vectors together.
        seed: of t-SNE.
    """
    vectors = clean_and_noisy(source, sample.rows_U)
    if vectors is None or not vectors[1].shape[1]:
        return None
    clean_UD, noisy_UVD = vectors
    noisy_UVD = noisy_UVD[:, :: -(-noisy_UVD.shape[1] // _NOISY_VIEWS)]
    return _by_tsne(clean_UD, noisy_UVD, seed) if method == "tsne" else _by_pca(clean_UD, noisy_UVD)


def _by_pca(clean_UD: Floats, noisy_UVD: Floats) -> SpacePanel | None:
    mean_D = clean_UD.mean(axis=0)
    _, singular_K, axes_KD = np.linalg.svd(clean_UD - mean_D, full_matrices=False)
    if singular_K.size < 2 or not singular_K[1] > 0:
        return None
    explained = float((singular_K[:2] ** 2).sum() / (singular_K**2).sum())
    axes = f"two main axes of the clean vectors: {100 * explained:.0f}\u202f% of their variance"
    return SpacePanel((clean_UD - mean_D) @ axes_KD[:2].T, (noisy_UVD - mean_D) @ axes_KD[:2].T, axes)


def _by_tsne(clean_UD: Floats, noisy_UVD: Floats, seed: int) -> SpacePanel:
    from sklearn.manifold import TSNE

    units_NVD = np.concatenate([clean_UD[:, None], noisy_UVD], axis=1)
    count = units_NVD.shape[0] * units_NVD.shape[1]
    perplexity = min(_PERPLEXITY, (count - 1) / 3)
    # The exact gradient: that of Barnes and Hut adds up in an order that the number of threads decides.
    flat = TSNE(2, perplexity=perplexity, init="pca", method="exact", random_state=seed)
    points_NV2 = flat.fit_transform(units_NVD.reshape(count, -1)).reshape(*units_NVD.shape[:2], 2).astype(np.float64)
    points_NV2 -= points_NV2.mean(axis=(0, 1))
    return SpacePanel(
        points_NV2[:, 0], points_NV2[:, 1:], f"t-SNE of clean and noisy vectors, perplexity {perplexity:g}"
    )


def aligned_with(panel: SpacePanel, other: SpacePanel) -> SpacePanel:
    """Rotate or reflect a panel to lie like another one: axes have no sign of their own (orthogonal Procrustes)."""
    left, _, right = np.linalg.svd(panel.clean_U2.T @ other.clean_U2)
    rotation_22 = left @ right
    return SpacePanel(panel.clean_U2 @ rotation_22, panel.noisy_UV2 @ rotation_22, panel.axes)


def _draw(
    panels: Mapping[str, SpacePanel], speaker_U: NDArray[np.int64], handles: Sequence[Line2D], theme: Theme
) -> str:
    """Draw one panel per title: a colour per speaker, dots for clean utterances, crosses for their noisy views."""
    with figure(theme, _HEIGHT_IN) as fig:
        grid = fig.subplots(1, 2, squeeze=False)[0]
        for axes, (title, panel) in zip(grid, panels.items(), strict=False):
            _scatter(axes, panel, speaker_U, theme)
            axes.set_title(title)
            axes.set_xlabel(panel.axes)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        fig.legend(handles=handles, loc="outside upper center", ncols=2)
        return to_svg(fig)


def _scatter(axes: Axes, panel: SpacePanel, speaker_U: NDArray[np.int64], theme: Theme) -> None:
    for speaker in np.unique(speaker_U):
        colour = theme.speakers[speaker % len(theme.speakers)]
        own_U = speaker_U == speaker
        clean_U2, noisy_UV2 = panel.clean_U2[own_U], panel.noisy_UV2[own_U]
        rays_N22 = np.stack(np.broadcast_arrays(clean_U2[:, None], noisy_UV2), axis=2).reshape(-1, 2, 2)
        axes.add_collection(LineCollection(list(rays_N22), colors=colour, linewidths=0.5, alpha=0.2))
        axes.plot(*noisy_UV2.reshape(-1, 2).T, "x", color=colour, markersize=3, markeredgewidth=0.7, alpha=0.5)
        axes.plot(*clean_U2.T, "o", color=colour, markersize=6, markeredgecolor=theme.card, markeredgewidth=0.7)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _handles(theme: Theme, wording: Wording) -> Sequence[Line2D]:
    ink: Any = {"color": theme.ink, "linestyle": ""}
    return [
        Line2D([], [], marker="o", label=wording.say("clean utterance"), **ink),
        Line2D([], [], marker="x", markersize=4, label=wording.say("the same utterance in a noisy view"), **ink),
    ]
