"""The figures behind an audit, for programs."""

from collections.abc import Mapping

from reseed.stages.auditing.drift import Drift, Sounds, most_hurting
from reseed.stages.auditing.evidence import Evidence
from reseed.stages.auditing.speakers import cohesion
from reseed.stages.auditing.tally import Tally
from reseed.stages.auditing.utterances import Utterances
from reseed.stages.auditing.vectors import Vectors


def measures(evidence: Evidence) -> dict[str, object]:
    """Return means and spreads by dimension, drift by view and SNR, and what each noise and each room does, as JSON."""
    views, vectors, sounds = evidence.store.views, evidence[Vectors], evidence[Sounds]
    return {
        "effective_rank": evidence[Utterances].moments.effective_rank,
        "dimension_means": vectors.mean_D.tolist(),
        "dimension_spreads": vectors.spread_D.tolist(),
        "drift": [
            {"view": views[view], "snr_db": snr_db, **_to_json(tally)}
            for (view, snr_db), tally in evidence[Drift].in_order
        ],
        "noises": _by_name(sounds.noises),
        "rooms": _by_name(sounds.rooms),
        "cohesion": evidence.conclude(cohesion),
    }


def _by_name(tallies: Mapping[str, Tally]) -> list[dict[str, object]]:
    """Say what sounds do: the mean of cosines less what is usual, the most hurting first."""
    return [{"id": name, **_to_json(tally)} for name, tally in most_hurting(tallies)]


def _to_json(tally: Tally) -> dict[str, float]:
    return {"rows": tally.count, "mean": tally.mean, "spread": tally.spread}
