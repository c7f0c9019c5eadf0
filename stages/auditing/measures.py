"""The figures behind an audit, for programs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.auditing.facts import Facts
from reseed.stages.auditing.shards import effective_rank
from reseed.stages.auditing.tally import Tally


def measures(facts: Facts) -> dict[str, Any]:
    """Return means and spreads by dimension, drift by view and SNR, and what each noise and each room does, as JSON."""
    views = facts.source.views
    mean_D, spread_D = dimensions(facts)
    drift = [
        {"view": views[view], "snr_db": snr_db, **_of(tally)}
        for (view, snr_db), tally in sorted(facts.survey.cells.items(), key=lambda cell: (cell[0][0], cell[0][1] or 0))
    ]
    return {
        "effective_rank": effective_rank(facts.survey.whole.covariance_DD),
        "dimension_means": mean_D.tolist(),
        "dimension_spreads": spread_D.tolist(),
        "drift": drift,
        "noises": _by_name(facts.review.noises),
        "rooms": _by_name(facts.review.rooms),
        "cohesion": facts.within,
    }


def dimensions(facts: Facts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each dimension over all rows with a direction, [D] each."""
    rows = max(int(facts.survey.norm_H.sum()), 1)
    mean_D = facts.survey.value_sum_D / rows
    return mean_D, np.sqrt(np.maximum(facts.survey.value_squares_D / rows - mean_D**2, 0.0))


def _by_name(tallies: dict[str, Tally]) -> list[dict[str, Any]]:
    """Say what sounds do: the mean of cosines less what is usual, the most hurting first."""
    return [{"id": name, **_of(tally)} for name, tally in sorted(tallies.items(), key=lambda item: item[1].mean)]


def _of(tally: Tally) -> dict[str, Any]:
    return {"rows": tally.count, "mean": tally.mean, "spread": tally.spread}
