import csv
import html
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.report import ReportSettings, report
from reseed.stages.reporting.metrics.table import METRICS
from reseed.stages.reporting.plots.projection import project
from reseed.stages.reporting.results.embeddings import sample_speakers
from reseed.stages.score import score
from reseed.stages.trial_scoring.order import ScoreOrder
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.store import EmbeddingStore, ScoringError, StoreError
from tests.stages.scoring.example import add_scorings, fuse, make_example, with_scores, write_scores, write_trials

FEW = {"clean": {}, "noise_5db": {"noise": 5.0}, "noise_0db": {"noise": 0.0}, "reverb": {"reverb": True}}
SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
FAST = ReportSettings(bootstrap_replicates=40)


def make_report(example, directory, settings=FAST, say=False, **changes):
    inputs = {
        "scores": example.scores,
        "identification": example.identification,
        "stores": example.stores,
        "utterances": example.utterances,
        "title": "A title",
        "note": "A note",
        "config": "name: example\n",
    }
    said = report(report=directory, settings=settings, **{**inputs, **changes})
    return said if say else directory


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).replace("\u202f", " ").split())


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return make_example(tmp_path_factory.mktemp("example"), views=FEW, systems=("raw", "wccn", "mse"))


@pytest.fixture(scope="module")
def made(example, tmp_path_factory):
    return make_report(example, tmp_path_factory.mktemp("made") / "report")


@pytest.fixture(scope="module")
def rows(made):
    return json.loads((made / "metrics.json").read_text())


@pytest.fixture(scope="module")
def page(made):
    return (made / "index.html").read_text()


def test_retrieval_is_measured_of_speech_where_it_is_asked_for(example, tmp_path, rows, page):
    assert "recall_at_1" not in rows[0]
    assert "Retrieval" not in page
    made = make_report(example, tmp_path / "report", FAST.model_copy(update={"retrieval": True}))
    found = json.loads((made / "metrics.json").read_text())
    assert all(0 <= row["recall_at_1"] <= row["recall_at_5"] <= row["recall_at_10"] <= 1 for row in found)
    assert {row["retrieval_gallery"] for row in found} == {found[0]["retrieval_gallery"]}
    assert "probe_accuracy" in (made / "metrics.csv").read_text().splitlines()[0]
    assert "Linear probe" in (made / "index.html").read_text()
    assert json.loads((made / "tables" / "recall-at-1.json").read_text())


def test_metrics_have_one_row_per_system_and_condition_with_the_agreed_keys(rows, made):
    assert [(row["system"], row["condition"]) for row in rows[:4]] == [
        ("raw", "clean"),
        ("raw", "noise_5db"),
        ("raw", "noise_0db"),
        ("raw", "reverb"),
    ]
    assert len(rows) == 12
    agreed = [
        "system",
        "backbone",
        "space",
        "scoring",
        "condition",
        "trials",
        "targets",
        "unlabelled",
        "contradictory",
        "eer",
        "eer_ci95",
        "eer_nearest",
        "min_dcf",
        "actual_dcf",
        "p_target",
        "c_miss",
        "c_fa",
        "cllr",
        "min_cllr",
        "identification_accuracy",
        "identification_top5",
        "identification_speakers",
    ]
    assert {*agreed} <= {*rows[0]}
    agreed.remove("eer_ci95")  # two columns, at the end
    assert (made / "metrics.csv").read_text().splitlines()[0].split(",")[: len(agreed)] == agreed


