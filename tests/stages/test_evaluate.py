import json
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import norm

from reseed.cli import main
from reseed.stages.evaluate import evaluate
from reseed.stages.scoring.detection_costs import Costs, threshold_of
from reseed.stages.scoring.metrics import cllr, eer, min_dcf
from reseed.store import ConfigError, ScoringError

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


@dataclass
class Written:
    """Files of one list of trials, and what is in them."""

    labels: object
    scores: object
    other: object
    is_target: np.ndarray
    score: np.ndarray


def write(folder, speakers: int = 40, count: int = 900, mark: str = "/", seed: int = 0, condition: str = ""):
    """A VoxCeleb list and two score files: targets and non-targets among speakers of three utterances each."""
    draw = np.random.default_rng(seed)
    trials = {}
    while len(trials) < count:
        first = int(draw.integers(speakers))
        second = first if len(trials) % 3 == 0 else int(draw.integers(speakers))
        pair = f"s{first}{mark}u{draw.integers(3)}.wav", f"s{second}{mark}v{draw.integers(9)}.wav"
        trials[pair] = first == second
    is_target = np.array([*trials.values()])
    score = draw.normal(size=count) + 2.5 * is_target
    worse = score + draw.normal(size=count)
    labels, scores, other = (folder / name for name in ("trials.txt", "good.txt", "worse.txt"))
    labels.write_text("".join(f"{int(same)} {a} {b}\n" for (a, b), same in trials.items()))
    for path, values in ((scores, score), (other, worse)):
        path.write_text("".join(f"{a} {b} {value!r}\n" for (a, b), value in zip(trials, values.tolist(), strict=True)))
    return Written(labels, scores, other, is_target, score)


def figures(found):
    return {row["system"]: row for row in found.to_json()["metrics"] if row["condition"] == "all trials"}


def test_metrics_are_those_of_the_scores_whatever_their_order(tmp_path):
    made = write(tmp_path)
    turned = made.scores.with_name("turned.txt")
    turned.write_text("".join(reversed(made.scores.read_text().splitlines(keepends=True))))
    split = made.score[made.is_target], made.score[~made.is_target]
    for path in (made.scores, turned):
        row = figures(evaluate(scores=[path], labels=made.labels, costs=["vox", "0.01+0.005"], llr=True))[path.stem]
        assert row["eer"] == pytest.approx(eer(*split), abs=1e-12)
        assert row["cllr"] == pytest.approx(cllr(*split), abs=1e-12)
        assert row["min_dcf vox"] == pytest.approx(min_dcf(*split, p_target=0.05), abs=1e-12)
        both = [min_dcf(*split, p_target=prior) for prior in (0.01, 0.005)]
        assert row["min_dcf 0.01+0.005"] == pytest.approx(np.mean(both), abs=1e-12)
        for name in ("eer", "cllr", "min_dcf vox", "actual_dcf vox"):
            low, high = row[f"{name}_ci95"]
            assert low < row[name] < high


def test_the_trial_list_may_stand_among_the_scores_and_scores_without_ids_are_in_its_order(tmp_path):
    made = write(tmp_path)
    bare = tmp_path / "bare.txt"
    bare.write_text("".join(f"{value!r}\n" for value in made.score.tolist()))
    found = figures(evaluate(scores=[made.labels, made.scores, bare], replicates=0))
    assert found["good"]["eer"] == found["bare"]["eer"]
    bare.write_text("0.5\n")
    with pytest.raises(ScoringError, match=r"has 1 scores without ids, but there are 900 trials in .*trials.txt"):
        evaluate(scores=[bare], labels=made.labels)


@pytest.mark.parametrize(("mark", "told"), [("/", "their first folder"), ("-", "before their first hyphen")])
def test_speakers_are_told_by_ids_that_no_label_contradicts(tmp_path, mark, told):
    made = write(tmp_path, mark=mark)
    found = evaluate(scores=[made.scores], labels=made.labels)
    assert found.evaluation.speakers.count == 40
    assert told in found.to_json()["speakers_told"]


def test_target_trials_tell_speakers_where_ids_do_not(tmp_path):
    made = write(tmp_path)
    for path in (made.labels, made.scores):
        path.write_text(path.read_text().replace("/", "_of_"))
    same = evaluate(scores=[made.scores], labels=made.labels)
    for path in (made.labels, made.scores):
        text = path.read_text()
        for speaker in range(39, -1, -1):
            text = text.replace(f"s{speaker}_of_", f"{chr(97 + speaker % 26)}{speaker // 26}x")
        path.write_text(text)
    joined = evaluate(scores=[made.scores], labels=made.labels)
    assert joined.to_json()["speakers_told"] == "by which ids target trials join"
    assert joined.evaluation.speakers.count >= 40  # what no target trial joins counts by itself
    assert figures(joined)["good"]["eer"] == figures(same)["good"]["eer"]


