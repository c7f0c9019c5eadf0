"""How close a speaker's embeddings lie together, and how far speakers lie apart: a row per system."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.lines import Line2D

from reseed.stages.common.figures import Plot, figure, plotted, to_svg
from reseed.stages.common.terms import SPEECH, Wording
from reseed.stages.common.theme import Theme
from reseed.stages.reporting.results.distances import SpeakerDistances
from reseed.stages.reporting.results.styles import Style

_ROW_IN = 0.5
_OFFSETS = {"o": -0.22, "X": 0.0, "s": 0.22}  # by marker
_CAPTION = (
    "Cosine distances: of an utterance from the mean of its speaker's other utterances on clean speech, and of two "
    "speakers' means. Markers: medians; bars: 10 to 90\u202f%. Speakers are told apart where the bars do not meet."
)
_NAMES = ("own speaker, clean", "own speaker, noisy", "between speakers")


def speaker_distances(found: Mapping[Style, SpeakerDistances], wording: Wording = SPEECH) -> Plot | None:
    """Plot distances within and between speakers."""
    return plotted(
        "spread",
        wording.say("Distances within and between speakers"),
        wording.say(_CAPTION),
        lambda theme: _draw(found, [wording.say(name) for name in _NAMES], theme) if found else None,
        data=[distances.row(style.label) for style, distances in found.items()],
    )


def _draw(found: Mapping[Style, SpeakerDistances], names: Sequence[str], theme: Theme) -> str:
    """Draw medians, and bars from the 10 % to the 90 % quantile."""
    with figure(theme, 1.1 + _ROW_IN * len(found)) as fig:
        axes = fig.subplots()
        for row, (style, distances) in enumerate(found.items()):
            parts = (distances.clean, distances.noisy, distances.between)
            for (marker, offset), part in zip(_OFFSETS.items(), parts, strict=True):
                if part is not None:
                    colour = style.colour(theme)
                    axes.hlines(row + offset, part.low, part.high, color=colour, linewidth=1.6, alpha=0.6)
                    axes.plot(part.median, row + offset, marker, color=colour, markersize=6)
        axes.set_yticks(range(len(found)), [style.label for style in found])
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(left=0)
        axes.set_xlabel("cosine distance")
        ink: Any = {"color": theme.ink, "linestyle": ""}
        handles = [Line2D([], [], marker=mark, label=name, **ink) for mark, name in zip(_OFFSETS, names, strict=True)]
        fig.legend(handles=handles, loc="outside upper center", ncols=3)
        return to_svg(fig)
