"""Numbers and lists as a reader wants them."""

from collections.abc import Iterable, Sequence

_SPACE = "\u202f"  # narrow and no-break, between number and unit
_MINUS = "\u2212"
_FEW = 3


def counted(number: int, noun: str) -> str:
    """(1, "system") -> "1 system", (2000, "trial") -> "2,000 trials"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def first_few(names: Iterable[str], of: int | None = None) -> str:
    """["a", "b", "c", "d", "e"] -> "a, b, c and 2 more"; `of` how many there are, where not all are given."""
    given = list(names)
    rest = (of or len(given)) - _FEW
    return ", ".join(given[:_FEW]) + (f" and {rest} more" if rest > 0 else "")


def percent(fraction: float, digits: int = 1) -> str:
    """0.1234 -> "12.3 %"."""
    return f"{100 * fraction:.{digits}f}{_SPACE}%"


def bare_range(interval: tuple[float, float], digits: int = 1) -> str:
    """(0.1, 0.2) -> "10.0 to 20.0": for brackets behind a number that has the unit."""
    return f"{100 * interval[0]:.{digits}f} to {100 * interval[1]:.{digits}f}"


def signed_percent(fraction: float) -> str:
    """-0.123 -> "−12 %"."""
    return f"{_signed(fraction)}{_SPACE}%"


def signed_range(interval: tuple[float, float]) -> str:
    """(-0.3, 0.1) -> "−30 to +10"."""
    return f"{_signed(interval[0])} to {_signed(interval[1])}"


def p_text(p_value: float) -> str:
    """0.0321 -> "p = 0.032"."""
    relation = f"={_SPACE}{p_value:.3f}" if p_value >= 0.0005 else f"<{_SPACE}0.001"
    return f"p{_SPACE}{relation}"


def _signed(fraction: float) -> str:
    """The percentage, without its unit: rounded, to one or two decimals where that would make it 0."""
    for digits in range(3):
        if rounded := round(100 * fraction, digits):
            return f"{'+' if rounded > 0 else _MINUS}{abs(rounded):.{digits}f}"
    return "0"
