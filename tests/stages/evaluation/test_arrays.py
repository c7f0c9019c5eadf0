import numpy as np
import pytest

from reseed import evaluate
from reseed.stages.evaluate import evaluate as evaluate_files
from reseed.store import ConfigError, ScoringError


def _trials(seed=0, count=600):
    rng = np.random.default_rng(seed)
    speakers = rng.integers(12, size=(count, 2))
    same = speakers[:, 0] == speakers[:, 1]
    return rng.normal(size=count) + 2 * same, same, speakers, rng.choice(["babble", "car"], count)


def test_arrays_are_measured_as_files_are(tmp_path):
    scores, same, speakers, groups = _trials()
    found = evaluate(scores, same, speakers=speakers, groups=groups, llr=True, replicates=50)
    lines = [
        f"s{a}/u{row},s{b}/v{row},{float(score)!r},{int(label)},{group}"
        for row, ((a, b), score, label, group) in enumerate(zip(speakers, scores, same, groups, strict=True))
    ]
    (tmp_path / "scores.csv").write_text("\n".join(["enrolment,test,score,label,condition", *lines]))
    (tmp_path / "who").write_text(
        "".join(f"s{a}/u{row} {a:02}\ns{b}/v{row} {b:02}\n" for row, (a, b) in enumerate(speakers))
    )
    of_files = evaluate_files(
        scores=[tmp_path / "scores.csv"], speakers=tmp_path / "who", llr=True, replicates=50
    ).evaluation.found
    expected = {measured.condition: measured for measured in of_files.by_condition[:-1]}
    assert list(found.groups) == sorted(expected) == ["babble", "car"]
    pairs = [(found, of_files.pooled[0]), *((found.groups[name], expected[name]) for name in expected)]
    for metrics, measured in pairs:
        for name in ("targets", "nontargets", "eer", "min_dcf", "min_cllr", "cllr", "actual_dcf"):
            assert getattr(metrics, name) == getattr(measured, name)
        assert metrics.eer.ci95[0] < metrics.eer.value < metrics.eer.ci95[1]


def test_names_of_speakers_will_do_and_without_speakers_there_are_no_intervals():
    scores, same, speakers, _ = _trials()
    names = np.array([f"speaker {number:02}" for number in range(12)])[speakers]
    assert evaluate(scores, same, speakers=names).eer == evaluate(scores, same, speakers=speakers + 10).eer
    alone = evaluate(scores, same.astype(int))
    assert alone.eer.value == evaluate(scores, same, speakers=speakers).eer.value
    assert (alone.eer.ci95, alone.cllr, alone.actual_dcf, alone.groups) == (None, None, {}, {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scores": [[0.1, 0.2]]}, r"scores are \[1, 2\], not \[P\]"),
        ({"scores": ["a", "b"]}, "scores are not numbers"),
        ({"labels": [1, 2, 0, 0]}, "labels are true or 1 .* some are neither"),
        ({"labels": ["target"] * 4}, "labels are true or 1 .* some are neither"),
        ({"labels": [1, 0]}, r"labels are \[2\], but there are 4 scores"),
        ({"labels": [1, 1, 1, 1]}, "4 target and 0 non-target"),
        ({"scores": [0.1, np.nan, 0.2, 0.3]}, "finite"),
        ({"speakers": [1, 2, 3, 4]}, r"speakers are \[4\], but must be \[P, 2\], enrolled and tested, for 4 scores"),
        ({"speakers": [["a", "a"], ["b", "b"], ["a", None], ["a", "b"]]}, "speakers are not known of every trial"),
        ({"groups": ["a"]}, r"groups are \[1\], but must be \[P\], for 4 scores"),
        ({"groups": ["a", "a", "b", "a"]}, "b: 0 target and 1 non-target"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(change, said):
    with pytest.raises(ScoringError, match=said):
        evaluate(**{"scores": [0.9, 0.8, 0.1, 0.2], "labels": [1, 1, 0, 0], **change})
    with pytest.raises(ConfigError, match="no detection cost"):
        evaluate([1, 0], [1, 0], costs=["nist"])
