"""Model cards: what each system is, where it comes from, and how it was scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.reporting.figures import Look, Looks
from stages.reporting.load import ScoredSystem
from stages.score_files import CALIBRATED, RAW

METHODS = {
    RAW: "The backbone's embeddings as they are.",
    "wccn": "View-WCCN: whitening by the covariance that the views of one crop span; in closed form.",
    "vire": "VIRE: whitening, each direction weighed by how well it tells utterances apart in noise; in closed form.",
    "seed": "SEED (arXiv 2505.16798): one step of a diffusion model from the noisy to the clean embedding.",
    "mse": "A residual MLP from the noisy to the clean embedding, trained on their squared distance.",
    "cosine": "The same MLP trained on the cosine between its output and the clean embedding.",
    "vmf_pl": "The same MLP trained on the logarithm of that distance, the vMF profile likelihood (arXiv 2610.06691).",
    "fusion": "The scores of several systems, weighted and added up.",
}

SCORINGS = {
    "cosine": "Cosine of the utterances' mean embeddings.",
    "crop_pairs": "Mean cosine over all pairs of crops of the two utterances.",
    "crop_distance": "Negative mean distance over all pairs of unit-length crops, as SEED scores.",
    "as_norm": "Adaptive s-norm: the cosine against mean and spread of each side's highest cohort scores.",
    "s_norm": "S-norm: the cosine against mean and spread of each side's scores with the whole cohort.",
    "plda": "Log-likelihood ratio of a two-covariance PLDA.",
}

Entry = tuple[str, str]


@dataclass(frozen=True)
class Card:
    """The card of one system: its look, what is said first, and (term, text) for the rest."""

    look: Look
    method: str
    entries: list[Entry]


def cards(systems: Sequence[ScoredSystem], looks: Looks) -> list[Card]:
    """Return one card per system, its ways of scoring together."""
    grouped: dict[tuple[str, ...], list[ScoredSystem]] = {}
    for scored in systems:
        grouped.setdefault((scored.system.run, scored.system.name, scored.system.space), []).append(scored)
    return [_card(group, looks) for group in grouped.values()]


def describe_scoring(scoring: str) -> str:
    """Say in a line how scores of this name are made."""
    base = scoring.removesuffix(CALIBRATED)
    text = SCORINGS.get(base, f"Scores called {base}.")
    return f"{text} Calibrated by logistic regression on held-out trials." if scoring != base else text


def _card(group: Sequence[ScoredSystem], looks: Looks) -> Card:
    origin = group[0].origin
    look = next(looks[scored.system] for scored in group if scored.system in looks)
    entries = [
        *([("Settings", _said(origin.config))] if origin.config else []),
        *([("Run", group[0].system.run)] if group[0].system.run else []),
        ("Space", origin.space),
        ("Fingerprint of its store", origin.fingerprint),
        *((scored.system.scoring, _scoring(scored)) for scored in group),
    ]
    return Card(look, METHODS.get(origin.method, f"Enhancer {origin.method}."), entries)


def _scoring(scored: ScoredSystem) -> str:
    made_from = scored.origin.scorings.get(scored.system.scoring, {})
    parts = [f"{name.replace('_', ' ')}: {_said(value)}." for name, value in made_from.items()]
    return " ".join([describe_scoring(scored.system.scoring), *parts])


def _said(value: Any) -> str:
    """Say a value of a settings file: {"top": 300} -> "top 300"."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(item)}" for name, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return "; ".join(map(_said, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