def test_a_table_tells_speakers_and_has_to_tell_all(tmp_path):
    made = write(tmp_path)
    names = {name for line in made.labels.read_text().splitlines() for name in line.split()[1:]}
    table = tmp_path / "utt2spk"
    table.write_text("".join(f"{name} {name.partition('/')[0]}\n" for name in sorted(names)))
    by_ids, by_table = (evaluate(scores=[made.scores], labels=made.labels, speakers=s) for s in (None, table))
    assert figures(by_ids) == figures(by_table)
    table.write_text("s1/u1.wav s1\n")
    with pytest.raises(ScoringError, match="does not say who speaks in"):
        evaluate(scores=[made.scores], labels=made.labels, speakers=table)


def test_labels_against_the_speakers_are_counted_and_in_no_interval(tmp_path):
    made = write(tmp_path)
    table = tmp_path / "utt2spk"
    names = {name for line in made.labels.read_text().splitlines() for name in line.split()[1:]}
    table.write_text("".join(f"{name} {name.partition('/')[0]}\n" for name in sorted(names)))
    lines = made.labels.read_text().splitlines(keepends=True)
    made.labels.write_text("".join([f"{1 - int(lines[0][0])}{lines[0][1:]}", *lines[1:]]))
    found = evaluate(scores=[made.scores], labels=made.labels, speakers=table)
    assert any(text.startswith("1 trial is labelled against the speakers") for text in found.to_json()["warnings"])


def test_a_trial_without_a_score_is_refused_or_left_out_for_all(tmp_path):
    made = write(tmp_path)
    lines = made.other.read_text().splitlines(keepends=True)
    made.other.write_text("".join(lines[1:]))
    with pytest.raises(
        ScoringError, match=r"worse.txt: 1 of 900 trials have no score, e.g. s\d+/u\d.wav .*--allow-miss"
    ):
        evaluate(scores=[made.scores, made.other], labels=made.labels)
    found = figures(evaluate(scores=[made.scores, made.other], labels=made.labels, allow_missing=True))
    assert found["good"]["trials"] == found["worse"]["trials"] == 899


def test_a_trial_that_is_scored_twice_is_taken_where_both_scores_are_one(tmp_path):
    made = write(tmp_path)
    first = made.scores.read_text().splitlines(keepends=True)[0]
    once = figures(evaluate(scores=[made.scores], labels=made.labels))
    made.scores.write_text(made.scores.read_text() + first)
    assert figures(evaluate(scores=[made.scores], labels=made.labels)) == once
    made.scores.write_text(made.scores.read_text() + first.rsplit(" ", 1)[0] + " 9.5\n")
    with pytest.raises(ScoringError, match="twice and not alike; keep one of its lines"):
        evaluate(scores=[made.scores], labels=made.labels)


def test_unlabelled_scores_ask_for_a_list_and_one_class_alone_is_refused(tmp_path):
    made = write(tmp_path)
    with pytest.raises(ScoringError, match="has no labels; give a trial list as LABELS, or a column of labels"):
        evaluate(scores=[made.scores])
    made.scores.write_text("a b 0.5 target\na c 0.7 target\n")
    with pytest.raises(ScoringError, match=r"good, all trials: 2 target and 0 non-target scores"):
        evaluate(scores=[made.scores])


def test_conditions_are_measured_apart_and_may_weigh_alike_when_pooled(tmp_path):
    draw = np.random.default_rng(0)
    rows, by_condition = ["enrolment_id,test_id,score,label,condition"], {}
    for name, count, shift in (("tel", 400, 2.0), ("mic", 60, 0.5)):
        is_target = np.arange(count) % 2 == 0
        scores = draw.normal(size=count) + shift * is_target
        by_condition[name] = scores[is_target], scores[~is_target]
        rows += [
            f"{name}{n % 9}/e{n},{name}{(n if same else n + 1) % 9}/t{n},{score!r},{int(same)},{name}"
            for n, (score, same) in enumerate(zip(scores.tolist(), is_target, strict=True))
        ]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(rows))
    found = {row["condition"]: row for row in evaluate(scores=[path]).to_json()["metrics"]}
    assert {name: found[name]["eer"] for name in by_condition} == pytest.approx(
        {name: eer(*split) for name, split in by_condition.items()}
    )
    even = {row["condition"]: row for row in evaluate(scores=[path], equalise=True).to_json()["metrics"]}
    weights = [np.concatenate([np.full(200, 1 / 200), np.full(30, 1 / 30)])] * 2
    pooled = [np.concatenate([by_condition["tel"][side], by_condition["mic"][side]]) for side in (0, 1)]
    expected = eer(*pooled, target_weights=weights[0], nontarget_weights=weights[1])
    assert even["all trials"]["eer"] == pytest.approx(expected, abs=1e-12)
    assert even["all trials"]["eer"] > found["all trials"]["eer"]
    assert even["mic"] == found["mic"]


