from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reseed.stages.interop.columns import Columns
from reseed.stages.interop.plan import make_plan, scan
from reseed.store import StoreError

WHERE = Path("faces.parquet")


def plan_of(*rows: tuple[str | None, int, str], views: tuple[str, ...] = (), chunk: int = 3):
    tables = []
    for start in range(0, len(rows), chunk):
        ids, crops, names = zip(*rows[start : start + chunk], strict=True)
        raw = pa.table({"utterance_id": pa.array(ids, pa.string()), "crop": crops, "view": names})
        tables.append(Columns().catalogue(raw, WHERE))
    return make_plan(scan(tables, WHERE), views, WHERE)


def test_rows_in_the_order_of_a_store_are_taken_as_they_come():
    plan = plan_of(*((u, crop, view) for u in "ba" for crop in range(2) for view in ("clean", "noise")))
    assert plan.is_in_order
    assert (plan.views, plan.crops, plan.expected) == (["clean", "noise"], 2, 2)
    np.testing.assert_array_equal(plan.order, np.arange(8))


def test_rows_in_any_other_order_are_sorted_by_utterance_crop_view():
    plan = plan_of(("b", 1, "noise"), ("a", 0, "noise"), ("b", 0, "noise"), ("a", 1, "noise"))
    assert not plan.is_in_order
    np.testing.assert_array_equal(plan.order, [2, 0, 1, 3])


def test_views_take_the_order_of_the_export_and_new_ones_follow():
    rows = [("a", 0, "hum"), ("a", 0, "noise"), ("a", 0, "clean")]
    assert plan_of(*rows).views == ["hum", "noise", "clean"]
    assert plan_of(*rows, views=("clean", "gone", "noise")).views == ["clean", "noise", "hum"]


def test_an_utterance_that_lacks_something_is_rejected_with_what_it_lacks():
    plan = plan_of(("a", 0, "clean"), ("b", 0, "clean"), ("a", 0, "noise"), ("c", 0, "noise"))
    np.testing.assert_array_equal(plan.order, [0, 2])
    assert plan.is_in_order
    assert {r.utterance_id: r.reason for r in plan.rejects} == {
        "b": "lacks crop 0 view noise",
        "c": "lacks crop 0 view clean",
    }
    assert plan.expected == 3


def test_a_row_that_comes_twice_and_one_without_id_are_rejected():
    plan = plan_of(("a", 0, "clean"), ("b", 0, "clean"), ("b", 0, "clean"), (None, 0, "clean"))
    np.testing.assert_array_equal(plan.order, [0])
    assert [(r.utterance_id, r.reason) for r in plan.rejects] == [
        ("b", "has crop 0 view clean more than once"),
        ("row 3", "has no utterance id"),
    ]
    assert plan.expected == 3


def test_a_repeated_row_does_not_make_up_for_a_missing_one():
    plan = plan_of(("a", 0, "x"), ("a", 0, "y"), ("b", 0, "x"), ("b", 0, "x"))
    assert [r.reason for r in plan.rejects] == ["has crop 0 view x more than once"]


def test_many_missing_rows_are_counted_not_listed():
    rows = [("a", crop, "clean") for crop in range(6)] + [("b", 0, "clean")]
    assert (
        plan_of(*rows).rejects[0].reason == "lacks crop 1 view clean, crop 2 view clean, crop 3 view clean and 2 more"
    )


def test_crops_must_be_numbered_from_zero():
    with pytest.raises(StoreError, match=r"faces.parquet: crops are numbered 1, 2; number them from 0"):
        plan_of(("a", 1, "clean"), ("a", 2, "clean"))


def test_nothing_complete_is_an_error_that_shows_the_first():
    with pytest.raises(StoreError, match=r"no utterance can be stored; the first, 'a', lacks crop 0 view noise"):
        plan_of(("a", 0, "clean"), ("b", 0, "noise"))
    with pytest.raises(StoreError, match="holds no rows"):
        scan([], WHERE)


def test_a_column_that_changes_its_type_is_named():
    tables = [pa.table({"utterance_id": ["a"], "age": value}) for value in ([1], ["old"])]
    with pytest.raises(StoreError, match="columns change their type .*age"):
        scan((Columns().catalogue(table, WHERE) for table in tables), WHERE)
