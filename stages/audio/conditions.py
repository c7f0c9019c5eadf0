"""Views as test conditions: how tables and figures name them, order them and group them by kind."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from reseed.stages.audio.recipe import ADDITIVE, View, combined_snr_db

CLEAN = "clean"
MIXED = "mixed"
_CHANNEL = "channel"  # the kind of every effect that is no kind of its own
_KINDS = ("speed", "reverb", *ADDITIVE)
_READING_ORDER = (CLEAN, *ADDITIVE, "reverb", _CHANNEL, "speed")
_WORDS = {"mu_law": "µ-law", "mp3": "MP3", "opus": "Opus", "vorbis": "Vorbis", "gsm": "GSM"}
_LONGEST = 40  # characters of a label in a table's first column or along an axis


@dataclass(frozen=True)
class Condition:
    """A view as a test condition.

    Attributes:
        view: the view's name, as stored.
        recipe: what the view applies; None where that is unknown (an imported store, conditions of a trial list).
        label: what a reader calls it, "reverb + babble 10 dB"; no other condition of a report is called so.
    """

    view: str
    recipe: View | None
    label: str

    @property
    def is_clean(self) -> bool:
        return not self.kinds

    @property
    def kinds(self) -> list[str]:
        """What is applied, by kind: "speed", "reverb", "noise", "music", "babble" and "channel"."""
        return [self.view] if self.recipe is None else _kinds(self.recipe)

    @property
    def kind(self) -> str:
        """The kind it is grouped by: "clean", one of `kinds`, two that always come together, or "mixed"."""
        is_mixed = len(self.kinds) > 2 or (len(self.kinds) > 1 and self.recipe is not None and self.recipe.chance < 1)
        return MIXED if is_mixed else " + ".join(self.kinds) or CLEAN

    @property
    def snr_db(self) -> tuple[float, float] | None:
        """Lowest and highest SNR in dB against all that is added; None where nothing is."""
        ranges: list[tuple[float, float]] = [
            snr_range for kind in ADDITIVE if (snr_range := getattr(self.recipe, kind, None)) is not None
        ]
        if len(ranges) == 1:
            return ranges[0]
        low, high = combined_snr_db([low for low, _ in ranges]), combined_snr_db([high for _, high in ranges])
        return None if low is None or high is None else (low, high)

    @property
    def fixed_snr_db(self) -> float | None:
        """The SNR in dB where it is one number for every crop."""
        is_fixed = self.snr_db is not None and self.snr_db[0] == self.snr_db[1]
        return self.snr_db[0] if self.snr_db and is_fixed and self.recipe and self.recipe.chance == 1 else None

    @property
    def reading_order(self) -> tuple[object, ...]:
        """Sort key: clean, then single kinds, then combinations; within a kind from the mildest to the worst."""
        kinds = self.kinds or [CLEAN]
        positions = [_READING_ORDER.index(kind) if kind in _READING_ORDER else len(_READING_ORDER) for kind in kinds]
        loudness = -sum(self.snr_db) if self.snr_db else -math.inf
        return len(kinds), positions, self.kind, loudness, self.view


def describe(*files: Mapping[str, object]) -> list[dict[str, Condition]]:
    """Return what each view of some stores or score files is as a condition, labelled apart from all the others.

    Args:
        files: of each the recipes as JSON by view: {"noise": [0, 15]}. What is no recipe of this program is unknown,
            and the condition is called like its view.
    """
    parsed = [_parsed(recipes) for recipes in files]
    labels = _labels({item for recipes in parsed for item in recipes.items()})
    return [
        {view: Condition(view, recipe, labels[view, recipe]) for view, recipe in recipes.items()} for recipes in parsed
    ]


def _parsed(recipes: Mapping[str, object]) -> dict[str, View | None]:
    """Parse the recipes of one file; of several without any effect (an imported store has them), one may be clean."""
    parsed: dict[str, View | None] = {}
    for view, recipe in recipes.items():
        try:
            parsed[view] = View.model_validate(recipe)
        except ValidationError:
            parsed[view] = View() if view == CLEAN else None
    unaffected = [view for view, recipe in parsed.items() if recipe and not _effects(recipe)]
    return parsed | {view: None for view in unaffected if len(unaffected) > 1 and view != CLEAN}


def _labels(views: Iterable[tuple[str, View | None]]) -> dict[tuple[str, View | None], str]:
    """Return the briefest label of each view that no other one has: a short one, in full, or with the view's name."""
    forms = {
        (view, recipe): (view,) if recipe is None else (_short(recipe), _full(recipe), f"{_short(recipe)} ({view})")
        for view, recipe in views
    }
    shared = Counter(label for labels in forms.values() for label in dict.fromkeys(labels))
    return {item: next((label for label in labels if shared[label] == 1), labels[-1]) for item, labels in forms.items()}


def _short(recipe: View) -> str:
    """Say all that a view applies if there is room for it, else only what or of which kind it is."""
    effects = _effects(recipe)
    if recipe.chance < 1 and len(effects) > 1:
        words = f"any of {', '.join(_WORDS.get(name, name) for name in effects)}"
        return words if len(words) <= _LONGEST else f"any of {', '.join(_kinds(recipe))}"
    return _full(recipe) if len(_full(recipe)) <= _LONGEST else " + ".join(_kinds(recipe))


def _full(recipe: View) -> str:
    parts = [_in_full(name, getattr(recipe, name)) for name in _effects(recipe)]
    share = f", {'each ' if len(parts) > 1 else ''}in {100 * recipe.chance:g}\u202f% of crops"
    return (" + ".join(parts) or CLEAN) + (share if recipe.chance < 1 else "")


def _in_full(name: str, value: Any) -> str:
    """Say one effect with its range: "noise 0 to 15 dB"."""
    if name == "codec":
        return ("any of " if len(value) > 1 else "") + ", ".join(_WORDS[codec] for codec in value)
    words = _WORDS.get(name, name)
    return words if value is True else f"{words} {_range(value)}{'' if name == 'speed' else ' dB'}"


def _effects(recipe: View) -> list[str]:
    """Return what a view applies, in order."""
    return [name for name in View.model_fields if name != "chance" and getattr(recipe, name)]


def _kinds(recipe: View) -> list[str]:
    return list(dict.fromkeys(name if name in _KINDS else _CHANNEL for name in _effects(recipe)))


def _range(ends: tuple[float, float]) -> str:
    low, high = (f"{end:.3g}".replace("-", "\u2212") for end in ends)
    return low if low == high else f"{low} to {high}"
