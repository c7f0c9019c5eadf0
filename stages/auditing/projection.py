"""The picture of a store: a sample of its vectors in the plane of their two main axes.

Shapes: N rows of the sample, D embedding dimension.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from reseed.stages.auditing.arrays import Float32, hashed_ids
from reseed.stages.auditing.blocks import AuditedBlock, RowKey
from reseed.stages.auditing.evidence import Evidence, RuleGroup
from reseed.stages.auditing.tally import Accumulator

_SHOWN = 3000  # rows, at most


@dataclass(frozen=True)
class SampledRow:
    """One row that the picture shows."""

    vector_D: Float32
    key: RowKey
    speaker_id: str | None
    snr_db: float | None


@dataclass
class RowSample(Accumulator):
    """Rows spread evenly over a store."""

    rows: list[SampledRow]

    @classmethod
    def of(cls, block: AuditedBlock) -> Self:
        """Choose utterances evenly over the whole store: all their views, one crop of each."""
        store, rows = block.store, []
        every = max(1, -(-store.utterances * len(store.views) // _SHOWN))
        first = int(hashed_ids(block.ids[:1])[0] % np.uint64(every)) if block.ids else 0
        chosen = [place for place in range(first, len(block.ids), every) if block.usable_UCV[place, 0].all()]
        for place in chosen:
            for view, name in enumerate(store.views):
                snr = float(block.snr_UCV[place, 0, view])
                vector_D, key = block.unit_UCVD[place, 0, view].copy(), RowKey(block.ids[place], name, 0)
                rows.append(SampledRow(vector_D, key, block.speakers[place], None if np.isnan(snr) else snr))
        return cls(rows)


@dataclass(frozen=True)
class Projection:
    """What the page's script draws.

    Attributes:
        points: one of each row: where it lies, -1..1, and what it is.
        explained: the share of the variance that the two axes hold, per cent.
    """

    points: list[dict[str, str | float | None]]
    explained: int


def projected(evidence: Evidence) -> Projection:
    """Project the sample to its two main axes; nothing is shown of fewer than three rows."""
    rows = evidence[RowSample].rows
    if len(rows) < 3:
        return Projection([], 0)
    vectors_ND = np.stack([row.vector_D for row in rows]).astype(np.float64)
    centred_ND = vectors_ND - vectors_ND.mean(axis=0)
    values_D, axes_DD = np.linalg.eigh(centred_ND.T @ centred_ND)
    plane_N2 = centred_ND @ axes_DD[:, :-3:-1]
    scale = float(np.abs(plane_N2).max()) or 1.0
    points = [
        {
            "x": round(x / scale, 4),
            "y": round(y / scale, 4),
            "utterance": row.key.utterance_id,
            "view": row.key.view,
            "speaker": row.speaker_id,
            "snr": None if row.snr_db is None else round(row.snr_db, 1),
        }
        for row, (x, y) in zip(rows, plane_N2.tolist(), strict=True)
    ]
    return Projection(points, round(100 * float(values_D[-2:].sum() / max(float(values_D.sum()), 1e-30))))


GROUP = RuleGroup((), RowSample.of)
