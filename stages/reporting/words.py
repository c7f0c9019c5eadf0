"""Numbers as a reader wants them, and the summary in words; every sentence follows from the numbers alone."""

from collections.abc import Iterator, Mapping, Sequence

from stages.reporting.load import System
from stages.reporting.measure import Interval
from stages.reporting.summary import Change, Mean, Summary, best_system, change

_SPACE = "\u202f"  # narrow and no-break, between number and unit
_MINUS = "\u2212"

Labels = Mapping[System, str]


def percent(fraction: float, digits: int = 1) -> str:
    """0.1234 -> "12.3 %"."""
    return f"{100 * fraction:.{digits}f}{_SPACE}%"


def bare_range(interval: Interval, digits: int = 1) -> str:
    """(0.1, 0.2) -> "10.0 to 20.0": for brackets behind a number that has the unit."""
    return f"{100 * interval[0]:.{digits}f} to {100 * interval[1]:.{digits}f}"


def signed_percent(fraction: float) -> str:
    """-0.123 -> "−12 %"."""
    return f"{_signed(fraction)}{_SPACE}%"


def signed_range(interval: Interval) -> str:
    """(-0.3, 0.1) -> "−30 to +10"."""
    return f"{_signed(interval[0])} to {_signed(interval[1])}"


def system_labels(systems: Sequence[System]) -> dict[System, str]:
    """Name systems as briefly as tells them apart: the name, with backbone or scoring only where these differ."""
    names, spaces = {s.backbone for s in systems}, {s.backbone_space for s in systems}
    scorings = {s.scoring for s in systems}

    def parts(system: System) -> Iterator[str]:
        yield system.name
        if len(spaces) > 1:
            yield system.backbone if len(names) == len(spaces) else system.backbone_space
        if len(scorings) > 1:
            yield system.scoring

    return {system: " · ".join(parts(system)) for system in systems}


def listed(names: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def counted(number: int, noun: str) -> str:
    """(1, "system") -> "1 system", (2000, "trial") -> "2,000 trials"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def in_words(summaries: Sequence[Summary], labels: Labels) -> list[str]:
    """Return the findings as sentences, the most important first."""
    best = best_system(summaries)
    raw = next((s for s in summaries if s.system.is_raw and s.system.comparable(best.system)), None)
    return [*_lead(best, raw, summaries, labels), *_rivals(best, summaries, labels), *_harmed(summaries, labels)]


def _lead(best: Summary, raw: Summary | None, summaries: Sequence[Summary], labels: Labels) -> list[str]:
    name = labels[best.system]
    if len(summaries) == 1:
        return [f"{name}: {_where(best)}."]
    if best.system.is_raw:
        return [f"No enhancer has a lower EER than {name}, {_where(best)}."]
    if raw is None:
        return [f"{name} is best: {_where(best)}. There is no raw system to compare it with."]
    if best.noisy is None or raw.noisy is None:
        return [f"{name} is best.", *_clean_sentence(best, raw, labels)]
    return [
        f"{name} is best in noise: EER {_value(best.noisy)} on the mean of {_conditions(best.noisy)}, against "
        f"{_value(raw.noisy)} for {labels[raw.system]}{_by(best.noisy_change)}.",
        *_clean_sentence(best, raw, labels),
    ]


def _where(summary: Summary) -> str:
    parts = [f"{_value(summary.clean)} on clean speech"] if summary.clean else []
    if summary.noisy:
        parts.append(f"{_value(summary.noisy)} on the mean of {_conditions(summary.noisy)}")
    return "EER " + " and ".join(parts) if parts else "no condition that all systems share"


def _value(mean: Mean) -> str:
    return percent(mean.eer) + (f" ({bare_range(mean.ci95)})" if mean.ci95 else "")


def _conditions(mean: Mean) -> str:
    return f"{mean.conditions} noisy conditions" if mean.conditions > 1 else "one noisy condition"


def _by(relative_change: Change | None) -> str:
    if relative_change is None:
        return ""
    text = f", a change of {signed_percent(relative_change.relative)}"
    if relative_change.ci95 is None:
        return text
    text += f" ({signed_range(relative_change.ci95)})"
    return text if relative_change.is_certain else text + ", which these trials cannot tell from none"


def _clean_sentence(best: Summary, raw: Summary, labels: Labels) -> list[str]:
    if best.clean is None or raw.clean is None:
        return []
    means = f"{_value(best.clean)}, {labels[raw.system]} {_value(raw.clean)}"
    return [f"On clean speech it has {means}{_by(best.clean_change)}."]


def _rivals(best: Summary, summaries: Sequence[Summary], labels: Labels) -> list[str]:
    """Name the systems that come so close in noise that the trials do not settle the order."""
    others = [s for s in summaries if s is not best and not s.system.is_raw]
    found = [(s, change(s.noisy, best.noisy)) for s in others]
    close = [labels[s.system] for s, gap in found if gap and gap.ci95 and not gap.is_certain]
    if not close:
        return []
    return [
        f"Over the same draws of speakers, {labels[best.system]} cannot be told apart in noise from {listed(close)}."
    ]


def _harmed(summaries: Sequence[Summary], labels: Labels) -> list[str]:
    """Name what enhancement costs: systems that are certainly worse than raw on clean speech."""
    worse = [
        f"{labels[s.system]} by {percent(cost.relative, 0)} ({bare_range(cost.ci95, 0)})"
        for s in summaries
        if (cost := s.clean_change) and cost.ci95 and cost.ci95[0] > 0
    ]
    return [f"Worse than raw on clean speech: {listed(worse)}."] if worse else []


def _signed(fraction: float) -> str:
    """The percentage, rounded, without its unit."""
    rounded = round(100 * fraction)
    sign = "+" if rounded > 0 else _MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded)}"
