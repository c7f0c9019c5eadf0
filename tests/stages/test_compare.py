import json

import pyarrow.parquet as pq
import pytest

from reseed.stages.compare import compare
from reseed.stages.reporting.results.comparable import keep_comparable
from reseed.stages.reporting.results.files import RunFiles
from reseed.stages.reporting.results.load import load
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.store import ScoringError
from tests.stages.scoring.example import make_example
from tests.stages.test_report import FEW, text_of

FAST = ReportSettings(bootstrap_replicates=40)


def run_of(name, example):
    return RunFiles(name, example.scores, example.identification, example.stores, example.utterances)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return make_example(tmp_path_factory.mktemp("one"), views=FEW, systems=("raw", "wccn"))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The same trials, another enhancer, and one condition at another SNR, one more, and one less."""
    views = {"clean": {}, "noise_5db": {"noise": 10.0}, "noise_0db": {"noise": 0.0}, "music_0db": {"music": 0.0}}
    return make_example(tmp_path_factory.mktemp("two"), views=views, systems=("raw", "mse"))


@pytest.fixture(scope="module")
def made(one, two, tmp_path_factory):
    report = tmp_path_factory.mktemp("made") / "report"
    said = compare(runs=[run_of("first", one), run_of("second", two)], report=report, title="Two runs", settings=FAST)
    assert said == f"{report}: 4 systems in 2 conditions, see {report}/index.html"
    return report


def test_a_comparison_takes_the_place_of_an_earlier_one(one, two, made):
    compare(runs=[run_of("first", one), run_of("second", two)], report=made, title="Two runs", settings=FAST)


def test_systems_that_clash_carry_the_name_of_their_run(made):
    table = json.loads((made / "tables" / "eer-cosine.json").read_text())
    names = [name for name in table["rows"][0] if "95" not in name]
    assert names == ["condition", "raw · first", "wccn · first", "raw · second", "mse · second"]


def test_rows_name_the_run_and_raw_of_that_run_is_the_reference(made):
    rows = json.loads((made / "metrics.json").read_text())
    assert {(row["run"], row["system"]) for row in rows} == {
        ("first", "raw"),
        ("first", "wccn"),
        ("second", "raw"),
        ("second", "mse"),
    }
    summary = {(row["run"], row["system"]): row for row in json.loads((made / "summary.json").read_text())}
    change = summary["second", "mse"]["noisy_eer"] / summary["second", "raw"]["noisy_eer"] - 1
    assert summary["second", "mse"]["noisy_change"] == pytest.approx(change)


def test_only_conditions_that_agree_are_compared_and_the_page_says_what_differs_in_the_others(made):
    assert {row["condition"] for row in json.loads((made / "metrics.json").read_text())} == {"clean", "noise_0db"}
    text = text_of((made / "index.html").read_text())
    assert (
        "Left out because the runs differ: noise_5db is noise 5 dB in first, noise 10 dB in second; reverb is not "
        "in second; music_0db is not in first." in text
    )
    assert "Two runs 2 runs, 4 systems, 2 conditions, 12 speakers" in text


def test_runs_on_other_trials_are_refused_with_what_differs(one, tmp_path):
    fewer = []
    for path in one.scores:
        table = pq.read_table(path)
        fewer.append(tmp_path / path.name)
        kept = [row % 1485 != 7 for row in range(table.num_rows)]
        pq.write_table(table.filter(kept), fewer[-1])
    other = RunFiles("fewer", fewer, [], [], one.utterances)
    message = (
        r"first and fewer have no condition in common: clean has other trials \(1,485 trials in first, 1,484 .*fewer"
    )
    with pytest.raises(ScoringError, match=message):
        compare(runs=[run_of("first", one), other], report=tmp_path / "r", title="", settings=FAST)
    assert not (tmp_path / "r").exists()


def test_the_order_of_trials_makes_no_difference(one, tmp_path):
    table = pq.read_table(one.scores[0])
    turned = tmp_path / "turned.parquet"
    pq.write_table(table.take(list(range(table.num_rows - 1, -1, -1))), turned)
    paths = {"first": one.scores[0], "turned": turned}
    runs = [RunFiles(name, [path], [], [], one.utterances) for name, path in paths.items()]
    loaded, left_out = keep_comparable(load(runs))
    assert [len(scored.trials) for scored in loaded.systems] == [len(FEW)] * 2
    assert left_out == []


def test_fewer_than_two_runs_or_two_of_one_name_are_an_error(one, tmp_path):
    settings = {"report": tmp_path / "r", "title": "", "settings": FAST}
    with pytest.raises(ScoringError, match="1 run to compare; give two or more"):
        compare(runs=[run_of("a", one)], **settings)
    with pytest.raises(ScoringError, match="have one name"):
        compare(runs=[run_of("a", one), run_of("a", one)], **settings)
