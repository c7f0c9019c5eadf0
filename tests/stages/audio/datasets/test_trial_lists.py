import pyarrow as pa
import pytest

from reseed.stages.audio.datasets.trial_lists import read_models, read_trial_list
from reseed.stages.audio.datasets.trial_names import utterances_named
from reseed.store import ManifestError
from tests.stages.audio.datasets.miniature import write_list

IDS = pa.array(["id1/a/1", "id1/a/2", "id2/a/1", "eval/test/x-1", "plain"])


def test_a_name_means_its_utterance_whatever_comes_before_it_or_after():
    means = {
        "id1/a/1": ["id1/a/1"],
        "id1/a/2.wav": ["id1/a/2"],
        "test/x-1.wav": ["eval/test/x-1"],
        "x-1": ["eval/test/x-1"],
        "plain": ["plain"],
    }
    assert utterances_named(means, IDS) == means


def test_a_name_that_may_mean_two_utterances_says_both_and_parts_of_words_mean_none():
    found = utterances_named(["a/1.wav", "in", "lain", "1/a/2", "other/id1/a/1"], IDS)
    assert found == {"a/1.wav": ["id1/a/1", "id2/a/1"], "in": [], "lain": [], "1/a/2": [], "other/id1/a/1": []}


def test_the_first_side_of_a_call_is_the_call_where_that_has_one_channel():
    ids = pa.array(["call-ch0", "call-ch1", "data/mono"])
    found = utterances_named(["call-ch0", "call-ch1", "mono-ch0", "mono-ch1"], ids)
    assert found == {"call-ch0": ["call-ch0"], "call-ch1": ["call-ch1"], "mono-ch0": ["data/mono"], "mono-ch1": []}


def test_every_name_is_kept_once_with_the_line_where_it_first_stands(tmp_path):
    listed = read_trial_list(write_list(tmp_path / "list", "1 a b", "", "0 a c", "c b target", "b a"))
    assert (listed.names, listed.lines) == (["a", "b", "c"], [1, 1, 3])
    assert listed.enrolment_P.tolist() == [0, 0, 2, 1]
    assert listed.test_P.tolist() == [1, 2, 1, 0]
    assert listed.label_P.tolist() == [1, 0, 1, -1]
    assert listed.conditions.to_pylist() == [None] * 4
    assert listed.title is None


def test_enrolment_lists_with_empty_or_repeated_models_are_refused(tmp_path):
    with pytest.raises(ManifestError, match=r"line 2: the enrolment id 'm2' has no recording after it"):
        read_models(write_list(tmp_path / "enroll.lst", "m1 a.wav", "m2"))
    with pytest.raises(ManifestError, match=r"line 2: the enrolment id 'm1' is listed twice"):
        read_models(write_list(tmp_path / "enroll.lst", "m1 a.wav", "m1 b.wav"))
