"""Tables of what got worse: how many decisions changed, and trials that are now decided wrongly."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from reseed.stages.reporting.cells import number_cell
from reseed.stages.reporting.results.flips import Changed, Flipped, Worse
from reseed.stages.reporting.table import ABSENT, Cell, Column, Row, Table


def flip_tables(found: Iterable[Flipped], labels: Mapping[str, str] | None = None) -> list[Table]:
    """Return a table of all trials and, folded, one by condition and one of examples for each system.

    Args:
        labels: what conditions are called, where not by their names.
    """
    names, found = labels or {}, list(found)
    changed = [counts for each in found for counts in each.changed]
    worse = [trial for each in found for trial in each.worse]
    pooled = [counts for counts in changed if not counts.condition]
    by_condition = [counts for counts in changed if counts.condition]
    tables = [_changed_table("changed", "What changed", pooled, names)] if pooled else []
    if by_condition:
        tables.append(_changed_table("changed-by-condition", "What changed by condition", by_condition, names))
    for number, system in enumerate(dict.fromkeys(each.system for each in worse), 1):
        tables.append(_worse_table(f"worse-{number}", [each for each in worse if each.system == system], names))
    return [table if table.name == "changed" else replace(table, is_folded=True) for table in tables]


def _changed_table(name: str, title: str, changed: Sequence[Changed], labels: Mapping[str, str]) -> Table:
    before, after = "right before, now wrong", "wrong before, now right"
    columns = [Column(what, which) for which in (before, after) for what in ("misses", "false alarms")]
    rows = []
    for each in changed:
        counts = (each.new_misses, each.new_false_alarms, each.mended_misses, each.mended_false_alarms)
        shown = [number_cell(count, 0) for count in (*counts, each.targets + each.nontargets)]
        where = f", {labels.get(each.condition, each.condition)}" if each.condition else ""
        rows.append(Row(f"{each.system} against {each.other}{where}", each.condition, shown))
    unit = "decisions, each system at its own threshold"
    return Table(name, title, unit, "system", [*columns, Column("trials")], rows)


def _worse_table(name: str, found: Sequence[Worse], labels: Mapping[str, str]) -> Table:
    system, other = found[0].system, found[0].other
    columns = [Column("picked"), Column("label"), Column("condition"), Column(other, "score"), Column(system, "score")]
    columns += [Column("to hear it", is_folded=True)] if any(each.to_hear for each in found) else []
    rows = []
    for each in found:
        texts = (
            "at random" if each.is_drawn else "worst",
            "target" if each.is_target else "non-target",
            labels.get(each.condition, each.condition) or ABSENT,
        )
        cells = [*map(Cell, texts), number_cell(each.before), number_cell(each.after)]
        cells += [Cell("\n".join(each.to_hear) or ABSENT)] if len(columns) > len(cells) else []
        rows.append(Row(f"{each.enrolment_id} against {each.test_id}", each.test_id, cells, "trial"))
    at = f"accepted from {found[0].before_threshold:.3f} by {other}, from {found[0].after_threshold:.3f} by {system}"
    unit = f"decided rightly by {other}, wrongly by {system}; {at}"
    return Table(name, f"What got worse: {system} against {other}", unit, "trial", columns, rows)
