"""Choices made without labels against those made with them: `python -m benchmarks.choice auto` and `neighbours`.

`auto` fits every candidate of `auto` on each corpus of the training speech and on all of it, and judges them on two
halves of the evaluation's speakers: what was chosen, what labels would have chosen, and centring alone.

`neighbours` uses each utterance once, enrolled clean or tested in noise. The store that is enhanced holds both.

Shapes: U utterances, C crops, V views, D embedding dimension.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.cached import AllPairs, Cached, Floats, chain, mapped
from reseed.pipeline.loading import load_config
from reseed.stages.enhancers.auto import AutoConfig
from reseed.stages.enhancers.chain import Chain
from reseed.stages.scoring.cosine import utterance_embeddings

ADAPTED = ({"centre": {"mean": "store"}}, "auto")
UTTERANCES = (1, 2, 4)  # of a speaker, enrolled and tested
DRAWS = 3
SYSTEMS = {"without": ADAPTED, "with `neighbours`": (*ADAPTED, "neighbours")}
Rows = NDArray[np.intp]
Networks = tuple[tuple[str, str, str], ...]
console = Console(width=160)
networks_option = click.option(
    "--network", "networks", nargs=3, multiple=True, required=True, metavar="NAME TRAIN EVALUATION"
)
config_option = click.option(
    "--config", type=click.Path(path_type=Path), default="configs/recordings.yaml", show_default=True
)


@click.group()
def main() -> None:
    """Compare choices made without labels with those made with them."""


@main.command()
@networks_option
@config_option
@click.option("--mean", type=click.Choice(["training", "store", "views"]), default="training", show_default=True)
def auto(networks: Networks, config: Path, mean: str) -> None:
    """Print what `auto` chooses, and how far that is from the best candidate and from centring."""
    heads = ("network", "fitted on", "judged on", "centring", "auto", "best with labels", "change", "chose", "best")
    table = Table(*heads, title=f"clean / mean of noisy EERs in %, all pairs, mean: {mean}")
    for name, train_path, evaluation_path in networks:
        train, evaluation = Cached.read(train_path), Cached.read(evaluation_path)
        trials = AllPairs.of(evaluation.speakers_U, load_config(config).trials.confusable_speakers)
        for corpus, part in _corpora(train):
            maps = {what: chain([{"centre": {"mean": mean}}, *steps], part) for what, steps in _candidates()}
            chose = maps["auto"].remark().removeprefix("chose ").split(" of ")[0].split(":")[0]
            for half, kept_U in _halves(evaluation.speakers_U):
                judged, speakers = evaluation.only(kept_U), len({*evaluation.speakers_U[kept_U]})
                among = trials.among(kept_U, kept_U)
                rates = {what: among.rates(mapped(each, judged.unit_UCVD, speakers)) for what, each in maps.items()}
                best = min(rates, key=lambda what: rates[what][1:].mean())
                against = 100 * (rates["auto"][1:].mean() / rates[best][1:].mean() - 1)
                shown = (_shown(rates[what]) for what in ("centring", "auto", best))
                table.add_row(name, corpus, half, *shown, f"{against:+.1f} %", chose, best)
    console.print(table)


def _candidates() -> Iterator[tuple[str, list[Any]]]:
    yield "centring", []
    yield "auto", ["auto"]
    config = AutoConfig()
    for shrinkage in config.shrinkages:
        yield f"wccn (shrinkage {shrinkage:g})", [{"wccn": shrinkage}]
    for shrinkage, emphasis in product(config.shrinkages, config.emphases):
        settings = {"shrinkage": shrinkage, "emphasis": emphasis}
        yield f"vire (shrinkage {shrinkage:g}, emphasis {emphasis:g})", [{"vire": settings}]


def _corpora(train: Cached) -> Iterator[tuple[str, Cached]]:
    """Yield the speech of each corpus, by the first part of the speakers' ids, then all of it."""
    corpus_U = np.array([speaker.split("/")[0] for speaker in train.speakers_U.tolist()])
    names = np.unique(corpus_U)
    for name in names[: len(names) if len(names) > 1 else 0]:
        yield name, train.only(corpus_U == name)
    yield "all", train