def test_p_values_are_corrected_for_all_pairs_and_power_is_that_of_the_spread(tmp_path):
    made = write(tmp_path)
    third = tmp_path / "third.txt"
    third.write_text(made.scores.read_text())
    found = evaluate(scores=[made.scores, made.other, third], labels=made.labels)
    differences = {(d["system"], d["other"]): d for d in found.to_json()["differences"] if d["metric"] == "eer"}
    assert len(differences) == 3
    plain = sorted(d["p_value"] for d in differences.values())
    steps = np.maximum.accumulate([min(1.0, (3 - rank) * p) for rank, p in enumerate(plain)])
    assert sorted(d["p_holm"] for d in differences.values()) == pytest.approx(steps.tolist())
    same = differences["good", "third"]
    assert (same["relative"], same["p_value"], same["detectable"]) == (0, 1, 0)
    good, worse = (m.eer.replicate_R for m in found.evaluation.found.pooled[:2])
    spread = np.std((good - worse) / figures(found)["worse"]["eer"])
    expected = (norm.ppf(0.975) + norm.ppf(0.8)) * spread
    assert differences["good", "worse"]["detectable"] == pytest.approx(expected)


def test_the_page_names_the_best_only_where_the_trials_tell_it(tmp_path):
    made = write(tmp_path)
    report = tmp_path / "report"
    evaluate(scores=[made.scores, made.other], labels=made.labels, report=report, title="Mine & <yours>")
    page = (report / "index.html").read_text()
    assert "Mine &amp; &lt;yours&gt;" in page
    assert "good is best, with an EER of" in page
    assert 'class="best"' in page
    assert {row["system"] for row in json.loads((report / "metrics.json").read_text())} == {"good", "worse"}
    assert (report / "tables" / "systems.tex").read_text().count("\\textbf") >= 3
    assert "<svg" in (report / "plots" / "bayes.light.svg").read_text()
    nearly = tmp_path / "nearly.txt"
    draw = np.random.default_rng(1)
    lines = [line.rsplit(" ", 1) for line in made.scores.read_text().splitlines()]
    nearly.write_text("".join(f"{ids} {float(score) + 0.02 * draw.normal()!r}\n" for ids, score in lines))
    evaluate(scores=[made.scores, nearly], labels=made.labels, report=report)
    page = (report / "index.html").read_text()
    assert "but these trials do not tell it from" in page
    assert 'class="best"' not in page


