"""The page of an audit: one self-contained HTML file; every text escaped, nothing loaded from anywhere."""

from dataclasses import dataclass
from pathlib import Path

from reseed.stages.auditing.drift import Drift, Sounds, farthest_rows, most_hurting
from reseed.stages.auditing.evidence import Evidence
from reseed.stages.auditing.finding import FAILED, LISTED, PASSED, SKIPPED, Audit, Offender
from reseed.stages.auditing.plots import plots
from reseed.stages.auditing.projection import projected
from reseed.stages.auditing.table import RULES
from reseed.stages.common.pages import render
from reseed.stages.common.terms import Wording
from reseed.stages.extraction.lineage import Node, lineage_graph
from reseed.store.atomic import write_text

_BOX, _GAP = (230, 62), (70, 22)  # of the lineage, in pixels
_DIGEST = 12


@dataclass(frozen=True)
class Box:
    """A node of the lineage where it is drawn."""

    node: Node
    x: float
    y: float
    is_audited: bool

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


def write_page(path: Path, evidence: Evidence, audit: Audit, words: Wording) -> None:
    """Write the page; its findings are in these words already."""
    store, declared, by_status = evidence.store, evidence.store.header.declaration, (FAILED, PASSED, SKIPPED)
    page = render(
        "auditing/audit.html.j2",
        title=f"Audit of {store.path}",
        verdict=audit.verdict,
        is_sound=not audit.rules(FAILED),
        subtitle=f"{len(store.vectors):,} vectors of {declared.dim} dimensions, {declared.dtype} · "
        f"{store.utterances:,} {words.say('utterances')} · {len(declared.views)} views · space {declared.space}",
        fingerprint=store.header.fingerprint,
        findings=[
            (rule, words.say(_must_hold(rule)), audit.findings[rule]) for of in by_status for rule in audit.rules(of)
        ],
        plots=plots(evidence, words),
        say=words.say,
        projection=projected(evidence),
        farthest=farthest_rows(evidence),
        drift=_drift_rows(evidence),
        rooms=_room_rows(evidence),
        lineage=drawn_lineage(*lineage_graph(store.path, store.header)),
        box=_BOX,
        digest=_DIGEST,
    )
    write_text(path, page)


def _must_hold(rule: str) -> str:
    text = RULES[rule].__doc__ or ""
    return f"{text[:1].lower()}{text[1:].rstrip('.')}"


def _drift_rows(evidence: Evidence) -> list[Offender]:
    return [
        {
            "view": evidence.store.views[view],
            "SNR in dB, to 5 dB": "" if snr_db is None else f"{snr_db + 0.0:g}",  # no -0
            "rows": tally.count,
            "mean cosine with clean": round(tally.mean, 4),
            "standard deviation": round(tally.spread, 4),
        }
        for (view, snr_db), tally in evidence[Drift].in_order
    ]


def _room_rows(evidence: Evidence) -> list[Offender]:
    sounds = evidence[Sounds]
    return [
        evidence.with_replay(
            {"room": name, "rows": tally.count, "against what is usual": round(tally.mean, 4)},
            sounds.examples.get(name),
        )
        for name, tally in most_hurting(sounds.rooms)[:LISTED]
    ]


def drawn_lineage(store: Node, edges: list[tuple[Node, Node]]) -> Lineage:
    """Place what a store was made from to its left and what was made of it to its right."""
    column = {store: 0}
    column |= {target: 1 for source, target in edges if source == store}
    pending = [store]
    while pending:  # a source stands left of all that is made of it
        target = pending.pop()
        for source in (source for source, other in edges if other == target):
            column[source] = min(column.get(source, 0), column[target] - 1)
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
            boxes[node] = Box(node, place * (width + between), top + row * (height + below), node == store)
    lines = [(boxes[a].x + width, boxes[a].y + height / 2, boxes[b].x, boxes[b].y + height / 2) for a, b in edges]
    return Lineage(list(boxes.values()), lines, (max(by_column) + 1) * (width + between) - between, tallest)
