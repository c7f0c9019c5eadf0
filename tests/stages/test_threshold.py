import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.scoring.bootstrap import speaker_draws
from reseed.stages.threshold import POOLED, threshold
from reseed.stages.trial_scoring.files import SCORES_SCHEMA, scores_schema
from reseed.stages.trial_scoring.origin import Origin
from reseed.store import ConfigError, ScoringError

ORIGIN = Origin("toy:1", "0" * 64, {"clean": {}, "noise": {"noise": 5.0}}, "clean", 1, None, "raw", {}, 0)


def trials(count: int = 400, speakers: int = 8, seed: int = 0, **fixed):
    """Rows of a score file: a quarter targets, scores rounded so that there are ties."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        first, second = draw.permutation(speakers)[:2]
        target = number % 4 == 0
        row = {
            "system": "raw",
            "scoring": "cosine",
            "condition": "clean",
            "enrolment_id": f"e{number}",
            "test_id": f"t{number}",
            "is_target": target,
            "enrolment_speaker_id": f"s{first}",
            "test_speaker_id": f"s{first if target else second}",
            "score": round(float(draw.normal() + 2 * target), 1),
        }
        rows.append({**row, **fixed})
    return rows


def write(path, rows):
    pq.write_table(pa.Table.from_pylist(rows, SCORES_SCHEMA), path)
    table = pq.read_table(path).replace_schema_metadata(scores_schema(ORIGIN).metadata)
    pq.write_table(table, path)
    return path


def chosen_by_hand(targets, nontargets, asked):
    """Try every score, and the next number above the highest, in plain Python."""
    scores = sorted({*targets, *nontargets})
    for candidate in [*scores, float(np.nextafter(scores[-1], np.inf))]:
        rate = sum(score >= candidate for score in nontargets) / len(nontargets)
        if rate <= asked:
            return candidate, rate, sum(score < candidate for score in targets) / len(targets)
    raise AssertionError


def split(rows):
    return ([r["score"] for r in rows if r["is_target"] is want] for want in (True, False))


@pytest.mark.parametrize("asked", [0.001, 0.01, 0.05, 0.1, 0.5, 0.99])
def test_the_threshold_is_the_lowest_that_accepts_no_more_than_asked(tmp_path, asked):
    rows = trials()
    (point,) = threshold(scores=write(tmp_path / "s.parquet", rows), false_accept=asked, replicates=2).points
    assert (point.threshold, point.false_accept, point.miss) == chosen_by_hand(*split(rows), asked)
    assert (point.targets, point.nontargets, point.unlabelled) == (100, 300, 0)


def test_intervals_are_those_of_trials_repeated_as_their_speakers_were_drawn(tmp_path):
    rows = trials(200, speakers=5)
    (point,) = threshold(scores=write(tmp_path / "s.parquet", rows), false_accept=0.1, replicates=60, seed=4).points
    names = list(dict.fromkeys([row["enrolment_speaker_id"] for row in rows] + [r["test_speaker_id"] for r in rows]))
    found = []
    for draw in speaker_draws(len(names), 60, seed=4).T.astype(int):
        times = dict(zip(names, draw.tolist(), strict=True))
        again = []
        for row in rows:
            both = times[row["enrolment_speaker_id"]] * (1 if row["is_target"] else times[row["test_speaker_id"]])
            again += [row] * both
        targets, nontargets = split(again)
        if targets and nontargets:
            accepted = np.mean(np.array(nontargets) >= point.threshold)
            missed = np.mean(np.array(targets) < point.threshold)
            found.append((chosen_by_hand(targets, nontargets, 0.1)[0], accepted, missed))
    expected = np.quantile(found, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose(point.threshold_ci95, expected[0], atol=1e-9)
    np.testing.assert_allclose(point.false_accept_ci95, expected[1], atol=1e-9)
    np.testing.assert_allclose(point.miss_ci95, expected[2], atol=1e-9)


def test_every_condition_comes_by_itself_and_then_all_pooled(tmp_path):
    clean, noisy = trials(seed=1), trials(seed=2, condition="noise")
    path = write(tmp_path / "s.parquet", clean + noisy)
    points = threshold(scores=path, false_accept=0.1, replicates=5).points
    assert [point.condition for point in points] == ["clean", "noise", POOLED]
    for point, rows in zip(points, (clean, noisy, clean + noisy), strict=True):
        assert (point.threshold, point.false_accept, point.miss) == chosen_by_hand(*split(rows), 0.1)
    (alone,) = threshold(scores=path, false_accept=0.1, condition="noise", replicates=5).points
    assert alone == points[1]


def test_fewer_than_30_expected_false_accepts_are_warned_of_in_words(tmp_path):
    path = write(tmp_path / "s.parquet", trials())
    (few,), (enough,) = (threshold(scores=path, false_accept=rate, replicates=5).points for rate in (0.01, 0.1))
    assert few.warning == (
        "too few non-targets: 1.000% of 300 is 3 false accepts, and a rate rests on 30, so on 3000 non-targets"
    )
    assert enough.warning == ""


def test_unlabelled_trials_are_left_aside_and_counted(tmp_path):
    rows = trials()
    path = write(tmp_path / "s.parquet", rows + trials(7, is_target=None, score=9.0))
    result = threshold(scores=path, false_accept=0.1, replicates=5)
    assert result.points[0].unlabelled == 7
    assert result.points[0].threshold == chosen_by_hand(*split(rows), 0.1)[0]
    assert "(100 targets, 300 non-targets, 7 unlabelled left aside)" in result.summary()


@pytest.mark.parametrize("label", [True, False, None])
def test_one_class_alone_is_an_error_that_says_where(tmp_path, label):
    path = write(tmp_path / "s.parquet", trials(8, is_target=label))
    with pytest.raises(ScoringError, match="s.parquet, raw, cosine, clean: .* error rates need both"):
        threshold(scores=path, false_accept=0.1)


def test_a_score_that_is_not_finite_is_an_error_that_says_where(tmp_path):
    path = write(tmp_path / "s.parquet", trials() + trials(1, score=float("nan")))
    with pytest.raises(ScoringError, match="raw, cosine, clean: of 101 target .* 1 and 0 are not finite"):
        threshold(scores=path, false_accept=0.1)


@pytest.mark.parametrize("column", ["system", "scoring"])
def test_of_several_systems_or_scorings_one_must_be_chosen(tmp_path, column):
    path = write(tmp_path / "s.parquet", trials() + trials(seed=3, **{column: "other"}))
    with pytest.raises(ScoringError, match=rf"holds the {column}s \w+, other; choose one with --{column}"):
        threshold(scores=path, false_accept=0.1)
    with pytest.raises(ScoringError, match=rf"holds no {column} 'mine'; there is \w+, other"):
        threshold(scores=path, false_accept=0.1, **{column: "mine"})
    (point,) = threshold(scores=path, false_accept=0.1, replicates=5, **{column: "other"}).points
    assert point.threshold == chosen_by_hand(*split(trials(seed=3)), 0.1)[0]


def test_an_unknown_condition_names_those_there_are(tmp_path):
    path = write(tmp_path / "s.parquet", trials())
    with pytest.raises(ScoringError, match="holds no condition 'rain'; there is clean"):
        threshold(scores=path, false_accept=0.1, condition="rain")


def test_without_speakers_there_are_no_intervals_and_it_says_so(tmp_path):
    path = write(tmp_path / "s.parquet", trials() + trials(1, test_speaker_id=None))
    (point,) = threshold(scores=path, false_accept=0.1).points
    assert (point.threshold_ci95, point.false_accept_ci95, point.miss_ci95) == (None, None, None)
    assert point.warning == "no intervals: the speakers of some trials are unknown"


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan")])
def test_a_rate_out_of_range_is_an_error(tmp_path, rate):
    with pytest.raises(ConfigError, match="lies between 0 and 1"):
        threshold(scores=tmp_path / "none.parquet", false_accept=rate)


def test_an_empty_file_is_an_error(tmp_path):
    with pytest.raises(ScoringError, match="holds no scores"):
        threshold(scores=write(tmp_path / "s.parquet", []), false_accept=0.1)


def test_facts_are_json_and_the_summary_says_them_in_words(tmp_path):
    result = threshold(scores=write(tmp_path / "s.parquet", trials()), false_accept=0.1, replicates=50)
    facts, point = json.loads(json.dumps(result.to_json())), result.points[0]
    assert (facts["system"], facts["scoring"], facts["asked_false_accept"]) == ("raw", "cosine", 0.1)
    assert facts["points"][0]["threshold_ci95"] == list(point.threshold_ci95)
    assert f"threshold {point.threshold:.4f} (95 %: {point.threshold_ci95[0]:.4f} to" in result.summary()
