import csv
import io
import json
from dataclasses import replace

import pytest

from reseed.stages.audio.conditions import describe
from reseed.stages.audio.recipe import RECIPES, View
from reseed.stages.reporting.metrics.table import METRICS
from reseed.stages.reporting.results.group_eers import GroupEer
from reseed.stages.reporting.results.measure import Measured
from reseed.stages.reporting.table import Cell, Column, Row, Table, table_files
from reseed.stages.reporting.tables import (
    calibration_table,
    eer_table,
    group_tables,
    identification_tables,
    identified_among,
    kind_table,
    metric_tables,
    overview,
    summary_table,
)
from tests.stages.reporting.example import results_of
from tests.stages.reporting.results.test_summary import measured


def best_of_first_row(*eers):
    measurements = [measured(name, "clean", eer) for name, eer in zip("abc", eers, strict=False)]
    row = eer_table(results_of(measurements)).rows[0]
    return [cell.is_best for cell in row.cells]


def test_the_best_of_a_row_is_marked_where_it_leads_by_more_than_rounding():
    assert best_of_first_row(0.1000, 0.1001, 0.2) == [True, False, False]
    assert best_of_first_row(0.10001, 0.10002, 0.2) == [False, False, False]
    assert best_of_first_row(0.1, 0.2, 0.2) == [True, False, False]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_condition_of_a_published_recipe_has_a_row_heading_of_its_own(recipe):
    (conditions,) = describe({name: View(**view).recipe() for name, view in RECIPES[recipe]["views"].items()})
    measurements = [replace(measured("raw", "clean", 0.1), condition=found) for found in conditions.values()]
    headings = [row.heading for row in eer_table(results_of(measurements)).rows if row.key]
    assert len(set(headings)) == len(conditions)
    assert "codec" not in headings


def test_a_system_alone_is_not_the_best():
    assert best_of_first_row(0.1) == [False]


def test_identification_says_among_how_many_speakers():
    keys = ("identification_accuracy", "identification_top5", "identification_speakers")
    one = measured("raw", "clean", 0.1, **dict(zip(keys, (0.5, 0.75, 60), strict=True)))
    two = measured("seed", "clean", 0.1, **dict(zip(keys, (0.75, 1.0, 58), strict=True)))
    assert identified_among([one]) == "60"
    assert identified_among([one, two]) == "58 to 60"
    first, five = identification_tables(results_of([one, two]))
    assert first.unit == "in % among 58 to 60 speakers"
    assert [(cell.text, cell.is_best) for cell in first.rows[0].cells] == [("50.0", False), ("75.0", True)]
    assert [cell.text for cell in five.rows[0].cells] == ["75.0", "100.0"]
    assert identification_tables(results_of([measured("raw", "clean", 0.1)])) == []


def test_every_metric_that_has_a_table_is_on_the_page_for_each_way_of_scoring_or_once():
    values = {metric.key: 0.25 for metric in METRICS if metric.key != "eer"}
    measurements = [measured("raw", "clean", 0.25, **values)]
    results = results_of(measurements)
    tables = metric_tables(results) + identification_tables(results)
    shown = [metric for metric in METRICS if metric.table]
    assert {(table.title, table.rows[0].cells[0].text) for table in tables} == {
        (metric.title, f"{25 if metric.table.percent else 0.25:.{metric.table.digits}f}") for metric in shown
    }
    assert {table.name for table in tables} >= {"min-dcf", "eer-nearest", "identification-top1"}


def test_gains_are_those_over_centring_and_over_raw_where_there_are_centred_vectors():
    spaces = {"raw": "ge2e:1", "centre": "ge2e:1+centre:2", "seed": "ge2e:1+seed:3"}
    eers = {"raw": (0.04, 0.2), "centre": (0.04, 0.1), "seed": (0.05, 0.08)}
    measurements = [
        measured(name, view, eer, backbone=spaces[name])
        for name, both in eers.items()
        for view, eer in zip(("clean", "noise_5db"), both, strict=True)
    ]
    gains = [f"against {other}, %, {part}" for other in ("centred", "raw") for part in ("clean", "mean noisy")]
    table = summary_table(results_of(measurements))
    assert [column.name for column in table.columns][2:] == gains
    values = [[cell.value for cell in row.cells[2:]] for row in table.rows]
    assert values[:2] == [[None] * 4, [None, None, *map(pytest.approx, (0, -50))]]
    assert values[2] == pytest.approx([25, -20, 25, -60])
    without = summary_table(results_of(measurements[:2] + measurements[4:]))
    assert [column.name for column in without.columns][2:] == gains[2:]


def test_the_overview_has_a_row_per_system_and_columns_per_scoring():
    measurements = [
        measured(name, view, eer, scoring=scoring)
        for name, scoring, clean, noisy in [
            ("raw", "cosine", 0.1, 0.2),
            ("raw", "as_norm", 0.08, 0.18),
            ("seed", "as_norm", 0.07, 0.1),
        ]
        for view, eer in [("clean", clean), ("noise_5db", noisy)]
    ]
    table = overview(results_of(measurements))
    assert [column.name for column in table.columns] == [
        "cosine, clean",
        "cosine, noisy",
        "as_norm, clean",
        "as_norm, noisy",
    ]
    assert [(row.heading, [cell.text for cell in row.cells]) for row in table.rows] == [
        ("raw", ["10.00", "20.00", "8.00", "18.00"]),
        ("seed", ["–", "–", "7.00", "10.00"]),
    ]
    assert [cell.is_best for cell in table.rows[1].cells] == [False, False, True, True]


