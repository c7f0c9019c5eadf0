"""What a condition is, read from its view's recipe: {} is clean, {"reverb": true, "babble": 10.0} is not."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

CLEAN = "clean"
_ADDITIVE = ("noise", "music", "babble")
_KINDS = ("reverb", *_ADDITIVE)
_READING_ORDER = (CLEAN, "noise", "music", "babble", "reverb")


@dataclass(frozen=True)
class Condition:
    """A view as a test condition.

    Attributes:
        view: the view's name, as stored.
        kind: "clean", "noise", "music", "babble", "reverb", "reverb+babble", ...
        snr_db: lowest and highest SNR in dB, equal where it is fixed; None where nothing is added.
    """

    view: str
    kind: str
    snr_db: tuple[float, float] | None

    @property
    def is_clean(self) -> bool:
        return self.kind == CLEAN

    @property
    def fixed_snr_db(self) -> float | None:
        """The SNR in dB where it is one number."""
        return self.snr_db[0] if self.snr_db and self.snr_db[0] == self.snr_db[1] else None

    @property
    def label(self) -> str:
        """How a reader would say it: "reverb + babble 10 dB"."""
        words = self.kind.replace("+", " + ")
        if self.snr_db is None:
            return words
        low, high = (f"{snr_db:.3g}".replace("-", "\u2212") for snr_db in self.snr_db)
        return f"{words} {low} dB" if low == high else f"{words} {low} to {high} dB"

    @property
    def reading_order(self) -> tuple[object, ...]:
        """Sort key: clean, then single kinds, then combinations; within a kind from the mildest to the worst."""
        parts = self.kind.split("+")
        positions = [_READING_ORDER.index(part) if part in _READING_ORDER else len(_READING_ORDER) for part in parts]
        loudness = -sum(self.snr_db) if self.snr_db else -math.inf
        return len(parts), positions, self.kind, loudness, self.view


def describe(view: str, recipe: object) -> Condition:
    """Read a view's recipe.

    Args:
        recipe: kind -> SNR in dB, a number or [low, high]; or true for reverb. {} is clean. Anything that is not
            such a mapping (a store from elsewhere) is a kind of its own, named after the view.
    """
    if not isinstance(recipe, Mapping):
        return Condition(view, view, None)
    applied = {str(kind): value for kind, value in recipe.items() if value is not None and value is not False}
    kinds = [kind for kind in _KINDS if kind in applied] + sorted(applied.keys() - set(_KINDS))
    ranges = [_range(applied[kind]) for kind in _ADDITIVE if kind in applied]
    return Condition(view, "+".join(kinds) or CLEAN, _combined(ranges) if ranges else None)


def _range(value: object) -> tuple[float, float]:
    if isinstance(value, list | tuple):
        return float(value[0]), float(value[-1])
    return float(str(value)), float(str(value))


def _combined(ranges: list[tuple[float, float]]) -> tuple[float, float]:
    """Several independent noises add up in power: the SNR against their sum.

    The formula, like the kinds above, is that of stages.audio, which renders the views and must not be imported here.
    """
    if len(ranges) == 1:
        return ranges[0]
    low, high = (-10 * math.log10(sum(10 ** (-snr_db / 10) for snr_db in side)) for side in zip(*ranges, strict=True))
    return low, high
