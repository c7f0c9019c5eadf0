"""What the other systems decide otherwise than the first one."""

from collections.abc import Sequence
from pathlib import Path

from reseed.stages.evaluation.trials import Codes, Scored, Trials
from reseed.stages.reporting.results.flips import Compared, Flipped, Trial, find_flips, replay_command


def flips_from_first(
    trials: Trials, scored: Sequence[Scored], thresholds: Sequence[float], store: Path | None = None
) -> Flipped:
    """Compare every system with the first.

    Args:
        thresholds: of each system, on all trials.
        store: where `reseed replay` finds what was scored; the condition of a trial is the view that was tested.
    """

    def named(place: int) -> Trial:
        return _named(trials, trials.enrolment_P, place), _named(trials, trials.test_P, place)

    def to_hear(trial: Trial, condition: str) -> tuple[str, ...]:
        if store is None or not trials.names:
            return ()
        return replay_command(store, trial[0], "clean"), replay_command(store, trial[1], condition or "clean")

    first, found = scored[0], []
    for system, threshold in zip(scored[1:], thresholds[1:], strict=True):
        compared = Compared(
            system.name,
            first.name,
            first.score_P,
            system.score_P,
            thresholds[0],
            threshold,
            trials.is_target_P,
            trials.conditions,
            trials.condition_P,
        )
        found.append(find_flips(compared, named, to_hear))
    changed = [counts for each in found for counts in each.changed]
    return Flipped(changed, [trial for each in found for trial in each.worse])


def _named(trials: Trials, side_P: Codes, place: int) -> str:
    return trials.names[int(side_P[place])] if trials.names else ""
