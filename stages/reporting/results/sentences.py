"""The results in sentences, each of which follows from the numbers alone."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from reseed.stages.common.prose import bare_range, listed, p_text, percent, signed_percent, signed_range
from reseed.stages.reporting.metrics.dcf import ACTUAL_DCF
from reseed.stages.reporting.results.measure import Measured
from reseed.stages.reporting.results.styles import Labels, families
from reseed.stages.reporting.results.summary import (
    Change,
    Mean,
    Summary,
    best_enhanced,
    best_system,
    centred_reference,
    change,
    headline,
    reference,
)
from reseed.stages.reporting.results.systems import System
from reseed.stages.scoring.detection_costs import Costs

NORMALISED = "as_norm"  # alone often moves an EER by as much as an enhancer does


def conclusions(summaries: Sequence[Summary], labels: Labels) -> list[str]:
    """Return what the results say, the most important first."""
    best, fused = headline(summaries)
    rivals = [s for s in summaries if not s.system.is_fused] if fused else summaries
    alike = [s for s in summaries if s.system.family == best.system.family]
    return [
        *_best(best, fused, rivals, labels),
        *_no_better_than_centred(best, alike, labels),
        *_second(best, rivals, labels),
        *_ties(best, rivals, labels),
        *_enhancement_alone(best, rivals, labels),
        *_scoring_alone(summaries, labels),
        *_worse_on_clean(alike, labels),
    ]


def calibration_warning(pooled: Sequence[Measured], labels: Labels, costs: Costs) -> list[str]:
    """Name the calibrated systems whose decisions cost more than deciding without any score; none: no sentence."""
    worse = [f"{labels[p.system]} ({cost:.2f})" for p in pooled if (cost := p[ACTUAL_DCF] or 0) > 1]
    if not worse:
        return []
    instead = "rejecting" if costs.of_misses <= costs.of_false_alarms else "accepting"
    return [
        f"The calibration of {listed(worse)} does not hold: above an actual DCF of 1, the number in brackets, "
        f"{instead} everyone would cost less."
    ]


def _reference(summary: Summary, summaries: Sequence[Summary]) -> Summary | None:
    return _summary_of(reference(summary.system, [s.system for s in summaries]), summaries)


def _centred(summary: Summary, summaries: Sequence[Summary]) -> Summary | None:
    return _summary_of(centred_reference(summary.system, [s.system for s in summaries]), summaries)


def _is_beside_centred(summary: Summary, summaries: Sequence[Summary]) -> bool:
    """Whether it is an enhancer of a backbone that has centred vectors of its own."""
    centred = _centred(summary, summaries)
    return centred is not None and centred.system.comparable(summary.system)


def _summary_of(system: System | None, summaries: Sequence[Summary]) -> Summary | None:
    return next((s for s in summaries if s.system == system), None)


def _best(best: Summary, fused: Summary | None, summaries: Sequence[Summary], labels: Labels) -> list[str]:
    name, raw, centred = labels[best.system], _reference(best, summaries), _centred(best, summaries)
    of_fused = _fused(best, fused, labels)
    is_best = "is the best single system" if fused else "is best"
    if len(summaries) == 1:
        return [f"{name}: {_eers(best)}.", *of_fused]
    if best.system.is_raw:
        return [f"No enhancer has a lower EER than {name}: {_eers(best)}.", *of_fused]
    if raw is None:
        return [f"{name} {is_best}: {_eers(best)}. There is no raw system to compare it with.", *of_fused]
    nothing_gained = best.system.is_centred and any(_is_beside_centred(s, summaries) for s in summaries)
    remark = [f"No enhancer has a lower EER than {name}, which subtracts a mean and no more."] if nothing_gained else []
    with_changes = [(centred, best.clean_from_centred, best.noisy_from_centred)] if centred else []
    with_changes += [(raw, best.clean_change, best.noisy_change)]
    in_noise = [(labels[s.system], s.noisy, noisy) for s, _, noisy in with_changes if s.noisy]
    on_clean = [(labels[s.system], s.clean, clean) for s, clean, _ in with_changes if s.clean]
    if best.noisy is None or raw.noisy is None:
        return [*remark, f"{name} {is_best}.", *of_fused, *_on_clean(best, on_clean, labels)]
    return [
        *remark,
        f"{name} {is_best} in noise, with an EER of {_value(best.noisy)} {_conditions(best.noisy)}, "
        f"against {_against(in_noise)}.",
        *of_fused,
        *_on_clean(best, on_clean, labels),
    ]


def _against(others: Sequence[tuple[str, Mean, Change | None]]) -> str:
    """ "9.3 % for centre: a change of −12 % (…), and 15.4 % for raw: a change of −47 % (…)"."""
    return ", and ".join(f"{_value(mean)} for {name}{_change(gap)}" for name, mean, gap in others)


def _no_better_than_centred(best: Summary, summaries: Sequence[Summary], labels: Labels) -> list[str]:
    """Name the other enhancers that are worse in noise than centring alone, and those no better beyond chance."""
    worse: list[str] = []
    level: list[str] = []
    for summary in (s for s in summaries if s is not best and _is_beside_centred(s, summaries)):
        gap = summary.noisy_from_centred
        if gap and (gap.relative >= 0 or (gap.ci95 and not gap.is_significant)):
            (worse if gap.is_significant else level).append(f"{labels[summary.system]}, {_amount(gap)}")
    said = {"Worse in noise than centring alone": worse, "Not shown to be better in noise than centring alone": level}
    return [f"{text}: {'; '.join(found)}." for text, found in said.items() if found]


def _fused(best: Summary, fused: Summary | None, labels: Labels) -> list[str]:
    """Compare a fused system that is not named first with the one that is."""
    if fused is None:
        return []
    mean, where, gap = fused.noisy, "in noise", change(fused.noisy, best.noisy)
    if mean is None:
        mean, where, gap = fused.clean, "on clean speech", change(fused.clean, best.clean)
    against = f"; compared with {labels[best.system]}, it changes the EER by {_amount(gap)}" if gap else ""
    return [f"The fused system {labels[fused.system]} has an EER of {_value(mean)} {where}{against}."] if mean else []


def _eers(summary: Summary) -> str:
    parts = [f"{_value(summary.clean)} on clean speech"] if summary.clean else []
    if summary.noisy:
        parts.append(f"{_value(summary.noisy)} {_conditions(summary.noisy)}")
    return "an EER of " + " and ".join(parts) if parts else "no condition that all systems share"


def _value(mean: Mean) -> str:
    return percent(mean.eer) + (f" ({bare_range(mean.ci95)})" if mean.ci95 else "")


def _conditions(mean: Mean) -> str:
    return f"on average over {mean.conditions} noisy conditions" if mean.conditions > 1 else "in one noisy condition"


def _change(relative_change: Change | None) -> str:
    return f": a change of {_amount(relative_change)}" if relative_change else ""


def _amount(relative_change: Change) -> str:
    """ "−12 % (−20 to −5; p = 0.004)", or "−2 % (−9 to +4; p = 0.6; not significant)"."""
    text = signed_percent(relative_change.relative)
    if relative_change.ci95 is None or relative_change.p_value is None:
        return text
    remark = "" if relative_change.is_significant else "; not significant"
    return f"{text} ({signed_range(relative_change.ci95)}; {p_text(relative_change.p_value)}{remark})"


def _on_clean(best: Summary, others: Sequence[tuple[str, Mean, Change | None]], labels: Labels) -> list[str]:
    if best.clean is None or not others:
        return []
    return [f"On clean speech, {labels[best.system]} has an EER of {_value(best.clean)}, against {_against(others)}."]


def _second(best: Summary, summaries: Sequence[Summary], labels: Labels) -> list[str]:
    """Compare the best with the best that is another system, however scored, unless that is a reference of it."""
    second = _runner_up(best, summaries)
    if second is None or second.noisy is None or second in _references(best, summaries):
        return []
    gap = change(best.noisy, second.noisy)
    against = f"; compared with it, {labels[best.system]} changes the EER by {_amount(gap)}" if gap else ""
    return [f"Second in noise is {labels[second.system]}, with an EER of {_value(second.noisy)}{against}."]


def _runner_up(best: Summary, summaries: Sequence[Summary]) -> Summary | None:
    others = [s for s in summaries if s.system.embeddings != best.system.embeddings and s.noisy]
    return best_system(others) if others else None


def _ties(best: Summary, summaries: Sequence[Summary], labels: Labels) -> list[str]:
    """Name further systems that come so close in noise that the trials do not settle the order."""
    references = _references(best, summaries)
    others = [s for s in summaries if s is not best and not s.system.is_raw and s not in references]
    found = [(s, change(s.noisy, best.noisy)) for s in others]
    close = [s for s, gap in found if gap and gap.ci95 and not gap.is_significant]
    second = _runner_up(best, summaries)
    further = [labels[s.system] for s in close if s is not second]
    if not further:
        return []
    either = " either" if len(further) < len(close) else ""
    return [f"In noise, {labels[best.system]} does not differ significantly from {listed(further)}{either}."]


def _enhancement_alone(best: Summary, summaries: Sequence[Summary], labels: Labels) -> Iterator[str]:
    """Compare the best enhanced system with the better of raw and centred under AS-norm and under the first scoring."""
    enhanced = best_enhanced(summaries)
    if enhanced is None or enhanced.noisy is None:
        return
    first = families(s.system for s in summaries)[0]
    for family in dict.fromkeys([NORMALISED, first]):
        bare = _bare(enhanced.system, family, summaries)
        gap = change(enhanced.noisy, bare.noisy) if bare else None
        compared = enhanced is best and bare in _references(best, summaries)
        compared |= enhanced is _runner_up(best, summaries) and bare is best
        if bare and bare.noisy and gap and not compared:
            yield (
                f"Compared with {labels[bare.system]}, which has an EER of {_value(bare.noisy)} in noise, "
                f"{labels[enhanced.system]} changes the EER by {_amount(gap)}."
            )


def _scoring_alone(summaries: Sequence[Summary], labels: Labels) -> Iterator[str]:
    """Say what a way of scoring does to raw and to centred vectors without any enhancement."""
    scorings = families(s.system for s in summaries)
    bare = [s for s in summaries if s.system.is_raw or s.system.is_centred]
    for first in (s for s in bare if s.system.scoring == scorings[0]):
        for family in scorings[1:]:
            other = _summary_of(replace(first.system, scoring=family), bare)
            if other is None:
                continue
            gaps = {"in noise": change(other.noisy, first.noisy), "on clean speech": change(other.clean, first.clean)}
            parts = [f"by {_amount(gap)} {where}" for where, gap in gaps.items() if gap]
            if parts:
                yield f"{family} alone changes the EER of {labels[first.system]} {listed(parts)}."


def _references(best: Summary, summaries: Sequence[Summary]) -> list[Summary]:
    """Return what the first sentence compares the best with."""
    return [s for s in (_reference(best, summaries), _centred(best, summaries)) if s is not None]


def _bare(system: System, family: str, summaries: Sequence[Summary]) -> Summary | None:
    """Return the better of raw and centred, uncalibrated, of the same run and backbone under another scoring."""
    wanted = system.run, system.backbone_space, family
    bare = (s for s in summaries if s.system.is_raw or s.system.is_centred)
    found = [s for s in bare if (s.system.run, s.system.backbone_space, s.system.scoring) == wanted]
    return best_system(found) if found else None


def _worse_on_clean(summaries: Sequence[Summary], labels: Labels) -> Iterator[str]:
    """Name the systems that are significantly worse on clean speech: what enhancement costs beside centring, or raw."""
    enhancers = [s for s in summaries if _is_beside_centred(s, summaries)]
    costs = {
        "centring alone": [(s, s.clean_from_centred) for s in enhancers],
        "raw": [(s, s.clean_change) for s in summaries if s not in enhancers],
    }
    for name, changes in costs.items():
        worse = [
            f"{labels[s.system]} by {percent(cost.relative, 0)} ({bare_range(cost.ci95, 0)})"
            for s, cost in changes
            if cost and cost.ci95 and cost.is_significant and cost.relative > 0
        ]
        if worse:
            yield f"Significantly worse than {name} on clean speech: {listed(worse)}."
