import json
from datetime import date, timedelta

import numpy as np
import pytest

from reseed.stages.evaluate import evaluate
from reseed.stages.scoring.bootstrap import bias_corrected_interval, metric_replicates, speaker_draws
from reseed.stages.scoring.metrics import eer
from reseed.store import ScoringError

SPEAKERS, UTTERANCES = 24, 6


class Written:
    """A score file that labels its trials and a table of utterances: women are harder, and so is another language."""

    def __init__(self, folder, count: int = 4000, sessions: str = "shared"):
        draw = np.random.default_rng(0)
        names = np.array([f"s{s:02d}/u{u}" for s in range(SPEAKERS) for u in range(UTTERANCES)])
        speaker = np.arange(names.size) // UTTERANCES
        self.gender = np.where(speaker % 2, "female", "male")
        self.language = np.where(np.arange(names.size) % 2, "de", "fr")
        self.session = np.arange(names.size) % UTTERANCES + (UTTERANCES * speaker if sessions == "own" else 0)
        self.speaker = speaker
        pairs = draw.integers(names.size, size=(2 * count, 2))
        pairs[::3, 1] = speaker[pairs[::3, 0]] * UTTERANCES + draw.integers(UTTERANCES, size=len(pairs[::3]))
        pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
        self.first, self.second = pairs[draw.permutation(len(pairs))[:count]].T
        self.is_target = speaker[self.first] == speaker[self.second]
        harder = 0.8 * (self.gender[self.first] == "female") + 0.8 * (
            self.language[self.first] != self.language[self.second]
        )
        self.score = draw.normal(size=self.first.size) + (3 - harder) * self.is_target
        self.scores = folder / "scores.txt"
        rows = zip(names[self.first], names[self.second], self.score.tolist(), self.is_target, strict=True)
        self.scores.write_text("".join(f"{a}.wav {b}.wav {score!r} {int(label)}\n" for a, b, score, label in rows))
        self.table = folder / "utterances.csv"
        days = [date(2020, 1, 1) + timedelta(days=int(day)) for day in draw.integers(1000, size=names.size)]
        self.columns = {
            "utterance_id": names,
            "speaker_id": [f"{code:03d}" for code in speaker],
            "session_id": [f"{code:03d}" for code in self.session],
            "gender": self.gender,
            "language": self.language,
            "snr_db": draw.uniform(-5, 20, names.size).round(2),
            "recorded": days,
        }
        self.write(self.columns)

    def write(self, columns):
        lines = zip(*columns.values(), strict=True)
        self.table.write_text("\n".join([",".join(columns), *(",".join(map(str, line)) for line in lines)]) + "\n")

    def without(self, *names):
        self.write({name: column for name, column in self.columns.items() if name not in names})


def test_error_rates_by_group_are_those_of_its_trials_and_of_one_threshold(tmp_path):
    made = Written(tmp_path)
    found = evaluate(scores=[made.scores], utterances=made.table, groups=["gender"], replicates=50).to_json()
    groups = {row["group"]: row for row in found["groups"]}
    female = made.gender == "female"
    in_P = female[made.first] & female[made.second]
    row = groups["both female"]
    split = made.score[in_P & made.is_target], made.score[in_P & ~made.is_target]
    assert (row["targets"], row["nontargets"]) == (split[0].size, split[1].size)
    assert row["eer"] == pytest.approx(eer(*split), abs=1e-12)
    assert len({row["threshold"] for row in groups.values()}) == 1
    assert row["false_non_match_rate"] == np.mean(split[0] < row["threshold"])
    assert row["false_match_rate"] == np.mean(split[1] >= row["threshold"])
    for rate in ("eer", "false_non_match_rate", "false_match_rate"):
        assert row[f"{rate}_ci95"][0] <= row[rate] <= row[f"{rate}_ci95"][1]
    gap = next(gap for gap in found["gaps"] if gap["rate"] == "eer")
    assert (gap["worst"], gap["best"]) == ("both female", "both male")
    assert gap["difference"] == pytest.approx(row["eer"] - groups["both male"]["eer"])
    assert gap["ci95"][0] > 0


def test_languages_make_the_four_classes_of_same_and_cross_trials(tmp_path):
    made = Written(tmp_path)
    found = evaluate(scores=[made.scores], utterances=made.table, groups=["language"], replicates=0).to_json()
    groups = {row["group"]: row for row in found["groups"]}
    same = made.language[made.first] == made.language[made.second]
    for targets in ("same", "different"):
        for nontargets in ("same", "different"):
            of_targets = made.score[made.is_target & (same == (targets == "same"))]
            of_nontargets = made.score[~made.is_target & (same == (nontargets == "same"))]
            row = groups[f"targets {targets}, non-targets {nontargets}"]
            assert row["eer"] == pytest.approx(eer(of_targets, of_nontargets), abs=1e-12)
    assert {gap["worst"] for gap in found["gaps"]} <= {"both de", "both fr"}  # crossings are no parts


