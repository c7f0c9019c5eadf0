"""Rules on vectors and on what noise does to them.

Thresholds were set on real recordings, where sound stores stay well clear of them and planted faults do not.
"""

from typing import Any

import numpy as np

from reseed.stages.auditing.facts import Facts
from reseed.stages.auditing.finding import (
    FAILED,
    LISTED,
    PASSED,
    SKIPPED,
    Finding,
    heard,
    placed,
    quantile,
)
from reseed.stages.auditing.measures import dimensions as dimensions_of
from reseed.stages.auditing.shards import effective_rank
from reseed.stages.auditing.survey import NORM_EDGES
from reseed.stages.common.prose import counted, first_few

_LENGTH = 20.0  # times longer or shorter than the middle norm
_LEAST_RANK = 1.2
_DEAD = 1e-6  # of the widest dimension's spread
_LEAST_CAPTURED = 0.5  # of the middle shard's
_UNMOVED = 1e-4  # 1 - cosine, below which a noise or a view has changed nothing
_MOVED = 20.0  # times that, above which others of its views lie, for it to be told
_HEARD = 2  # rows with a sound, at least, for it to be judged


def files(facts: Facts) -> Finding:
    of_other = facts.against.problems if facts.against else []
    parts = [
        f"{counted(count, what)}{then}"
        for count, what, then in (
            (len(facts.problems), "damaged file", ", left out of all that follows"),
            (len(of_other), "damaged file", " of the other store"),
            (facts.survey.misplaced, "row", " out of order"),
            (facts.twice, "utterance id", " stored more than once"),
        )
        if count
    ]
    if parts:
        rows = [{"problem": problem} for problem in (*facts.problems, *of_other)]
        return Finding("files", FAILED, f"{'; '.join(parts)}.", rows)
    shards = len(facts.source.header.shards)
    return Finding("files", PASSED, f"All files of {counted(shards, 'shard')} have the digests they were written with.")


def finite(facts: Facts) -> Finding:
    survey = facts.survey
    if survey.not_finite or survey.zero:
        names = facts.source.header.shards
        where = ", ".join(f"{count} in {names[shard].name}" for shard, count in survey.not_finite_by_shard.items())
        parts = [
            f"{counted(survey.not_finite, 'row')} NaN or infinite ({where})" if survey.not_finite else "",
            f"{counted(survey.zero, 'row')} zero" if survey.zero else "",
        ]
        rows = [placed(facts, place) for place in survey.no_direction[:LISTED]]
        return Finding("finite", FAILED, f"{' and '.join(filter(None, parts))}, of {survey.rows:,}.", rows)
    return Finding("finite", PASSED, f"All {survey.rows:,} vectors are finite and none is zero.")


def norms(facts: Facts) -> Finding:
    middle = quantile(facts.survey.norm_H, NORM_EDGES, 0.5)
    if middle is None:
        return Finding("norms", SKIPPED, "No vector has a length.")
    far = [
        row
        for row in (*facts.survey.shortest, *facts.survey.longest)
        if not middle / _LENGTH <= row.value <= middle * _LENGTH
    ]
    low, high = (quantile(facts.survey.norm_H, NORM_EDGES, share) for share in (0.01, 0.99))
    usual = f"norms lie between {low:.3g} and {high:.3g} (1 and 99 %), {middle:.3g} in the middle"
    if far:
        rows = [{**placed(facts, row.place), "norm": round(row.value, 6)} for row in far]
        return Finding("norms", FAILED, f"Some vectors are over {_LENGTH:g} times longer or shorter; {usual}.", rows)
    return Finding("norms", PASSED, f"No vector stands out; {usual}.")


def dimensions(facts: Facts) -> Finding:
    survey = facts.survey
    if survey.whole.count < 2:
        return Finding("dimensions", SKIPPED, "There are fewer than two utterances.")
    spread_D = dimensions_of(facts)[1]
    dead = int((spread_D <= _DEAD * spread_D.max()).sum())
    rank = effective_rank(survey.whole.covariance_DD)
    says = f"Effective rank {rank:.1f} of {survey.dim} dimensions; {dead} never change."
    failed = rank < _LEAST_RANK or dead > survey.dim / 2
    return Finding("dimensions", FAILED if failed else PASSED, says)


