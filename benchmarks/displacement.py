"""How noise moves embeddings, and how much of it which kind of map could undo: `python -m benchmarks.displacement`.

Of unit vectors of a crop, c clean and n in one noisy view, c' and n' the same less the mean of their view, the mean
square of the displacement n - c is a sum of four parts:

    shift        the mean of n less the mean of c
    shrinkage    (1 - b)^2 of c', b the slope of n' over c'
    rotation     what a linear map of c', learnt on training speech under the same condition, says of n' - b c'
    spread       the rest: another for each crop, and no function of the mean and the voice that is linear

Alike is the share of rotation and spread that two crops of an utterance have in common: a mean over crops leaves it.
What is lost is the share of the variance of c' that the best linear map of n' does not bring back.

What each kind of map could undo: `benchmarks.bounds`.

Shapes: U utterances, C crops, D embedding dimension, N crops of all utterances.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.bounds import Seen, bounds, rows
from benchmarks.cached import AllPairs, Cached, Floats
from reseed.pipeline.loading import load_config
from reseed.stages.common.figures import PERCENT, figure
from reseed.stages.common.theme import LIGHT

PARTS = ("shift", "shrinkage", "rotation", "spread")
COLOURS = LIGHT.systems[1:5]
console = Console(width=160)


@click.command()
@click.option("--network", "networks", nargs=3, multiple=True, required=True, metavar="NAME TRAIN EVALUATION")
@click.option("--config", type=click.Path(path_type=Path), default="configs/recordings.yaml", show_default=True)
@click.option("--plots", type=click.Path(path_type=Path), help="Folder for the figures.")
def main(networks: tuple[tuple[str, str, str], ...], config: Path, plots: Path | None) -> None:
    """Print how each network's vectors move, and the EER of each kind of map; all pairs, enrolment clean."""
    confusable = load_config(config).trials.confusable_speakers
    moved: dict[str, dict[str, Floats]] = {}
    rates: dict[str, dict[str, Floats]] = {}
    for name, train_path, evaluation_path in networks:
        train, evaluation = Cached.read(train_path), Cached.read(evaluation_path)
        moved[name] = dict(movement(train, evaluation))
        console.print(_movement_table(name, moved[name]))
        trials = AllPairs.of(evaluation.speakers_U, confusable)
        rates[name] = dict(bounds(train, evaluation, trials))
    console.print(_bounds_table(rates))
    if plots:
        _displacement_plot(plots / "displacement.png", moved)
        _bounds_plot(plots / "bounds.png", rates)


def movement(train: Cached, evaluation: Cached) -> Iterator[tuple[str, Floats]]:
    """Yield for each noisy view: cosine to clean, mean square, slope, then shares: the four parts, alike, lost."""
    clean_ND = rows(evaluation.unit_UCVD, 0)
    c_ND = clean_ND - clean_ND.mean(axis=0)
    variance = (c_ND**2).sum(axis=1).mean()
    for view, name in list(enumerate(evaluation.recipes))[1:]:
        noisy_ND = rows(evaluation.unit_UCVD, view)
        n_ND = noisy_ND - noisy_ND.mean(axis=0)
        square = ((noisy_ND - clean_ND) ** 2).sum(axis=1).mean()
        shift = ((noisy_ND.mean(axis=0) - clean_ND.mean(axis=0)) ** 2).sum()
        slope = (c_ND * n_ND).sum(axis=1).mean() / variance
        rest_ND = n_ND - slope * c_ND
        rest = (rest_ND**2).sum(axis=1).mean()
        seen = Seen.of(train, evaluation, view)
        spread = min(rest, *(_left(c_ND, n_ND, map_DD) for map_DD in seen.ridges(prior=slope, forward=True)))
        lost = min(_left(n_ND, c_ND, map_DD) for map_DD in seen.ridges(prior=0.0)) / variance
        parts = np.array([shift, (1 - slope) ** 2 * variance, rest - spread, spread]) / square
        alike = _alike(rest_ND.reshape(-1, evaluation.unit_UCVD.shape[1], rest_ND.shape[1])) / rest
        yield name, np.array([(clean_ND * noisy_ND).sum(axis=1).mean(), square, slope, *parts, alike, lost])