def _halves(speakers_U: NDArray[np.str_]) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield the utterances of every second speaker, of the others, and all."""
    names, number_U = np.unique(speakers_U, return_inverse=True)
    for half in range(2):
        yield f"{len(names[half::2])} speakers", np.flatnonzero(number_U % 2 == half)
    yield f"all {len(names)}", np.arange(len(speakers_U))


@main.command()
@networks_option
@config_option
def neighbours(networks: Networks, config: Path) -> None:
    """Print the EER without `neighbours`, with it, and with the means of each side's utterances, told by labels."""
    heads = (f"{count} + {count} of a speaker" for count in UTTERANCES)
    table = Table("network", "system", *heads, title="each utterance once: clean / mean of noisy EERs in %")
    for name, train_path, evaluation_path in networks:
        train, evaluation = Cached.read(train_path), Cached.read(evaluation_path)
        trials = AllPairs.of(evaluation.speakers_U, load_config(config).trials.confusable_speakers)
        maps = {what: chain(steps, train) for what, steps in SYSTEMS.items()}
        rates = [_once(maps, evaluation, trials, count) for count in UTTERANCES]
        for what in rates[0]:
            table.add_row(name, what, *(_shown(of_count[what]) for of_count in rates))
    console.print(table)


def _once(maps: Mapping[str, Chain], evaluation: Cached, trials: AllPairs, count: int) -> dict[str, Floats]:
    """Return the mean EER of each view [V] over draws of `count` utterances enrolled and as many others tested."""
    drawn, found = np.random.default_rng(0), []
    for _ in range(DRAWS):
        order_U = drawn.permutation(len(evaluation.speakers_U))
        of_speaker = [order_U[evaluation.speakers_U[order_U] == name] for name in np.unique(evaluation.speakers_U)]
        enrolled_E, tested_T = (
            np.concatenate([own[part] for own in of_speaker]) for part in (slice(count), slice(count, 2 * count))
        )
        of_view = [
            _in_view(maps, evaluation, trials, enrolled_E, tested_T, view) for view in range(len(evaluation.recipes))
        ]
        found.append(of_view)
    return {what: np.mean([[rates[what] for rates in of_view] for of_view in found], axis=0) for what in found[0][0]}


def _in_view(
    maps: Mapping[str, Chain], evaluation: Cached, trials: AllPairs, enrolled_E: Rows, tested_T: Rows, view: int
) -> dict[str, float]:
    """Return the EER of each system where the store holds clean enrolments and tests in one view."""
    among, speakers = trials.among(enrolled_E, tested_T), len({*evaluation.speakers_U})
    parts = evaluation.unit_UCVD[enrolled_E, :, 0], evaluation.unit_UCVD[tested_T, :, view]
    store_UC1D = np.concatenate(parts)[:, :, None]
    rates = {}
    for what, each in maps.items():
        mapped_UCD = mapped(each, store_UC1D, speakers)[:, :, 0]
        rates[what] = among.rate(mapped_UCD[: len(enrolled_E)], mapped_UCD[len(enrolled_E) :])
        if what == "without":
            sides = (
                (mapped_UCD[: len(enrolled_E)], evaluation.speakers_U[enrolled_E]),
                (mapped_UCD[len(enrolled_E) :], evaluation.speakers_U[tested_T]),
            )
            rates["told by labels"] = among.rate(*(_pooled(*side) for side in sides))
    return rates


def _pooled(unit_UCD: Floats, speakers_U: NDArray[np.str_]) -> Floats:
    """Return the mean of each utterance with those of its speaker on the same side [U, 1, D]."""
    same_UU = speakers_U[:, None] == speakers_U
    pooled_UD: Floats = same_UU @ utterance_embeddings(unit_UCD)
    return pooled_UD[:, None]


def _shown(rate_V: Floats) -> str:
    return f"{rate_V[0]:.2f} / {rate_V[1:].mean():.2f}"


if __name__ == "__main__":
    main()
