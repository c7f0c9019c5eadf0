"""The page of an audit: one self-contained HTML file; every text escaped, nothing loaded from anywhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reseed.stages.auditing.facts import Facts
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Finding, heard
from reseed.stages.auditing.judge_vectors import farthest_rows
from reseed.stages.auditing.plots import plots
from reseed.stages.auditing.rules import RULES
from reseed.stages.common.pages import render
from reseed.stages.extraction.lineage import Node, graph
from reseed.store.atomic import write_text

_BOX, _GAP = (230, 62), (70, 22)  # of the lineage, in pixels
_DIGEST = 12


@dataclass(frozen=True)
class Box:
    """A node of the lineage where it is drawn."""

    node: Node
    x: float
    y: float
    is_own: bool

    @property
    def label(self) -> str:
        """The end of its path, which tells it from others."""
        return self.node.path if len(self.node.path) <= 32 else f"…{self.node.path[-31:]}"


@dataclass(frozen=True)
class Lineage:
    """Boxes and the lines between them, and how much room they take."""

    boxes: list[Box]
    lines: list[tuple[float, float, float, float]]
    width: float
    height: float


def write_page(path: Path, facts: Facts, findings: list[Finding], verdict: str, figures: dict[str, Any]) -> None:
    """Write the page.

    Args:
        figures: see `reseed.stages.auditing.measures`.
    """
    declared = facts.source.header.declaration
    page = render(
        "auditing/audit.html.j2",
        title=f"Audit of {facts.path}",
        verdict=verdict,
        is_sound=all(finding.status != FAILED for finding in findings),
        subtitle=f"{len(facts.source.store):,} vectors of {declared.dim} dimensions, {declared.dtype} · "
        f"{facts.source.utterances:,} utterances · {len(declared.views)} views · space {declared.space}",
        fingerprint=facts.source.header.fingerprint,
        findings=sorted(findings, key=lambda finding: (FAILED, PASSED, SKIPPED).index(finding.status)),
        rules=RULES,
        plots=plots(facts),
        points=projected(facts),
        farthest=farthest_rows(facts),
        drift=_drift_rows(figures),
        rooms=_room_rows(facts, figures),
        lineage=drawn_lineage(*graph(facts.path, facts.source.header)),
        box=_BOX,
        digest=_DIGEST,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)


def projected(facts: Facts) -> dict[str, Any]:
    """Return the points of the projection, for the page's script: two main axes of the sample."""
    points = facts.survey.points
    if len(points) < 3:
        return {"points": [], "explained": 0}
    vectors_ND = np.stack([point.vector_D for point in points]).astype(np.float64)
    centred_ND = vectors_ND - vectors_ND.mean(axis=0)
    values_D, axes_DD = np.linalg.eigh(centred_ND.T @ centred_ND)
    plane_N2 = centred_ND @ axes_DD[:, :-3:-1]
    scale = float(np.abs(plane_N2).max()) or 1.0
    rows = [
        {
            "x": round(x / scale, 4),
            "y": round(y / scale, 4),
            "utterance": point.place.utterance_id,
            "view": point.place.view,
            "speaker": point.speaker_id,
            "snr": None if point.snr_db is None else round(point.snr_db, 1),
        }
        for point, (x, y) in zip(points, plane_N2.tolist(), strict=True)
    ]
    explained = values_D[-2:].sum() / max(float(values_D.sum()), 1e-30)
    return {"points": rows, "explained": round(100 * float(explained))}


def _drift_rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "view": cell["view"],
            "SNR in dB, to 5 dB": "" if cell["snr_db"] is None else f"{cell['snr_db'] + 0.0:g}",
            "rows": cell["rows"],
            "mean cosine with clean": round(cell["mean"], 4),
            "standard deviation": round(cell["spread"], 4),
        }
        for cell in figures["drift"]
    ]


def _room_rows(facts: Facts, figures: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        heard(
            facts,
            facts.review.heard.get(room["id"]),
            {"room": room["id"], "rows": room["rows"], "against what is usual": round(room["mean"], 4)},
        )
        for room in figures["rooms"][:LISTED]
    ]


def drawn_lineage(own: Node, edges: list[tuple[Node, Node]]) -> Lineage:
    """Place what a store was made from to its left and what was made of it to its right."""
    column = {own: 0}
    for source, made in edges:
        if source == own:
            column[made] = 1
    pending = [own]
    while pending:  # a source stands left of all that is made of it
        made = pending.pop()
        for source in (source for source, target in edges if target == made):
            column[source] = min(column.get(source, 0), column[made] - 1)
            pending.append(source)
    first = min(column.values())
    by_column: dict[int, list[Node]] = {}
    for node in sorted(column, key=lambda node: (node.kind, node.path)):
        by_column.setdefault(column[node] - first, []).append(node)
    (width, height), (between, below) = _BOX, _GAP
    tallest = max(map(len, by_column.values())) * (height + below) - below
    boxes = {}
    for place, nodes in by_column.items():
        top = (tallest - (len(nodes) * (height + below) - below)) / 2
        for row, node in enumerate(nodes):
            boxes[node] = Box(node, place * (width + between), top + row * (height + below), node == own)
    lines = [(boxes[a].x + width, boxes[a].y + height / 2, boxes[b].x, boxes[b].y + height / 2) for a, b in edges]
    return Lineage(list(boxes.values()), lines, (max(by_column) + 1) * (width + between) - between, tallest)
