"""Rules on what noise does to vectors: every noisy view, and every sound that was added, moves them.

Thresholds were set on real recordings: sound stores stay well clear of them, faults that were put in do not.

Shapes: U utterances, C crops, V views, R rows, S sounds in rows, H bins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from reseed.stages.auditing.arrays import Counts, Float32, Float64, Indices
from reseed.stages.auditing.blocks import AuditedBlock, RowKey
from reseed.stages.auditing.evidence import Evidence, RuleGroup
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Finding, Offender
from reseed.stages.auditing.tally import COSINE_EDGES, Accumulator, Least, Outlier, Tally, outliers
from reseed.stages.common.prose import counted, first_few

SNR_STEP_DB = 5.0

_UNMOVED = 1e-4  # 1 - cosine, below which a noise or a view has changed nothing
_MOVED = 20.0  # times that, above which the middle noise lies, for one that changes nothing to be named
_FEWEST_ROWS = 2  # with a sound, for it to be judged
_MOST_SOUNDS = 50_000  # that are told apart: babble is as many as there are utterances

Cell = tuple[int, float | None]  # the number of a view, and an SNR rounded to `SNR_STEP_DB`


@dataclass
class Drift(Accumulator):
    """Cosines of noisy vectors with the clean ones of their crops.

    Attributes:
        cosine_VH: by view and between `COSINE_EDGES`.
        cells: by view and SNR.
        farthest: the rows with the lowest, by view.
    """

    cosine_VH: Counts
    cells: dict[Cell, Tally] = field(default_factory=dict)
    farthest: dict[int, Least[Outlier]] = field(default_factory=dict)

    @classmethod
    def of(cls, block: AuditedBlock) -> Self:
        store = block.store
        drift = cls(np.zeros((len(store.views), len(COSINE_EDGES) - 1), np.int64))
        for view in range(len(store.views)) if store.clean is not None else ():
            cosine_UC, snr_UC = block.cosine_UCV[:, :, view], block.snr_UCV[:, :, view]
            known = np.isfinite(cosine_UC)
            if view == store.clean or not known.any():
                continue
            drift.cosine_VH[view] = np.histogram(cosine_UC[known].clip(-1, 1), COSINE_EDGES)[0]
            bins = _binned(snr_UC[known])
            for bin_db in np.unique(bins).tolist():
                drawn = not np.isnan(bin_db)
                chosen = cosine_UC[known][bins == bin_db if drawn else np.isnan(bins)]
                drift.cells[view, bin_db if drawn else None] = Tally.of(chosen)
            row_S = np.arange(known.size) * len(store.views) + view
            drift.farthest[view] = outliers(block, row_S, np.where(known, cosine_UC, np.inf).ravel())
        return drift

    @property
    def in_order(self) -> list[tuple[Cell, Tally]]:
        """The cells by view and rising SNR."""
        return sorted(self.cells.items(), key=lambda cell: (cell[0][0], cell[0][1] or 0))

    @property
    def means(self) -> dict[int, float]:
        """Mean cosine by view."""
        of_view: dict[int, Tally] = {}
        for (view, _), tally in sorted(self.cells.items(), key=lambda cell: cell[0][0]):
            of_view.setdefault(view, Tally()).add(tally)
        return {view: tally.mean for view, tally in of_view.items()}


@dataclass
class Sounds(Accumulator):
    """What each noise and each room does, from the second pass.

    Attributes:
        noises, rooms: id -> cosines with the clean vector less what is usual at that view and SNR.
        noise_cosines: id -> the cosines themselves.
        examples: id -> a row with that noise or room.
    """

    noises: dict[str, Tally] = field(default_factory=dict)
    noise_cosines: dict[str, Tally] = field(default_factory=dict)
    rooms: dict[str, Tally] = field(default_factory=dict)
    examples: dict[str, RowKey] = field(default_factory=dict)

    def add(self, other: Self) -> None:
        """Take in what another block says, of so many sounds as there is memory for."""
        for known, new in zip(vars(self).values(), vars(other).values(), strict=True):
            for name in [name for name in new if name not in known][max(0, _MOST_SOUNDS - len(known)) :]:
                del new[name]
        super().add(other)


@dataclass(frozen=True)
class SoundReview:
    """Gathers what sounds do, against the mean cosine of each view and SNR."""

    usual: Mapping[Cell, float]

    def __call__(self, block: AuditedBlock) -> Sounds:
        sounds = Sounds()
        cosine_R = block.cosine_UCV.astype(np.float64).ravel()
        excess_R = cosine_R - self._usual(block)
        for column, excesses in (("noise_ids", sounds.noises), ("rir_id", sounds.rooms)):
            row_S, code_S, names = block.sounds(column)
            known = np.isfinite(excess_R[row_S])
            row_S, code_S = row_S[known], code_S[known]
            excesses |= _tallies(names, code_S, excess_R[row_S])
            if column == "noise_ids":
                sounds.noise_cosines = _tallies(names, code_S, cosine_R[row_S])
            for code, first in zip(*np.unique(code_S, return_index=True), strict=True):
                sounds.examples[names[code]] = block.key(int(row_S[first]))
        return sounds

    def _usual(self, block: AuditedBlock) -> Float64:
        """Return the usual cosine of each row's view and SNR, [R]; NaN where there is none."""
        bin_R = _binned(block.snr_UCV.ravel())
        view_R = np.arange(len(bin_R)) % len(block.store.views)
        usual_R = np.full(len(bin_R), np.nan)
        for (view, bin_db), mean in self.usual.items():
            usual_R[(view_R == view) & (np.isnan(bin_R) if bin_db is None else bin_R == bin_db)] = mean
        return usual_R