def test_metrics_are_of_the_published_form(rows):
    schema = json.loads((SCHEMAS / "report.metrics.schema.json").read_text())
    jsonschema.validate(rows, schema)
    assert {metric.key for metric in METRICS} <= schema["items"]["properties"].keys()
    for wrong in ({"eer": 7.1}, {"min_dcf_ci95": [0.5]}, {"surprise": "text"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate([{**rows[0], **wrong}], schema)


def test_metrics_name_the_backbone_plainly_and_the_space_in_full(rows):
    assert {(row["system"], row["backbone"], row["space"]) for row in rows} == {
        ("raw", "toy", "toy:1"),
        ("wccn", "toy", "toy:1+wccn:2"),
        ("mse", "toy", "toy:1+mse:2"),
    }


def test_metrics_are_fractions_inside_their_intervals(rows, example):
    trials = pq.read_table(example.trials)["is_target"].to_pylist()
    for row in rows:
        assert 0 <= row["eer"] < 0.5
        low, high = row["eer_ci95"]
        assert low <= row["eer"] <= high
        assert 0 <= row["identification_accuracy"] <= row["identification_top5"] <= 1
        assert abs(row["eer_nearest"] - row["eer"]) < 0.02
        assert row["actual_dcf"] is None
        assert row["min_cllr"] <= row["cllr"]
        assert (row["trials"], row["targets"], row["p_target"]) == (len(trials), sum(trials), 0.05)
        assert (row["unlabelled"], row["contradictory"], row["identification_speakers"]) == (0, 0, 12)


def test_noise_costs_and_enhancement_helps_as_the_example_was_built(rows):
    eer = {(row["system"], row["condition"]): row["eer"] for row in rows}
    assert eer["raw", "clean"] < eer["raw", "noise_5db"] < eer["raw", "noise_0db"]
    assert eer["wccn", "noise_0db"] < eer["raw", "noise_0db"]


def test_the_csv_holds_the_rows_of_the_json(made, rows):
    with (made / "metrics.csv").open(newline="") as file:
        flat = list(csv.DictReader(file))
    assert [float(row["eer"]) for row in flat] == [row["eer"] for row in rows]
    assert [float(row["eer_ci95_low"]) for row in flat] == [row["eer_ci95"][0] for row in rows]


def test_the_summary_means_the_noisy_conditions_and_compares_with_raw(made, rows):
    summary = {row["system"]: row for row in json.loads((made / "summary.json").read_text())}
    noisy = {
        name: np.mean([row["eer"] for row in rows if row["system"] == name and row["condition"] != "clean"])
        for name in summary
    }
    assert summary["raw"]["noisy_eer"] == pytest.approx(noisy["raw"])
    assert summary["raw"]["noisy_change"] is None
    assert summary["wccn"]["noisy_change"] == pytest.approx(noisy["wccn"] / noisy["raw"] - 1)
    assert summary["wccn"]["noisy_change_ci95"][0] <= summary["wccn"]["noisy_change"]
    assert (summary["wccn"]["noisy_conditions"], summary["wccn"]["clean_conditions"]) == (3, 1)


def test_the_page_says_which_system_is_best_and_by_how_much(page, made):
    summary = {row["system"]: row for row in json.loads((made / "summary.json").read_text())}
    assert "wccn is best in noise" in text_of(page)
    assert f"{100 * summary['wccn']['noisy_eer']:.1f} %" in text_of(page)
    assert "on average over 3 noisy conditions" in text_of(page)


def test_the_page_marks_the_best_of_each_row(page, rows):
    table = page[page.index('id="eer-cosine"') : page.index("</table>", page.index('id="eer-cosine"'))]
    for view in FEW:
        row = re.search(rf'<tr class="\w+" data-condition="{view}">.*?</tr>', table).group()
        best = min(r["eer"] for r in rows if r["condition"] == view)
        assert f"{100 * best:.2f}" in re.search(r'<td class="best"[^>]*>([\d.]+)', row).group(1)


def test_the_page_is_one_file_that_asks_for_nothing(page):
    assert not re.search(r"""(src|href|url\()\s*=?\s*["']?(https?:|//|\./)""", page)
    assert not re.search(r"""(src|url\()\s*=?\s*["']?plots/""", page)  # a figure is on the page; its file is a link
    assert page.count('src="data:image/svg+xml,') == 8
    assert "<script src" not in page


def test_the_page_explains_its_conventions(page):
    text = text_of(page)
    for phrase in (
        "P_target = 0.05, C_miss = C_fa = 1",
        "bias-corrected percentiles (Efron, 1981) of 40 bootstrap replicates over speakers",
        "convex hull",
        "not calibrated",
        "12 speakers",
        "not the seed of training or the noises drawn",
        "Closed set of 12 speakers",
        "one threshold for all conditions",
    ):
        assert phrase in text


def test_the_page_says_what_was_compared(page):
    text = text_of(page)
    for phrase in (
        "raw The backbone's embeddings as they are. Space toy:1 ",
        "wccn View-WCCN: whitening by the covariance that the views of one crop span. Settings epochs 3 "
        "Space toy:1+wccn:2 ",
        "Always from the view “clean”",
        "Mean of 2 crops of 1.6 s per utterance",
        "regardless of gender and age",
        "66 of 66 possible pairs of speakers occur",
    ):
        assert phrase in text
    for phrase in ("Unlabelled", "Left out", "Babble", "contradicts"):
        assert phrase not in text


def test_a_second_run_gives_the_same_bytes_and_nothing_of_an_earlier_report_lingers(example, made, tmp_path):
    stale = [
        tmp_path / "again" / name
        for name in (
            "plots/old.dark.svg",
            "plots/old.light.svg",
            *(f"tables/old.{end}" for end in ("csv", "tex", "json")),
        )
    ]
    mine = [tmp_path / "again" / name for name in ("plots/mine.svg", "tables/mine.csv")]
    for path in (*stale, *mine):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    with pytest.raises(ScoringError, match="again holds 'plots' and no report, so nothing is put there"):
        make_report(example, tmp_path / "again")
    assert all(path.read_text() == "old" for path in (*stale, *mine))
    (tmp_path / "again" / "metrics.json").write_text("[]")
    again = make_report(example, tmp_path / "again")
    assert not any(path.exists() for path in stale)
    for path in mine:
        assert path.read_text() == "old"
        path.unlink()
    names = sorted(str(path.relative_to(made)) for path in made.rglob("*.*"))
    tables = ["summary", "eer", "eer_by_kind", "space", "rank-changes", *(metric for metric in METRICS if metric.table)]
    tables += ["changed", "changed-by-condition", "worse-1", "worse-2"]
    assert sum(name.startswith("tables/") for name in names) == 4 * len(tables)
    assert sum(name.startswith("plots/") for name in names) == 3 * 8
    assert len(names) == 11 + 4 * len(tables) + 3 * 8
    for name in names:
        assert (again / name).read_bytes() == (made / name).read_bytes()


def test_the_data_of_every_figure_lie_beside_it(made, page, rows):
    shown = {path.name.removesuffix(".light.svg") for path in (made / "plots").glob("*.light.svg")}
    found = {}
    for name in shown:
        assert f'href="plots/{name}.csv"' in page
        with (made / "plots" / f"{name}.csv").open(newline="") as file:
            found[name] = list(csv.DictReader(file))
        assert found[name], name
    eers = {(row["system"], row["condition"]): float(row["eer"]) for row in found["eer_by_condition-cosine"]}
    expected = {(row["system"], row["condition"]): row["eer"] for row in rows}
    assert eers["wccn", "clean"] == pytest.approx(expected["wccn", "clean"], rel=1e-5)
    assert {row["curve"] for row in found["roc-cosine"]} == {"measured", "hull"}


def test_title_note_and_ids_are_escaped(tmp_path):
    views = {"clean": {}, '<b>$x$ -- "view': "foreign recipe & more"}
    example = make_example(tmp_path, views=views, systems=("raw", "wccn"))
    for path in example.scores:
        table = pq.read_table(path)
        write_scores(path, with_scores(table, table["score"].to_numpy(), scoring='../<b>"odd" & 1'))
    page = (make_report(example, tmp_path / "r", title="<i>T</i>", note="a & <b>") / "index.html").read_text()
    assert "<i>" not in page
    assert "<b>" not in page
    assert "&lt;b&gt;$x$ -- &#34;view" in page
    assert "&lt;b&gt;&#34;odd&#34; &amp; 1" in page
    assert {path.name for path in (tmp_path / "r").iterdir() if path.is_dir()} == {"plots", "tables"}
    assert (tmp_path / "r" / "tables" / "eer-..__b__odd____1.csv").exists()


@pytest.mark.parametrize("views", [{"clean": {}}, {"noise_5db": {"noise": 5.0}}], ids=["clean", "noisy"])
def test_one_system_under_one_condition_is_enough(tmp_path, views, monkeypatch):
    monkeypatch.setattr(
        "tests.stages.scoring.example.ScoreSettings", lambda: ScoreSettings(enrolment_view=next(iter(views)))
    )
    example = make_example(tmp_path, views=views, systems=("raw",))
    made = make_report(example, tmp_path / "report")
    assert len(json.loads((made / "metrics.json").read_text())) == 1
    assert "raw: an EER of" in text_of((made / "index.html").read_text())


def test_without_speakers_there_are_no_intervals_and_no_picture_of_speakers(tmp_path):
    example = make_example(tmp_path, views=FEW, systems=("raw", "wccn"), speakers_known=False)
    made = make_report(example, tmp_path / "report")
    rows = json.loads((made / "metrics.json").read_text())
    assert {row["eer_ci95"] for row in rows} == {None}
    assert {row["identification_accuracy"] for row in rows} == {None}
    assert not list((made / "plots").glob("projection*"))
    assert "speakers unknown" in (made / "index.html").read_text()


def test_identification_stores_and_intervals_can_be_left_out_and_one_sentence_is_returned(example, tmp_path, capsys):
    settings = ReportSettings(bootstrap_replicates=0)
    made = tmp_path / "report"
    said = make_report(example, made, settings, identification=[], stores=[], note="", say=True)
    assert said == f"{made}: 3 systems in 4 conditions, see {made}/index.html"
    assert capsys.readouterr() == ("", "")
    assert {row["identification_accuracy"] for row in json.loads((made / "metrics.json").read_text())} == {None}
    assert 'class="note"' not in (made / "index.html").read_text()


def test_enhancers_without_raw_are_compared_among_themselves(example, tmp_path):
    chosen = {"scores": example.scores[1:], "identification": [], "stores": example.stores[1:]}
    page = (make_report(example, tmp_path / "report", **chosen) / "index.html").read_text()
    assert "There is no raw system to compare it with." in text_of(page)


def test_unlabelled_trials_are_counted_and_in_no_metric(example, tmp_path):
    trials = pq.read_table(example.trials).to_pylist()
    rows = [
        (*list(trial.values())[:2], trial["is_target"] if index % 3 else None, None)
        for index, trial in enumerate(trials)
    ]
    scores, identification = tmp_path / "scores.parquet", tmp_path / "identification.parquet"
    score(
        ScoreOrder(
            store=example.stores[0],
            trials=write_trials(tmp_path / "trials.parquet", rows),
            utterances=example.utterances,
            scores=scores,
            identification=identification,
            system="raw",
            settings=ScoreSettings(),
        )
    )
    chosen = {"scores": [scores], "identification": [identification], "stores": [example.stores[0]]}
    made = make_report(example, tmp_path / "report", **chosen)
    row = json.loads((made / "metrics.json").read_text())[0]
    unlabelled = sum(row[2] is None for row in rows)
    assert (row["unlabelled"], row["trials"]) == (unlabelled, len(rows) - unlabelled)
    assert f"in no metric: {unlabelled}" in text_of((made / "index.html").read_text())


def test_a_condition_of_one_class_is_an_error_that_names_system_and_condition(example, tmp_path):
    table = pq.read_table(example.scores[0])
    chosen = table.filter(pa.compute.fill_null(table["is_target"], False))
    pq.write_table(chosen, tmp_path / "targets.parquet")
    with pytest.raises(ScoringError, match="raw, condition clean: .* target and 0 non-target scores"):
        make_report(example, tmp_path / "r", scores=[tmp_path / "targets.parquet"], identification=[], stores=[])


def test_lists_of_different_length_are_an_error(example, tmp_path):
    with pytest.raises(ScoringError, match="3 score files but 2 stores"):
        make_report(example, tmp_path / "r", stores=example.stores[:2])


def test_stores_in_another_order_than_the_scores_are_an_error(example, tmp_path):
    with pytest.raises(StoreError, match=r"has fingerprint \w+, but .*raw.parquet was scored from"):
        make_report(example, tmp_path / "r", stores=example.stores[::-1])


def test_identification_in_another_order_than_the_scores_is_an_error(example, tmp_path):
    with pytest.raises(ScoringError, match="identifies by mse, .*raw.parquet scores raw"):
        make_report(example, tmp_path / "r", identification=example.identification[::-1])


def test_one_system_twice_is_an_error(example, tmp_path):
    twice = [example.scores[0]] * 2
    with pytest.raises(ScoringError, match="both score"):
        make_report(example, tmp_path / "r", scores=twice, identification=[], stores=[])


def test_no_score_files_are_an_error(example, tmp_path):
    with pytest.raises(ScoringError, match="no score files"):
        make_report(example, tmp_path / "r", scores=[], identification=[], stores=[])


def test_a_file_that_is_no_score_file_is_named(example, tmp_path):
    (tmp_path / "x.parquet").write_text("x")
    with pytest.raises(ScoringError, match=r"x.parquet is not a score file"):
        make_report(example, tmp_path / "r", scores=[tmp_path / "x.parquet"], identification=[], stores=[])
    pq.write_table(pq.read_table(example.scores[0]).replace_schema_metadata(None), tmp_path / "x.parquet")
    with pytest.raises(ScoringError, match="does not say what it was scored from"):
        make_report(example, tmp_path / "r", scores=[tmp_path / "x.parquet"], identification=[], stores=[])
    pq.write_table(pq.read_table(example.scores[0]).replace_schema_metadata({"reseed": "{}"}), tmp_path / "x.parquet")
    with pytest.raises(ScoringError, match="does not say what it was scored from"):
        make_report(example, tmp_path / "r", scores=[tmp_path / "x.parquet"], identification=[], stores=[])


def with_labels_turned(path, source, places):
    """Copy a score file, the labels of some trials turned in every condition."""
    table = pq.read_table(source)
    trials = table.num_rows // len(FEW)
    labels = [label != (row % trials in places) for row, label in enumerate(table["is_target"].to_pylist())]
    place = table.schema.get_field_index("is_target")
    pq.write_table(table.set_column(place, "is_target", pa.array(labels)), path)
    return path


def test_contradicted_labels_are_counted_and_said_and_are_in_no_replicate(example, tmp_path, capsys):
    turned = with_labels_turned(tmp_path / "turned.parquet", example.scores[0], {0, 1484})
    table = pq.read_table(example.scores[0])
    kept = [row % 1485 not in (0, 1484) for row in range(table.num_rows)]
    pq.write_table(table.filter(pa.array(kept)), tmp_path / "without.parquet")
    intervals, counts = [], []
    for scores in (turned, tmp_path / "without.parquet"):
        made = make_report(example, tmp_path / scores.stem, scores=[scores], identification=[], stores=[])
        rows = json.loads((made / "metrics.json").read_text())
        intervals.append([row["eer_ci95"] for row in rows])
        counts.append({row["contradictory"] for row in rows})
    # Intervals are corrected by where the replicates lie about the value, in which they count.
    np.testing.assert_allclose(*intervals, atol=0.01)
    assert counts == [{2}, {0}]
    sentence = "The manifest contradicts the label of 2 of 1,485 trials"
    assert sentence in text_of((tmp_path / "turned" / "index.html").read_text())
    assert capsys.readouterr().err.count(sentence) == 1


@pytest.fixture(scope="module")
def scored_in_ways(tmp_path_factory):
    """Two systems scored in two ways, both calibrated, and their fusion."""
    root = tmp_path_factory.mktemp("ways")
    example = make_example(root, views=FEW, systems=("raw", "wccn"), described=True)
    add_scorings(example, "as_norm", "cosine+calibrated", "as_norm+calibrated")
    fused = fuse(example, "raw", "wccn", "as_norm+calibrated", root / "scores" / "fused.parquet")
    return example, [*example.scores, fused]


@pytest.fixture(scope="module")
def ways(scored_in_ways, tmp_path_factory):
    example, scores = scored_in_ways
    settings = ReportSettings(bootstrap_replicates=100)
    return make_report(example, tmp_path_factory.mktemp("ways") / "report", settings, scores=scores)


def read(made, name):
    return json.loads((made / name).read_text())


def test_every_scoring_has_its_rows_and_calibrated_ones_an_actual_dcf(ways):
    rows = read(ways, "metrics.json")
    assert len(rows) == 4 * (2 * 4 + 1)
    for row in rows:
        assert (row["actual_dcf"] is not None) == row["scoring"].endswith("+calibrated")
        assert (row["identification_top5"] is not None) == (row["scoring"] == "cosine")
        if row["actual_dcf"] is not None:
            assert row["actual_dcf"] >= row["min_dcf"]


def test_calibrated_systems_are_in_the_eer_tables_only_where_calibration_changes_the_order(ways):
    shown = [(row["system"], row["scoring"]) for row in read(ways, "summary.json")]
    assert shown == [
        ("raw", "cosine"),
        ("raw", "as_norm"),
        ("wccn", "cosine"),
        ("wccn", "as_norm"),
        ("raw+wccn", "as_norm+calibrated"),
    ]
    overview, calibration = read(ways, "tables/overview.json"), read(ways, "tables/calibration.json")
    assert [row["system"] for row in overview["rows"]] == ["raw", "wccn", "raw+wccn"]
    assert [row["system"] for row in calibration["rows"]] == [
        "raw · cosine",
        "wccn · cosine",
        "raw · as_norm",
        "wccn · as_norm",
        "raw+wccn · as_norm",
    ]


def test_the_tables_hold_the_numbers_of_the_metrics(ways):
    eer = {(r["system"], r["scoring"], r["condition"]): r["eer"] for r in read(ways, "metrics.json")}
    with (ways / "tables" / "eer-as_norm.csv").open(newline="") as file:
        clean = next(csv.DictReader(file))
    assert float(clean["wccn"]) == pytest.approx(100 * eer["wccn", "as_norm", "clean"])
    assert float(clean["raw+wccn"]) == pytest.approx(100 * eer["raw+wccn", "as_norm+calibrated", "clean"])


def test_the_words_give_the_changes_and_p_values_of_the_summary(ways):
    text = text_of((ways / "index.html").read_text()).replace("−", "-")
    summary = {(row["system"], row["scoring"]): row for row in read(ways, "summary.json")}
    best = min(summary.values(), key=lambda row: row["noisy_eer"])
    assert f"{best['system']} · {best['scoring'].removesuffix('+calibrated')} is best in noise" in text
    assert f"a change of {100 * best['noisy_change']:.0f} %" in text
    assert f"; p = {best['noisy_change_p']:.3f})" in text
    alone = summary["raw", "as_norm"]["noisy_eer"] / summary["raw", "cosine"]["noisy_eer"] - 1
    assert f"as_norm alone changes the EER of raw · cosine by {100 * alone:.0f} % (" in text


def test_groups_are_written_and_what_is_left_out_is_said(ways):
    groups = read(ways, "groups.json")
    assert {row["grouping"] for row in groups} == {"gender", "age", "duration"}
    with (ways / "groups.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(groups)
    text = text_of((ways / "index.html").read_text())
    assert "Left out, with fewer than 30 targets or non-targets in a condition: " in text
    assert "of different gender (0 targets, " in text


def test_without_gender_and_age_the_page_says_that_the_manifest_does_not_tell(page):
    assert "No breakdown by gender, age and duration: the manifest does not tell" in text_of(page)


def test_quality_measures_that_reorder_trials_make_a_system_of_its_own(scored_in_ways, tmp_path):
    example, _ = scored_in_ways
    paths = []
    for path in example.scores:
        table = pq.read_table(path)
        plain = table.filter(pa.compute.equal(table["scoring"].cast(pa.string()), "cosine"))
        long = np.array([test_id.endswith(("1", "2")) for test_id in plain["test_id"].to_pylist()])
        moved = with_scores(plain, 20 * plain["score"].to_numpy() - 3 * long, scoring="cosine+calibrated")
        paths.append(write_scores(tmp_path / path.name, pa.concat_tables([plain, moved])))
    settings = ReportSettings(bootstrap_replicates=0)
    made = make_report(example, tmp_path / "report", settings, scores=paths, identification=[], stores=[])
    names = list(read(made, "tables/eer-cosine.json")["rows"][0])
    assert [name for name in names if "95" not in name] == [
        "condition",
        "raw",
        "raw · calibrated",
        "wccn",
        "wccn · calibrated",
    ]
    assert not (made / "tables" / "overview.csv").exists()


def test_only_fused_systems_may_lack_a_store_and_only_at_the_end(scored_in_ways, tmp_path):
    example, scores = scored_in_ways
    with pytest.raises(ScoringError, match="3 score files but 1 stores"):
        make_report(example, tmp_path / "r", scores=scores, stores=example.stores[:1])
    many = [*example.identification, scores[0]]
    with pytest.raises(ScoringError, match="2 score files but 3 identification files"):
        make_report(example, tmp_path / "r", scores=example.scores, identification=many)


def test_t_sne_draws_the_same_picture_twice_and_warns_of_its_distances(example, tmp_path):
    settings = ReportSettings(bootstrap_replicates=0, projection="tsne", projection_speakers=2)
    source = EmbeddingStore(example.stores[0])
    sample = sample_speakers(source, example.utterances, 2)
    first, second = (project(source, sample, "tsne", seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.noisy_UV2, second.noisy_UV2)
    assert np.isfinite(first.clean_U2).all()
    inputs = {"scores": example.scores[:1], "identification": [], "stores": example.stores[:1]}
    page = (make_report(example, tmp_path / "r", settings, **inputs) / "index.html").read_text()
    assert "t-SNE preserves neighbourhoods" in text_of(page)


def test_the_means_by_kind_are_those_of_the_metrics(made, rows):
    kinds = read(made, "tables/eer_by_kind-cosine.json")["rows"]
    noise = [r["eer"] for r in rows if r["system"] == "mse" and r["condition"].startswith("noise")]
    (reverb,) = (r["eer"] for r in rows if r["system"] == "mse" and r["condition"] == "reverb")
    assert [row["kind"] for row in kinds] == ["noise, mean of 2", "reverb"]
    assert [row["mse"] for row in kinds] == pytest.approx([100 * np.mean(noise), 100 * reverb])


def test_other_costs_are_on_the_page_and_in_the_rows_and_a_calibration_that_fails_is_named(scored_in_ways, tmp_path):
    example, scores = scored_in_ways
    table = pq.read_table(scores[0])
    shifted = table["score"].to_numpy() + 9 * np.array(
        [s.endswith("+calibrated") for s in table["scoring"].to_pylist()]
    )
    path = write_scores(tmp_path / "raw.parquet", with_scores(table, shifted))
    settings = ReportSettings(bootstrap_replicates=0, c_miss=2, c_fa=10)
    report = make_report(example, tmp_path / "r", settings, scores=[path, scores[1]], identification=[], stores=[])
    assert {(row["c_miss"], row["c_fa"]) for row in read(report, "metrics.json")} == {(2, 10)}
    text = text_of((report / "index.html").read_text())
    assert "DCF at a target prior of 0.05, C_miss = 2, C_fa = 10." in text
    assert text.count("P_target = 0.05, C_miss = 2, C_fa = 10") == 2
    assert "fitted on trials among training speakers who are held out of cohort and PLDA." in text
    worst = {row["system"]: row["actual DCF"] for row in read(report, "tables/calibration.json")["rows"]}
    assert all((cost > 1) == name.startswith("raw") for name, cost in worst.items())
    named = " and ".join(f"{name} ({cost:.2f})" for name, cost in worst.items() if cost > 1)
    assert f"The calibration of {named} does not hold: " in text
    assert "rejecting everyone would cost less" in text