def test_kinds_of_noise_have_a_table_where_one_has_several_conditions():
    recipes = {"n0": {"noise": 0}, "n5": {"noise": 5}, "rb": {"reverb": True, "babble": 5}}
    measurements = [
        measured(name, view, factor * eer, recipe=recipe)
        for name, factor in (("raw", 1), ("seed", 0.5))
        for (view, recipe), eer in zip(recipes.items(), (0.3, 0.2, 0.4), strict=True)
    ]
    table = kind_table(results_of(measurements))
    assert table.name == "eer_by_kind"
    assert [(row.heading, [(cell.text, cell.is_best) for cell in row.cells]) for row in table.rows] == [
        ("noise, mean of 2", [("25.00", False), ("12.50", True)]),
        ("reverb + babble", [("40.00", False), ("20.00", True)]),
    ]
    assert kind_table(results_of(measurements, shared_views={"n0", "rb"})) is None
    assert kind_table(results_of()) is None


def test_the_calibration_table_names_each_system_by_its_scoring_before_calibration():
    raw = measured("raw", "clean", 0.1)
    values = {"cllr": 0.4, "min_cllr": 0.3, "actual_dcf": 0.6, "min_dcf": 0.5}
    pooled = [Measured(replace(raw.system, scoring="cosine+calibrated"), values)]
    table = calibration_table(results_of([raw], pooled=pooled))
    assert [(row.heading, [cell.value for cell in row.cells]) for row in table.rows] == [
        ("raw · cosine", [0.4, 0.3, 0.6, 0.5])
    ]
    assert calibration_table(results_of([raw])) is None


def test_groups_of_too_few_trials_are_no_rows():
    raw = measured("raw", "clean", 0.1)
    groups = [
        GroupEer(raw.system, "gender", "both female", part, 1, 40, 90, eer)
        for part, eer in [("clean", 0.1), ("noisy", 0.2)]
    ]
    groups.append(GroupEer(raw.system, "gender", "both male", "clean", 1, 3, 90, None))
    (table,) = group_tables(results_of([raw], groups=groups))
    assert [(row.heading, row.cells[0].text) for row in table.rows] == [
        ("both female, clean", "10.00"),
        ("both female, noisy", "20.00"),
    ]


@pytest.fixture
def files():
    columns = [Column("a_1 & b"), Column("noisy", "as_norm")]
    cells = [Cell("1.23", "1.0–1.5", is_best=True, value=1.2345, interval=(1.0, 1.5)), Cell()]
    return table_files(Table("t", "100 % sure", "in %", "system", columns, [Row("x~y", "", cells)]))


def test_a_table_as_csv_and_json_has_unrounded_numbers_and_intervals(files):
    (row,) = csv.DictReader(io.StringIO(files["t.csv"]))
    assert row == {
        "system": "x~y",
        "a_1 & b": "1.2345",
        "a_1 & b, 95 % low": "1.0",
        "a_1 & b, 95 % high": "1.5",
        "as_norm, noisy": "",
    }
    made = json.loads(files["t.json"])
    assert (made["title"], made["unit"]) == ("100 % sure", "in %")
    assert made["rows"][0]["a_1 & b"] == 1.2345
    assert made["rows"][0]["as_norm, noisy"] is None


def test_a_table_as_latex_escapes_what_latex_would_take_for_commands(files):
    lines = files["t.tex"].splitlines()
    assert r"\caption{100 \% sure: in \%.}" in lines
    assert r"system & a\_1 \& b & as\_norm, noisy \\" in lines
    assert r"x\textasciitilde{}y & \textbf{1.23} {\scriptsize (1.0--1.5)} & -- \\" in lines
    assert lines.count(r"\begin{tabular}{lrr}") == 1


def test_a_table_as_markdown_escapes_what_markdown_would_take_for_its_own(files):
    lines = files["t.md"].splitlines()
    assert lines[0] == r"| system | a\_1 & b | as\_norm, noisy |"
    assert lines[1] == "| --- | ---: | ---: |"
    assert lines[2] == "| x~y | **1.23** (1.0–1.5) | – |"
    assert lines[-1] == "100 % sure: in %."


@pytest.mark.parametrize(("p", "mark"), [(0.2, ""), (0.05, ""), (0.049, "*"), (0.0099, "**"), (0.0009, "***")])
def test_marks_of_significance_are_in_all_that_is_read_and_are_explained(p, mark):
    cells = [Cell("1.2", value=1.2, p_value=p)]
    files = table_files(Table("t", "T", "in %", "system", [Column("EER")], [Row("x", "", cells)]))
    assert (f"1.2$^{{{mark}}}$" in files["t.tex"]) == bool(mark)
    assert f"| x | 1.2{mark.replace('*', chr(92) + '*')} |" in files["t.md"]
    for name in ("t.tex", "t.md"):
        assert ("0.001" in files[name]) == bool(mark)
    assert "*" not in files["t.csv"]