def review(evidence: Evidence) -> SoundReview:
    """Return what gathers `Sounds`."""
    return SoundReview({cell: tally.mean for cell, tally in evidence[Drift].cells.items()})


def views(evidence: Evidence) -> Finding:
    """Every noisy view differs from the clean one."""
    store, drift = evidence.store, evidence[Drift]
    if store.clean is None or len(store.views) < 2:
        return Finding(SKIPPED, "There is no clean view beside a noisy one.")
    means = {store.views[view]: mean for view, mean in drift.means.items()}
    same = [view for view, mean in means.items() if 1 - mean < _UNMOVED]
    rows: list[Offender] = [{"view": view, "mean cosine with clean": round(mean, 4)} for view, mean in means.items()]
    if same:
        return Finding(FAILED, f"Vectors of {', '.join(same)} are those of the clean view.", rows)
    if not means:
        return Finding(SKIPPED, "No noisy vector has a clean one beside it.")
    worst = min(means, key=lambda view: means[view])
    count = sum(tally.count for tally in drift.cells.values())
    says = f"{count:,} noisy vectors; {worst} is farthest from clean, at a mean cosine of {means[worst]:.3f}."
    return Finding(PASSED, says, rows)


def noise(evidence: Evidence) -> Finding:
    """Every noise changes what it is added to."""
    sounds = evidence[Sounds]
    heard = {name: tally for name, tally in sounds.noise_cosines.items() if tally.count >= _FEWEST_ROWS}
    if not heard:
        return Finding(SKIPPED, "The catalogue names no noise, or there is no clean view.")
    usual = float(np.median([1 - tally.mean for tally in heard.values()]))
    silent = sorted(name for name, tally in heard.items() if 1 - tally.least < _UNMOVED and usual > _MOVED * _UNMOVED)
    hurting = sorted(heard, key=lambda name: (sounds.noises[name].mean, name))
    rows = [_noise_row(evidence, name) for name in (*silent, *hurting)[:LISTED]]
    if silent:
        says = f"{counted(len(silent), 'sound')} changing nothing, as silence would: {first_few(silent)}."
        return Finding(FAILED, says, rows)
    worst = sounds.noises[hurting[0]]
    says = (
        f"{counted(len(heard), 'sound')} added; {hurting[0]} hurts most: cosines {-worst.mean:.3f} lower than is usual "
        "at its SNRs."
    )
    return Finding(PASSED, says, rows)


def most_hurting(tallies: Mapping[str, Tally]) -> list[tuple[str, Tally]]:
    """Return what some sounds do by their ids, the most hurting first."""
    return sorted(tallies.items(), key=lambda item: item[1].mean)


def farthest_rows(evidence: Evidence) -> list[Offender]:
    """Return the rows that noise has moved farthest, for a table."""
    found = [row for rows in evidence[Drift].farthest.values() for row in rows.items]
    return [
        {
            **evidence.with_replay(
                {
                    "utterance": row.key.utterance_id,
                    "view": row.key.view,
                    "cosine with clean": round(row.value, 3),
                    "SNR in dB": "" if row.snr_db is None else round(row.snr_db, 1),
                },
                row.key,
            ),
            "noise": ", ".join(row.noise_ids),
            "room": row.rir_id or "",
        }
        for row in sorted(found, key=lambda row: row.value)[: 2 * LISTED]
    ]


def _binned(snr_db: Float32) -> Float32:
    """Round SNRs to the middle of their bins; NaN where nothing was added."""
    bins: Float32 = np.round(snr_db / SNR_STEP_DB) * np.float32(SNR_STEP_DB)
    return bins


def _tallies(names: list[str], code_S: Indices, value_S: Float64) -> dict[str, Tally]:
    """Tally values by the name that a code stands for."""
    counts, sums, squares = (np.bincount(code_S, weights) for weights in (None, value_S, value_S**2))
    least = np.full(len(counts), np.inf)
    np.minimum.at(least, code_S, value_S)
    return {
        names[code]: Tally(int(counts[code]), float(sums[code]), float(squares[code]), float(least[code]))
        for code in np.flatnonzero(counts).tolist()
    }


def _noise_row(evidence: Evidence, name: str) -> Offender:
    sounds = evidence[Sounds]
    row: Offender = {
        "sound": name,
        "rows": sounds.noises[name].count,
        "mean cosine with clean": round(sounds.noise_cosines[name].mean, 4),
        "against what is usual": round(sounds.noises[name].mean, 4),
    }
    return evidence.with_replay(row, sounds.examples.get(name))


GROUP = RuleGroup((views, noise), Drift.of, review)