def _alike(rest_UCD: Floats) -> float:
    """Return the mean product of two crops of the same utterance."""
    crops = rest_UCD.shape[1]
    of_sum, of_each = (rest_UCD.sum(axis=1) ** 2).sum(axis=1), (rest_UCD**2).sum(axis=(1, 2))
    return float((of_sum - of_each).mean() / (crops * (crops - 1)))


def _left(from_ND: Floats, to_ND: Floats, map_DD: Floats) -> float:
    """Return the mean square of what a map of `from` leaves of `to`."""
    return float(((to_ND - from_ND @ map_DD) ** 2).sum(axis=1).mean())


def _movement_table(name: str, moved: Mapping[str, Floats]) -> Table:
    heads = (
        "condition",
        "cosine to clean",
        "mean square",
        "slope",
        *(f"{part}, %" for part in PARTS),
        "alike, %",
        "lost, %",
    )
    table = Table(*heads, title=f"{name}: from clean to noisy")
    for view, (cosine, square, slope, *shares) in moved.items():
        table.add_row(
            view, f"{cosine:.2f}", f"{square:.2f}", f"{slope:.2f}", *(f"{100 * share:.0f}" for share in shares)
        )
    return table


def _bounds_table(rates: Mapping[str, Mapping[str, Floats]]) -> Table:
    table = Table("all pairs, EER in %: clean / mean of noisy", *rates)
    for what in next(iter(rates.values())):
        table.add_row(what, *(f"{each[what][0]:.2f} / {each[what][1:].mean():.2f}" for each in rates.values()))
    return table


def _displacement_plot(path: Path, moved: Mapping[str, Mapping[str, Floats]]) -> None:
    """Stack the parts of the mean square displacement, a panel per network."""
    conditions = list(next(iter(moved.values())))
    with figure(LIGHT, 3.9) as fig:
        for axes, (name, by_view) in zip(
            fig.subplots(1, len(moved), sharey=True, squeeze=False)[0], moved.items(), strict=True
        ):
            parts_VP = np.array([figures[3:7] * figures[1] for figures in by_view.values()])
            start_V = np.zeros(len(conditions))
            for part, width_V, colour in zip(PARTS, parts_VP.T, COLOURS, strict=True):
                axes.barh(conditions, width_V, left=start_V, color=colour, label=part, height=0.75)
                start_V += width_V
            axes.set_title(name)
            axes.set_xlabel("mean square of noisy less clean, unit vectors")
            axes.grid(False, axis="y")
        axes.invert_yaxis()
        fig.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(PARTS))
        fig.savefig(path, dpi=110, facecolor=LIGHT.card)


def _bounds_plot(path: Path, rates: Mapping[str, Mapping[str, Floats]]) -> None:
    """Draw the mean of the noisy EERs as a share of raw, a colour per network."""
    whats = list(next(iter(rates.values())))
    with figure(LIGHT, 4.6) as fig:
        axes = fig.subplots()
        for (name, by_what), colour, marker in zip(rates.items(), COLOURS, "osD^", strict=False):
            noisy = np.array([rate_V[1:].mean() for rate_V in by_what.values()])
            axes.plot(100 * noisy / noisy[0], whats, marker, color=colour, label=name, alpha=0.85)
        axes.set_xlabel("mean of noisy EERs against raw")
        axes.xaxis.set_major_formatter(PERCENT)
        axes.set_xlim(left=0)
        axes.invert_yaxis()
        axes.legend(loc="lower left")
        fig.savefig(path, dpi=110, facecolor=LIGHT.card)


if __name__ == "__main__":
    main()