def shards(facts: Facts) -> Finding:
    if len(facts.captured) < 3:
        return Finding("shards", SKIPPED, "With fewer than three shards none can be told from the others.")
    middle = float(np.median(list(facts.captured.values())))
    names = facts.source.header.shards
    foreign = sorted((share, shard) for shard, share in facts.captured.items() if share < _LEAST_CAPTURED * middle)
    usual = f"{middle:.0%} of a shard's energy usually lies where the others spread"
    if foreign:
        which = first_few(names[shard].name for _, shard in foreign)
        rows = [{"shard": names[shard].name, "within the others": f"{share:.0%}"} for share, shard in foreign]
        says = f"{counted(len(foreign), 'shard')} of another backbone: {which}; {usual}."
        return Finding("shards", FAILED, says, rows[:LISTED])
    return Finding("shards", PASSED, f"All spread alike; {usual}, at least {min(facts.captured.values()):.0%}.")


def views(facts: Facts) -> Finding:
    source, survey = facts.source, facts.survey
    if source.clean is None or len(source.views) < 2:
        return Finding("views", SKIPPED, "There is no clean view beside a noisy one.")
    means = _view_means(facts)
    same = [view for view, mean in means.items() if 1 - mean < _UNMOVED]
    rows = [{"view": view, "mean cosine with clean": round(mean, 4)} for view, mean in means.items()]
    if same:
        return Finding("views", FAILED, f"Vectors of {', '.join(same)} are those of the clean view.", rows)
    if not means:
        return Finding("views", SKIPPED, "No noisy vector has a clean one beside it.")
    worst = min(means, key=lambda view: means[view])
    cells = sum(tally.count for tally in survey.cells.values())
    says = f"{cells:,} noisy vectors; {worst} is farthest from clean, at a mean cosine of {means[worst]:.3f}."
    return Finding("views", PASSED, says, rows)


def noise(facts: Facts) -> Finding:
    kept = {name: tally for name, tally in facts.review.kept.items() if tally.count >= _HEARD}
    if not kept:
        return Finding("noise", SKIPPED, "The catalogue names no noise, or there is no clean view.")
    usual = float(np.median([1 - tally.mean for tally in kept.values()]))
    silent = sorted(name for name, tally in kept.items() if tally.greatest < _UNMOVED and usual > _MOVED * _UNMOVED)
    hurting = sorted(kept, key=lambda name: (facts.review.noises[name].mean, name))
    rows = [_noise_row(facts, name) for name in (*silent, *hurting)[:LISTED]]
    if silent:
        says = f"{counted(len(silent), 'sound')} changing nothing, as silence would: {first_few(silent)}."
        return Finding("noise", FAILED, says, rows)
    worst = facts.review.noises[hurting[0]]
    says = (
        f"{counted(len(kept), 'sound')} added; {hurting[0]} hurts most: cosines {-worst.mean:.3f} lower than is usual "
        "at its SNRs."
    )
    return Finding("noise", PASSED, says, rows)


def farthest_rows(facts: Facts) -> list[dict[str, Any]]:
    """Return the rows that noise has moved farthest, for a table."""
    found = [row for rows in facts.survey.farthest.values() for row in rows]
    farthest = sorted(found, key=lambda row: row.value)[: 2 * LISTED]
    rows = []
    for row in farthest:
        told: dict[str, Any] = {"utterance": row.place.utterance_id, "view": row.place.view}
        told |= {
            "cosine with clean": round(row.value, 3),
            "SNR in dB": "" if row.snr_db is None else round(row.snr_db, 1),
        }
        sounds = {"noise": ", ".join(row.noise_ids), "room": row.rir_id or ""}
        rows.append({**heard(facts, row.place, told), **sounds})
    return rows


def _view_means(facts: Facts) -> dict[str, float]:
    means = {}
    for place, view in enumerate(facts.source.views):
        tallies = [tally for (found, _), tally in facts.survey.cells.items() if found == place]
        count = sum(tally.count for tally in tallies)
        if count:
            means[view] = sum(tally.total for tally in tallies) / count
    return means


def _noise_row(facts: Facts, name: str) -> dict[str, Any]:
    excess = facts.review.noises[name]
    row: dict[str, Any] = {
        "sound": name,
        "rows": excess.count,
        "mean cosine with clean": round(facts.review.kept[name].mean, 4),
        "against what is usual": round(excess.mean, 4),
    }
    return heard(facts, facts.review.heard.get(name), row)