def test_metrics_are_of_the_published_form(tmp_path):
    made, report = write(tmp_path), tmp_path / "report"
    schema = json.loads((SCHEMAS / "evaluation.metrics.schema.json").read_text())
    for options in ({"llr": True, "costs": ["vox", "0.01+0.005"]}, {"replicates": 0}):
        evaluate(scores=[made.scores, made.other], labels=made.labels, report=report, **options)
        rows = json.loads((report / "metrics.json").read_text())
        jsonschema.validate(rows, schema)
        for wrong in ({"eer": 16.1}, {"eer_ci95": [0.1]}, {"surprise": 1}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate([{**rows[0], **wrong}], schema)


@pytest.mark.parametrize("name", ["metrics.json", "metrics.csv"])
def test_what_is_no_evaluation_is_not_replaced(tmp_path, name):
    made = write(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text('{"mine": 1}')
    with pytest.raises(ScoringError, match=name):
        evaluate(scores=[made.scores], labels=made.labels, report=tmp_path / "mine")
    assert (tmp_path / "mine" / name).read_text() == '{"mine": 1}'


def test_a_page_that_takes_the_place_of_another_leaves_none_of_its_tables(tmp_path):
    made, report = write(tmp_path), tmp_path / "report"
    evaluate(scores=[made.scores, made.other], labels=made.labels, report=report)
    assert (report / "tables" / "differences.csv").exists()
    (report / "tables" / "notes.csv").write_text("mine")
    evaluate(scores=[made.scores], labels=made.labels, report=report)
    assert {path.stem for path in (report / "tables").iterdir()} == {"systems", "notes"}


def test_of_two_files_without_scores_both_are_named(tmp_path):
    made = write(tmp_path)
    more = tmp_path / "more.txt"
    more.write_text(made.labels.read_text())
    with pytest.raises(
        ScoringError, match=r"trials.txt and .*more.txt have no column of scores; one trial list is taken"
    ):
        evaluate(scores=[made.scores, made.labels, more])


def test_an_unknown_cost_is_refused(tmp_path):
    made = write(tmp_path)
    with pytest.raises(ConfigError, match="there is no detection cost 'nist'"):
        evaluate(scores=[made.scores], labels=made.labels, costs=["nist"])


def test_the_command_prints_what_matters_in_text_and_json(tmp_path):
    made = write(tmp_path)
    names = [str(path) for path in (made.scores, made.other, made.labels)]
    shown = CliRunner().invoke(main, ["evaluate", *names])
    assert shown.exit_code == 0
    assert "intervals over 40 speakers, told by the ids: their first folder" in shown.output
    assert "good is best" in shown.output
    assert "\\u" not in shown.output
    found = json.loads(CliRunner().invoke(main, ["evaluate", *names, "--cost", "sre16", "--json"]).output)
    assert {"eer", "eer_ci95", "min_dcf sre16", "min_cllr"} <= found["metrics"][0].keys()


def test_what_got_worse_is_counted_and_listed_with_how_to_hear_it(tmp_path):
    made, report = write(tmp_path), tmp_path / "report"
    found = evaluate(
        scores=[made.scores, made.other], labels=made.labels, report=report, replicates=0, store=tmp_path / "a store"
    )
    (changed,) = found.to_json()["changed"]
    values = {}
    for path in (made.scores, made.other):
        scores = np.array([float(line.split()[2]) for line in path.read_text().splitlines()])
        at = threshold_of(scores[made.is_target], scores[~made.is_target], Costs(0.05), is_llr=False)
        values[path.stem] = (scores >= at) == made.is_target, scores
    right, now = values["good"][0], values["worse"][0]
    worse, mended = right & ~now, ~right & now
    expected = [np.count_nonzero(flip & mask) for flip in (worse, mended) for mask in (made.is_target, ~made.is_target)]
    names = ("new_misses", "new_false_alarms", "mended_misses", "mended_false_alarms")
    assert [changed[name] for name in names] == expected
    listed = json.loads((report / "flips.json").read_text())
    assert len(listed) == min(20, worse.sum())
    lines = {tuple(line.split()[:2]): place for place, line in enumerate(made.scores.read_text().splitlines())}
    for row in listed:
        place = lines[row["enrolment_id"], row["test_id"]]
        assert worse[place]
        assert (row["before"], row["after"]) == (values["good"][1][place], values["worse"][1][place])
    worst, drawn = ([row for row in listed if row["is_drawn"] is is_drawn] for is_drawn in (False, True))
    assert len(worst) == 10
    assert [row["margin"] for row in worst] == sorted(row["margin"] for row in worst)
    assert all(row["margin"] >= worst[-1]["margin"] for row in drawn)
    assert listed[0]["to_hear"][1].startswith(f"reseed replay '{tmp_path}/a store' {listed[0]['test_id']} --view clean")
    assert "What got worse: worse against good" in (report / "index.html").read_text()
    evaluate(scores=[made.scores], labels=made.labels, report=report, replicates=0)
    assert not (report / "flips.json").exists()


def test_a_system_that_had_better_reject_every_trial_has_a_threshold_above_its_scores(tmp_path):
    made, report = write(tmp_path), tmp_path / "report"
    turned = tmp_path / "turned.txt"
    lines = [line.split() for line in made.scores.read_text().splitlines()]
    turned.write_text("".join(f"{a} {b} {-float(score)}\n" for a, b, score in lines))
    found = evaluate(scores=[made.scores, turned], labels=made.labels, report=report, replicates=0)
    (changed,) = found.to_json()["changed"]
    assert changed["new_false_alarms"] == 0
    rows = json.loads((report / "flips.json").read_text())
    assert rows
    assert all(row["is_target"] and np.isfinite(row["margin"]) for row in rows)


def test_the_data_of_every_figure_lie_beside_it(tmp_path):
    made, report = write(tmp_path), tmp_path / "report"
    evaluate(scores=[made.scores, made.other], labels=made.labels, report=report, replicates=0, llr=True)
    names = {path.name.removesuffix(".light.svg") for path in (report / "plots").glob("*.light.svg")}
    assert {"det", "roc", "bayes", "ece", "tippett", "histogram"} <= names
    page = (report / "index.html").read_text()
    for name in names:
        lines = (report / "plots" / f"{name}.csv").read_text().splitlines()
        assert len(lines) > 10
        assert "system" in lines[0].split(",")
        assert f'href="plots/{name}.csv"' in page
