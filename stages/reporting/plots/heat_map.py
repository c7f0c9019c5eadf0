"""EER of every system under every condition as a map: colour says how far it is from that of one system.

Shapes: C conditions, S systems.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, Normalize

from reseed.stages.common.figures import Plot, figure, plotted, to_svg
from reseed.stages.common.theme import Theme
from reseed.stages.reporting.results.collect import Results
from reseed.stages.scoring.curves import Floats

_ROW_HEIGHT_IN = 0.24
_MOST_NUMBERS = 150  # in more cells they would be too small to read; the table has them
_BETTER, _WORSE = 1, 2  # of the theme's colours of systems: blue and vermilion, told apart by all
_FEWEST = 3
_LEVEL_NAMES = 8  # more of them side by side would run into each other


def eer_map(results: Results) -> Plot | None:
    """Plot the EERs of all systems relative to those of the first; None where a table says it better."""
    styles, conditions = results.styles, results.conditions
    if len(styles) < 2 or len(conditions) < _FEWEST:
        return None
    found = {(m.system, m.condition): m.eer for m in results.measurements}
    eer_CS = np.array([[found.get((system, each), np.nan) for system in styles] for each in conditions])
    labels = [style.label for style in styles.values()]
    return heat_map(eer_CS, [condition.label for condition in conditions], labels)


def heat_map(eer_CS: Floats, conditions: Sequence[str], systems: Sequence[str]) -> Plot | None:
    """Plot EERs [C, S], fractions; the first system is the one that the others are compared with."""
    return plotted(
        "heat_map",
        "Every condition and system",
        f"The EER relative to that of {systems[0]}: blue is lower, orange higher, full colour half or twice as high; "
        "empty: not scored. The table has the numbers.",
        lambda theme: _draw(eer_CS, conditions, systems, theme),
        folded=True,
        data=[
            {"condition": conditions[row], "system": systems[column], "eer": float(eer)}
            for (row, column), eer in np.ndenumerate(eer_CS)
            if np.isfinite(eer)
        ],
    )


def _draw(eer_CS: Floats, conditions: Sequence[str], systems: Sequence[str], theme: Theme) -> str:
    colours = LinearSegmentedColormap.from_list(
        "change", [theme.systems[_BETTER], theme.card, theme.systems[_WORSE]], N=33
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        change_CS = np.log2(eer_CS / eer_CS[:, :1]).clip(-1, 1)
    with figure(theme, 1.3 + _ROW_HEIGHT_IN * len(conditions)) as fig:
        axes = fig.subplots()
        drawn = axes.pcolormesh(
            np.ma.masked_invalid(change_CS), cmap=colours, norm=Normalize(-1, 1), edgecolors=theme.faint, linewidth=0.5
        )
        if eer_CS.size <= _MOST_NUMBERS:
            for (row, column), eer in np.ndenumerate(eer_CS):
                if np.isfinite(eer):
                    axes.text(column + 0.5, row + 0.5, f"{100 * eer:.1f}", ha="center", va="center")
        axes.set_yticks(np.arange(len(conditions)) + 0.5, conditions)
        axes.set_xticks(np.arange(len(systems)) + 0.5, systems)
        axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
        axes.tick_params(axis="x", labelrotation=0 if len(systems) <= _LEVEL_NAMES else 45)
        axes.invert_yaxis()
        axes.grid(False)
        bar = fig.colorbar(drawn, ax=axes, ticks=[-1, 0, 1], shrink=0.6, aspect=30)
        if bar.solids:
            bar.solids.set_rasterized(False)  # a picture of pixels would be one for each theme
        bar.ax.set_yticklabels(["half", "alike", "twice"])
        return to_svg(fig)
