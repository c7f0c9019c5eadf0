"""How often intervals hold the truth, on trials that speakers and sessions share: `python -m benchmarks.coverage`.

Scores are Gaussian, so that the true values are those of two normal densities. Speakers differ in how easily they are
recognised, sessions in how much they spoil a trial: sessions that speakers share, as rooms and days are, or that are
each of one speaker, as videos of VoxCeleb are.

Shapes: P trials, S speakers.
"""

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from reseed.stages.scoring.bootstrap import Indices, bias_corrected_interval, metric_replicates, speaker_draws
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.metrics import cllr, eer, min_dcf

GAP, PRIOR = 4.0, 0.05  # between the means of the classes, whose deviations are 1 apart from what is shared
OF_SPEAKERS, OF_SESSIONS = 0.5, 0.5  # deviations of what a speaker or a session adds to its trials
NAMES = ("EER", "minDCF 0.05", "Cllr")


@click.command()
@click.option("--lists", default=400, show_default=True, help="Simulated lists of trials for each row.")
@click.option("--replicates", default=400, show_default=True, help="Of the bootstrap.")
@click.option("--speakers", default=60, show_default=True)
@click.option("--sessions", default=20, show_default=True, help="That speakers share.")
def main(lists: int, replicates: int, speakers: int, sessions: int) -> None:
    """Print in how many of the lists an interval of 95 % holds the truth, for either way to draw."""
    truth = _truth()
    table = Table("sessions", "drawn", *NAMES, title=f"{lists} lists, {replicates} replicates, {speakers} speakers")
    for shared in (sessions, 0):
        for two_way in (False, True):
            held = [_held(seed, speakers, shared, two_way, replicates, truth) for seed in range(lists)]
            where = f"{shared}, shared by all speakers" if shared else "four of each speaker"
            drawn = "speakers and sessions" if two_way else "speakers"
            table.add_row(where, drawn, *(f"{100 * share:.1f}" for share in np.mean(held, axis=0)))
    Console(width=120).print(table)


def _truth() -> list[float]:
    deviation = np.sqrt(1 + 2 * OF_SPEAKERS**2 + 2 * OF_SESSIONS**2)
    target, nontarget = norm(GAP / 2, deviation), norm(-GAP / 2, deviation)
    equal = brentq(lambda at: target.cdf(at) - nontarget.sf(at), -GAP, GAP)
    least = minimize_scalar(
        lambda at: target.cdf(at) + (1 / PRIOR - 1) * nontarget.sf(at), bounds=(-2 * GAP, 4 * GAP), method="bounded"
    )
    paid = [
        quad(lambda at, of=of, sign=sign: of.pdf(at) * np.logaddexp(0, -sign * at), -30, 30)[0]
        for of, sign in ((target, 1), (nontarget, -1))
    ]
    return [float(target.cdf(equal)), float(least.fun), sum(paid) / (2 * np.log(2))]


def _held(seed: int, speakers: int, shared: int, two_way: bool, replicates: int, truth: list[float]) -> list[bool]:
    draw = np.random.default_rng(seed)
    sessions = shared or 4 * speakers
    of_speaker = OF_SPEAKERS * draw.normal(size=(2, speakers))  # in targets and in non-targets
    of_session = OF_SESSIONS * draw.normal(size=(2, sessions))

    def units(count: int, is_target: bool) -> Indices:
        first = draw.integers(speakers, size=count)
        second = first if is_target else (first + draw.integers(1, speakers, size=count)) % speakers
        places = np.stack([draw.integers(sessions if shared else 4, size=count) for _ in range(2)])
        places[1] += places[0] == places[1]  # the other side is of another session
        places[1] %= sessions if shared else 4
        places = places if shared else 4 * np.stack([first, second]) + places
        return np.stack([first, second, *places], axis=1)

    def scores(units_P4: Indices, side: int) -> Floats:
        ease = of_speaker[side][units_P4[:, :2]].sum(axis=1) * (1 if side else 2**-0.5)
        spoilt = of_session[side][units_P4[:, 2:]].sum(axis=1)
        made: Floats = GAP * (0.5 - side) + ease + spoilt + draw.normal(size=len(units_P4))
        return made

    target_T4, nontarget_N4 = units(speakers * 16, True), units(speakers * 60, False)
    targets, nontargets = scores(target_T4, 0), scores(nontarget_N4, 1)
    draws_UR = speaker_draws(speakers, replicates, seed, sessions)
    assert draws_UR is not None
    kept = 4 if two_way else 2
    target_T4[:, 1], target_T4[:, 2:] = -1, target_T4[:, 2:] + speakers
    nontarget_N4[:, 2:] += speakers
    drawn = metric_replicates(
        targets, nontargets, target_T4[:, :kept], nontarget_N4[:, :kept], draws_UR, [(PRIOR, 1 - PRIOR)]
    )
    values = eer(targets, nontargets), min_dcf(targets, nontargets, p_target=PRIOR), cllr(targets, nontargets)
    replicates_R = drawn.eer_R, drawn.min_dcf_QR[0], drawn.cllr_R
    ends = [bias_corrected_interval(*each) for each in zip(values, replicates_R, strict=True)]
    return [end is not None and end[0] <= true <= end[1] for end, true in zip(ends, truth, strict=True)]


if __name__ == "__main__":
    main()
