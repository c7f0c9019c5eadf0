"""Model cards: what each system is, where it comes from, and how it was scored."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from reseed.stages.common.plugins import Table
from reseed.stages.common.prose import listed
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.styles import Style
from reseed.stages.reporting.results.systems import ScoredSystem
from reseed.stages.trial_scoring.origin import CALIBRATED, FUSION, RAW, Provenance
from reseed.stages.trial_scoring.table import SCORERS
from reseed.store import ConfigError

_METHODS = {
    RAW: "The backbone's embeddings as they are.",
    FUSION: "The scores of several systems, added up with fitted weights.",
}
_TOGETHER = (
    "It learns from the store that it enhances: other utterances there move an utterance's scores, so that its trials "
    "are not independent of each other."
)
_SCORE_OF = "score of "  # begins the name of a feature that is a score, not a measure of quality


@dataclass(frozen=True)
class Card:
    """The card of one system: its style, how its embeddings are made, and (term, text) for the rest."""

    style: Style
    method: str
    entries: list[tuple[str, str]]


def cards(results: Results) -> list[Card]:
    """Return one card per system that is shown, its ways of scoring together."""
    grouped: dict[tuple[str, ...], list[ScoredSystem]] = {}
    for scored in results.systems:
        grouped.setdefault(scored.system.embeddings, []).append(scored)
    names = {scored.system.space: scored.system.name for scored in results.systems}
    styles = {system.embeddings: style for system, style in results.styles.items()}
    found = (_card(group, styles[key], names) for key, group in grouped.items() if key in styles)
    return [replace(card, method=results.say(card.method), entries=_worded(card.entries, results)) for card in found]


def _worded(entries: Sequence[tuple[str, str]], results: Results) -> list[tuple[str, str]]:
    """Return the entries of a card, those on ways of scoring in the terms of the run; settings keep their names."""
    scorings = {scored.system.scoring for scored in results.systems}
    return [(term, results.say(text) if term in scorings else text) for term, text in entries]


def describe_scoring(scoring: str) -> str:
    """Say in a line how scores of this name are made: the first line of the scorer's docstring."""
    base = scoring.removesuffix(CALIBRATED)
    text = _described(SCORERS, base) or f"Scores called {base}."
    return f"{text} Calibrated by logistic regression on held-out trials." if scoring != base else text


def describe_method(method: str) -> str:
    """Say in a line how embeddings are made: the first line of the docstring of an enhancer or an alignment."""
    if method in _METHODS:
        return _METHODS[method]
    from reseed.stages.aligners.table import ALIGNERS  # here, for torch takes seconds to import
    from reseed.stages.enhancers.table import ENHANCERS

    return _described(ALIGNERS, method) or _described(ENHANCERS, method) or f"Enhancer {method}."


def _described(table: Table[type[Any]], name: str) -> str:
    """Return the first line of a docstring; empty where there is no such component, or one that cannot be loaded.

    A file names it: no module is imported that only that file points to.
    """
    if name not in table.names:
        return ""
    with suppress(ConfigError):
        return str(table.of(name).__doc__).partition("\n")[0]
    return ""


def _card(group: Sequence[ScoredSystem], style: Style, names: Mapping[str, str]) -> Card:
    """Make the card of one system, scored in several ways; `names` are those of all systems by space."""
    origin = group[0].origin
    given = {
        "Fused from": _in_words([f"{names[space]}, {space}" if space in names else space for space in origin.fused]),
        "Settings": "" if origin.fused else _in_words(origin.config),
        "Run": group[0].system.run,
        "Space": origin.space,
        "Fingerprint of its store": "" if origin.fused else origin.fingerprint,
    }
    scorings = [(scored.system.scoring, _scoring(scored, names)) for scored in group]
    together = [] if origin.fused or not _learns_from_its_store(origin.config) else [_TOGETHER]
    method = " ".join([describe_method(origin.method), *together, *_negative_weights(group)])
    return Card(style, method, [(term, text) for term, text in given.items() if text] + scorings)


def _learns_from_its_store(config: Mapping[str, Any]) -> bool:
    """Return whether an enhancer of these settings goes by what else is in the store that it enhances."""
    steps = [item for step in config.get("chain", ()) for item in step.items()]
    inside = any(name == "neighbours" or _learns_from_its_store(settings) for name, settings in steps)
    return inside or config.get("mean", "training") != "training"


def _scoring(scored: ScoredSystem, names: Mapping[str, str]) -> str:
    provenance = _provenance(scored)
    calibration = {"calibration": provenance.calibration.to_json()} if provenance.calibration else {}
    texts = [
        f"Of {names.get(space, space)}, {text}"
        for space, inputs in provenance.members.items()
        for text in _inputs(inputs)
    ]
    texts += _inputs({**provenance.inputs, **calibration})
    return " ".join([describe_scoring(scored.system.scoring), *texts])


def _provenance(scored: ScoredSystem) -> Provenance:
    return scored.origin.scorings.get(scored.system.scoring, Provenance())


def _inputs(inputs: Mapping[str, Any]) -> list[str]:
    return [f"{name.replace('_', ' ')}: {_in_words(value)}." for name, value in inputs.items()]


def _negative_weights(group: Sequence[ScoredSystem]) -> list[str]:
    """Name the scores that a fusion subtracts, which adding up would not make one expect."""
    found: dict[str, list[str]] = {}
    for scored in group:
        fit = _provenance(scored).calibration
        for feature, weight in zip(fit.features, fit.weight_F, strict=True) if fit else ():
            if weight < 0 and feature.startswith(_SCORE_OF):
                found.setdefault(feature.removeprefix(_SCORE_OF), []).append(scored.system.family)
    return [f"It weights {name} negatively under {listed(scorings)}." for name, scorings in found.items()]


def _in_words(value: Any) -> str:
    """Return a value of JSON as text: {"top": 300} -> "top 300"."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_in_words(item)}" for name, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return "; ".join(map(_in_words, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
