"""Model cards: what each system is, where it comes from, and how it was scored."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reseed.stages.common.prose import listed
from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.styles import Style
from reseed.stages.reporting.results.systems import ScoredSystem
from reseed.stages.trial_scoring.origin import CALIBRATED, FUSION, RAW, Origin, Provenance
from reseed.stages.trial_scoring.table import SCORERS

METHODS = {
    RAW: "The backbone's embeddings as they are.",
    "wccn": "View-WCCN: whitening by the covariance that the views of one crop span; in closed form.",
    "vire": "VIRE: whitening, each direction weighed by how well it tells utterances apart in noise; in closed form.",
    "seed": "SEED (arXiv 2505.16798): one step of a diffusion model from the noisy to the clean embedding.",
    "mse": "A residual MLP from the noisy to the clean embedding, trained on their squared distance.",
    "cosine": "The same MLP trained on the cosine between its output and the clean embedding.",
    "vmf_pl": "The same MLP trained on the logarithm of that distance, the vMF profile likelihood (arXiv 2610.06691).",
    FUSION: "The scores of several systems, added up with fitted weights.",
}

Entry = tuple[str, str]
_SCORE_OF = "score of "  # begins the name of a feature that is a score, not a measure of quality


@dataclass(frozen=True)
class Card:
    """The card of one system: its style, what is said first, and (term, text) for the rest."""

    style: Style
    method: str
    entries: list[Entry]


def cards(results: Results) -> list[Card]:
    """Return one card per system that is shown, its ways of scoring together."""
    grouped: dict[tuple[str, ...], list[ScoredSystem]] = {}
    for scored in results.systems:
        grouped.setdefault(scored.system.embeddings, []).append(scored)
    names = {scored.system.space: scored.system.name for scored in results.systems}
    styles = {system.embeddings: style for system, style in results.styles.items()}
    return [_card(group, styles[key], names) for key, group in grouped.items() if key in styles]


def describe_scoring(scoring: str) -> str:
    """Say in a line how scores of this name are made."""
    base = scoring.removesuffix(CALIBRATED)
    text = str(SCORERS[base].__doc__).partition("\n")[0] if base in SCORERS else f"Scores called {base}."
    return f"{text} Calibrated by logistic regression on held-out trials." if scoring != base else text


def _card(group: Sequence[ScoredSystem], style: Style, names: Mapping[str, str]) -> Card:
    """Make the card of one system, scored in several ways; `names` are those of all systems by space."""
    origin = group[0].origin
    method = METHODS.get(origin.method, f"Enhancer {origin.method}.")
    entries = [
        *([(_settings(origin, names))] if origin.config else []),
        *([("Run", group[0].system.run)] if group[0].system.run else []),
        ("Space", origin.space),
        *([] if origin.fused else [("Fingerprint of its store", origin.fingerprint)]),
        *((scored.system.scoring, _scoring(scored, names)) for scored in group),
    ]
    return Card(style, " ".join([method, *_negative(group)]), entries)


def _settings(origin: Origin, names: Mapping[str, str]) -> Entry:
    if origin.fused:
        return "Fused from", _said([f"{names[space]}, {space}" if space in names else space for space in origin.fused])
    return "Settings", _said(origin.config)


def _scoring(scored: ScoredSystem, names: Mapping[str, str]) -> str:
    made_by = _provenance(scored)
    each = [
        f"Of {names.get(space, space)}, {input_}"
        for space, inputs in made_by.members.items()
        for input_ in _each_said(inputs)
    ]
    calibration = {"calibration": asdict(made_by.calibration)} if made_by.calibration else {}
    own = _each_said({**made_by.inputs, **calibration})
    return " ".join([describe_scoring(scored.system.scoring), *each, *own])


def _provenance(scored: ScoredSystem) -> Provenance:
    return scored.origin.scorings.get(scored.system.scoring, Provenance())


def _each_said(inputs: Mapping[str, Any]) -> list[str]:
    return [f"{name.replace('_', ' ')}: {_said(value)}." for name, value in inputs.items()]


def _negative(group: Sequence[ScoredSystem]) -> list[str]:
    """Name the scores that a fusion subtracts, which adding up would not make one expect."""
    found: dict[str, list[str]] = {}
    for scored in group:
        fit = _provenance(scored).calibration
        for feature, weight in zip(fit.features, fit.weight_F, strict=True) if fit else ():
            if weight < 0 and feature.startswith(_SCORE_OF):
                found.setdefault(feature.removeprefix(_SCORE_OF), []).append(scored.system.family)
    return [f"It weights {name} negatively under {listed(scorings)}." for name, scorings in found.items()]


def _said(value: Any) -> str:
    """Say a value of a settings file: {"top": 300} -> "top 300"."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(item)}" for name, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return "; ".join(map(_said, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