def test_numbers_are_grouped_by_the_tested_side_and_dates_by_how_far_they_lie_apart(tmp_path):
    made = Written(tmp_path)
    found = evaluate(scores=[made.scores], utterances=made.table, groups=["snr_db", "recorded"], replicates=0).to_json()
    targets = {}
    for row in found["groups"]:
        targets.setdefault(row["grouping"], []).append(row["targets"])
    for counts in targets.values():
        assert len(counts) == 3
        assert sum(counts) == made.is_target.sum()
        assert max(counts) - min(counts) < 0.05 * sum(counts)
    assert any("days apart" in row["group"] for row in found["groups"])


def test_sessions_that_speakers_share_are_drawn_too_and_those_of_one_speaker_are_not(tmp_path):
    made = Written(tmp_path)
    both = evaluate(scores=[made.scores], utterances=made.table, replicates=60)
    assert both.evaluation.speakers.counted == f"{SPEAKERS} speakers and {UTTERANCES} sessions"
    draws = speaker_draws(SPEAKERS, 60, 0, UTTERANCES)
    first, second = made.first, made.second
    times = draws[made.speaker[first]] * np.where(made.is_target[:, None], 1, draws[made.speaker[second]])
    at = SPEAKERS + made.session
    times *= draws[at[first]] * np.where((at[first] == at[second])[:, None], 1, draws[at[second]])
    expected = []
    for replicate in range(60):
        weights = [times[rows, replicate] for rows in (made.is_target, ~made.is_target)]
        split = made.score[made.is_target], made.score[~made.is_target]
        expected.append(eer(*split, target_weights=weights[0], nontarget_weights=weights[1]))
    found = both.evaluation.found.pooled[0].eer
    np.testing.assert_allclose(found.replicate_R, expected, atol=1e-9)
    assert found.ci95 == bias_corrected_interval(found.value, found.replicate_R)
    made = Written(tmp_path, sessions="own")
    nested = evaluate(scores=[made.scores], utterances=made.table, replicates=60)
    made.without("session_id")
    alone = evaluate(scores=[made.scores], utterances=made.table, replicates=60)
    assert nested.to_json()["metrics"] == alone.to_json()["metrics"]
    assert nested.evaluation.speakers.counted == f"{SPEAKERS} speakers"


def test_a_unit_that_a_trial_does_not_have_leaves_it_as_it_is():
    draws = speaker_draws(5, 20, 0, sessions=3)
    assert draws.shape == (8, 20)
    assert (draws[:5].sum(axis=0) == 5).all()
    assert (draws[5:].sum(axis=0) == 3).all()
    trials = [1.0, 0.2, 0.5], [0.3, 0.1, 0.6], np.array([0, 1, 2]), np.array([[0, 1], [2, 3], [4, 0]])
    padded = *trials[:2], np.stack([trials[2], [-1] * 3], axis=1), np.hstack([trials[3], [[-1]] * 3])
    for name in ("eer_R", "cllr_R"):
        np.testing.assert_array_equal(*(getattr(metric_replicates(*each, draws), name) for each in (trials, padded)))


def test_what_a_table_lacks_is_said(tmp_path):
    made = Written(tmp_path)

    def refused(message, **options):
        with pytest.raises(ScoringError, match=message):
            evaluate(scores=[made.scores], utterances=made.table, replicates=0, **options)

    refused("utterances.csv has no column 'genders'; its columns are gender, language, snr_db", groups=["genders"])
    made.without("utterance_id")
    refused("has no column utterance_id; its columns are speaker_id")
    made.write({**made.columns, "speaker_id": ["", *made.columns["speaker_id"][1:]]})
    refused("has no speaker_id of s00/u0.wav; add it, or leave out the column")
    made.write({name: [*column, column[0]] for name, column in made.columns.items()})
    refused("lists s00/u0 twice")
    made.write({**made.columns, "utterance_id": [f"x{n}" for n in range(len(made.gender))]})
    refused("describes none of the trials' ids, such as s")
    made.write({**made.columns, "gender": [f"g{n}" for n in range(len(made.gender))]})
    refused("no group by gender has 30 targets and 30 non-targets", groups=["gender"])
    with pytest.raises(ScoringError, match="name it with --utterances"):
        evaluate(scores=[made.scores], groups=["gender"])


def test_the_page_has_groups_and_gaps_and_an_evaluation_without_groups_takes_them_away(tmp_path):
    made, report = Written(tmp_path), tmp_path / "report"
    evaluate(scores=[made.scores], utterances=made.table, groups=["gender", "language"], report=report, replicates=50)
    page = (report / "index.html").read_text()
    assert "Gaps between groups" in page
    assert "ISO/IEC 19795-10" in page
    assert {path.stem for path in (report / "tables").glob("*.csv")} >= {"groups-gender", "groups-language", "gaps"}
    assert {row["grouping"] for row in json.loads((report / "groups.json").read_text())} == {"gender", "language"}
    assert json.loads((report / "gaps.json").read_text())
    evaluate(scores=[made.scores], report=report, replicates=50)
    assert not (report / "groups.json").exists()
    assert not (report / "tables" / "gaps.csv").exists()
