"""Tables of what got worse: how many decisions changed, and trials that are now decided wrongly."""

from collections.abc import Mapping, Sequence

from reseed.stages.reporting.cells import number_cell
from reseed.stages.reporting.results.flips import Changed, Worse
from reseed.stages.reporting.table import ABSENT, Cell, Column, Row, Table

_ALL = "all trials"


def changed_table(changed: Sequence[Changed], labels: Mapping[str, str]) -> Table:
    """Return a row for each system and condition; `labels` are what conditions are called, where not by their names."""
    before, after = "right before, now wrong", "wrong before, now right"
    columns = [Column(what, which) for which in (before, after) for what in ("misses", "false alarms")]
    rows, has_conditions = [], any(each.condition for each in changed)
    for each in changed:
        counts = (each.new_misses, each.new_false_alarms, each.mended_misses, each.mended_false_alarms)
        shown = [number_cell(count, 0) for count in (*counts, each.targets + each.nontargets)]
        where = labels.get(each.condition, each.condition) or _ALL
        heading = f"{each.system} against {each.other}, {where}"
        rows.append(Row(heading, each.condition, shown, "" if each.condition or not has_conditions else "mean"))
    unit = "decisions, each system at its own threshold"
    return Table("changed", "What changed", unit, "system", [*columns, Column("trials")], rows)


def worse_tables(worse: Sequence[Worse], labels: Mapping[str, str]) -> list[Table]:
    """Return a table for each system, with the trials that got worse."""
    names = dict.fromkeys(each.system for each in worse)
    return [
        _worse_table(f"worse-{number}", [each for each in worse if each.system == name], labels)
        for number, name in enumerate(names, 1)
    ]


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
