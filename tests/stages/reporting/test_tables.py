from dataclasses import replace

from stages.reporting.load import Identified
from stages.reporting.summary import summarise
from stages.reporting.tables import eer_table, identified_among, metric_tables
from stages.reporting.words import system_labels
from tests.stages.reporting.test_summary import measured


def best_of_first_row(*eers):
    measurements = [measured(name, "clean", eer) for name, eer in zip("abc", eers, strict=False)]
    summaries = summarise(measurements)
    row = eer_table(measurements, summaries, system_labels([s.system for s in summaries]))[0]
    return [cell.is_best for cell in row.cells]


def test_the_best_of_a_row_is_marked_where_it_leads_by_more_than_rounding():
    assert best_of_first_row(0.1000, 0.1001, 0.2) == [True, False, False]
    assert best_of_first_row(0.10001, 0.10002, 0.2) == [False, False, False]
    assert best_of_first_row(0.1, 0.2, 0.2) == [True, False, False]


def test_a_system_alone_is_not_the_best():
    assert best_of_first_row(0.1) == [False]


def test_identification_says_among_how_many_speakers():
    one = replace(measured("raw", "clean", 0.1), identified=Identified(0.5, 60))
    two = replace(measured("seed", "clean", 0.1), identified=Identified(0.75, 58))
    assert identified_among([one]) == "60"
    assert identified_among([one, two]) == "58 to 60"
    table = metric_tables([one, two], system_labels([one.system, two.system]))[-1]
    assert table.unit == "accuracy in % among 58 to 60 speakers; higher is better"
    assert [(cell.text, cell.is_best) for cell in table.rows[0].cells] == [("50.0", False), ("75.0", True)]
