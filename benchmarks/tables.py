"""Figures as tables: each cell is a ratio to a peer, or a figure beside its limit. A miss is red and marked."""

from collections.abc import Sequence

from rich.table import Table

from benchmarks.arena import Contest
from benchmarks.growth import Measured, Size

OPEN_LIMIT_S, OPEN_LIMIT_MB = 1.0, 300.0
FLAT_LIMIT = 1.2  # what "does not grow with the rows" allows against the smallest size


def contest_table(contest: Contest) -> Table:
    """Return our ways down and their peers across: how many times the peer's speed, median and quartiles."""
    table = Table(contest.title, *map(str.strip, contest.peers), caption=_asked(contest))
    for ours in contest.ours:
        cells = ((str(contest.ratio(ours, peer)), contest.is_missed(ours, peer)) for peer in contest.peers)
        table.add_row(ours, *(_judged(text, missed) for text, missed in cells))
    return table


def growth_table(sizes: Sequence[Size]) -> Table:
    """Return one column per size; each figure stands beside its limit or its ratio to the smallest size."""
    table = Table("growth", *(f"{size.rows:,} rows" for size in sizes), caption=_limits())
    table.add_row("imports alone", *(f"{size.imports.rss_mb:.0f} MB" for size in sizes))
    table.add_row("open", *(_within(size.last_id.open_s, OPEN_LIMIT_S, "s") for size in sizes))
    table.add_row("open, get the first id", *(_opened(size.first_id) for size in sizes))
    table.add_row("open, get the last id", *(_opened(size.last_id) for size in sizes))
    table.add_row("statistics, peak RSS", *_flat([size.statistics.rss_mb for size in sizes]))
    table.add_row("statistics, peak anonymous", *_flat([size.statistics.anonymous_mb for size in sizes]))
    table.add_row("statistics, time per row", *_shares([size.statistics.done_s / size.rows for size in sizes]))
    table.add_row("append 1 %, time", *_shares([size.append_s for size in sizes]))
    table.add_row("append 1 %, old files touched", *(_judged(f"{len(s.touched)}", bool(s.touched)) for s in sizes))
    return table


def count_misses(contests: Sequence[Contest]) -> tuple[int, int]:
    """Return how many ratios fall short of what is asked for, and of how many something is asked."""
    judged = [
        contest.is_missed(ours, peer)
        for contest in contests
        for ours in contest.ours
        for peer in contest.peers
        if peer in contest.targets
    ]
    return sum(judged), len(judged)


def _asked(contest: Contest) -> str | None:
    asked = [f"{target} of {peer}" for peer, target in contest.targets.items() if peer in contest.peers]
    return f"asked for: {', '.join(asked)}" if asked else None


def _limits() -> str:
    return f"limits: {OPEN_LIMIT_S} s, {OPEN_LIMIT_MB:.0f} MB; memory of statistics {FLAT_LIMIT} of the smallest size's"


def _judged(text: str, missed: bool) -> str:
    return f"[red]{text} MISS[/red]" if missed else text


def _within(value: float, limit: float, unit: str) -> str:
    return _judged(f"{value:.3g} of {limit:g} {unit}", value >= limit)


def _opened(task: Measured) -> str:
    return f"{_within(task.done_s, OPEN_LIMIT_S, 's')}, {_within(round(task.rss_mb), OPEN_LIMIT_MB, 'MB')}"


def _flat(values_mb: list[float]) -> list[str]:
    return [_judged(f"{mb:.0f} MB ({mb / values_mb[0]:.2f})", mb > FLAT_LIMIT * values_mb[0]) for mb in values_mb]


def _shares(values: list[float]) -> list[str]:
    return [f"{value / values[0]:.2f} of the smallest's" for value in values]
