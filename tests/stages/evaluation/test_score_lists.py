import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.evaluation.score_lists import NoScoresError, read_score_list
from reseed.store import ScoringError

IDS, TESTS, SCORES, LABELS = (
    ["s1/a.wav", "s1/a.wav", "s2/c"],
    ["s1/b.wav", "s2/c", "s2/d"],
    [0.5, -1.25, 2.0],
    [1, 0, 1],
)

FORMS = {
    "Kaldi": "s1/a.wav s1/b.wav 0.5\ns1/a.wav s2/c -1.25\ns2/c s2/d 2.0\n",
    "wide": "s1/a.wav   s1/b.wav\t0.5 \n  s1/a.wav s2/c -1.25\n\ns2/c s2/d 2.0",
    "Windows": "s1/a.wav s1/b.wav 0.5\r\ns1/a.wav s2/c -1.25\r\ns2/c s2/d 2.0\r\n",
    "score first": "0.5 s1/a.wav s1/b.wav\n-1.25 s1/a.wav s2/c\n2e0 s2/c s2/d\n",
    "WeSpeaker": "s1/a.wav s1/b.wav 0.5 target\ns1/a.wav s2/c -1.25 nontarget\ns2/c s2/d 2.0 target\n",
    "VoxCeleb": "1 s1/a.wav s1/b.wav 0.5\n0 s1/a.wav s2/c -1.25\n1 s2/c s2/d 2.0\n",
    "CSV": "score,enrol,test,label\n0.5,s1/a.wav,s1/b.wav,1\n-1.25,s1/a.wav,s2/c,0\n2.0,s2/c,s2/d,1\n",
    "CSV with a mark": "\ufeffenrolment_id;test_id;llr\ns1/a.wav;s1/b.wav;0.5\ns1/a.wav;s2/c;-1.25\ns2/c;s2/d;2.0\n",
    "tabs": "modelid\tsegmentid\tLLR\ns1/a.wav\ts1/b.wav\t0.5\ns1/a.wav\ts2/c\t-1.25\ns2/c\ts2/d\t2.0\n",
    "commas and spaces": "s1/a.wav, s1/b.wav, 0.5\ns1/a.wav, s2/c, -1.25\ns2/c, s2/d, 2.0\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_trials(tmp_path, form):
    path = tmp_path / "scores.txt"
    path.write_bytes(FORMS[form].encode())
    found = read_score_list(path)
    assert (found.enrolment.to_pylist(), found.test.to_pylist()) == (IDS, TESTS)
    assert found.score_P.tolist() == SCORES
    assert found.label_P is None or found.label_P.tolist() == LABELS
    assert (found.label_P is not None) == (form in ("WeSpeaker", "VoxCeleb", "CSV"))
    assert found.is_llr == (form in ("CSV with a mark", "tabs"))


def test_a_side_of_nist_belongs_to_its_segment(tmp_path):
    (tmp_path / "scores.tsv").write_text("modelid\tsegmentid\tside\tLLR\nm1\tcall\ta\t0.5\nm1\tcall\tb\t-0.5\n")
    assert read_score_list(tmp_path / "scores.tsv").test.to_pylist() == ["call-a", "call-b"]


def test_parquet_names_systems_and_conditions(tmp_path):
    columns = {"enrolment_id": IDS, "test_id": TESTS, "score": SCORES, "is_target": [True, False, None]}
    table = pa.table({**columns, "system": ["raw", "raw", "seed"], "scoring": ["cosine"] * 3, "condition": ["a"] * 3})
    pq.write_table(table, tmp_path / "scores.parquet")
    found = read_score_list(tmp_path / "scores.parquet")
    systems = dict(found.systems())
    assert [*systems] == ["raw", "seed"]
    assert systems["raw"].label_P.tolist() == [1, 0]
    assert systems["seed"].label_P.tolist() == [-1]


def test_ids_may_be_numbers_where_scores_are_not_whole(tmp_path):
    (tmp_path / "scores").write_text("101 102 0.5\n101 103 -2\n")
    assert read_score_list(tmp_path / "scores").enrolment.to_pylist() == ["101", "101"]
    assert np.array_equal(read_score_list(tmp_path / "scores").score_P, [0.5, -2])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a b 0.5\na c nan\n", "row 2: the score is not finite"),
        ("enrol test score\na b 0.5\na c x\n", "row 3: 'x' is no score"),
        ("a b 0.5\na c\n", "has 2 fields where the first line has 3"),
        ("enrol,test,score,label\na,b,0.5,perhaps\n", "row 2: 'perhaps' is no label; write target or nontarget"),
        ("a b 0.5 0.7\n", "2 may be scores, 0 labels; put a first line with the columns' names"),
        ("enrol test score llr\na b 0.5 0.7\n", "'score' and 'llr' may both be the score; keep one"),
        ("", "holds no scores"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_row(tmp_path, text, said):
    path = tmp_path / "scores.txt"
    path.write_text(text)
    with pytest.raises(ScoringError) as caught:
        read_score_list(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_trial_list_has_no_scores(tmp_path):
    (tmp_path / "list").write_text("1 a b\n0 a c\n")
    with pytest.raises(NoScoresError, match="has no column of scores"):
        read_score_list(tmp_path / "list")
    with pytest.raises(ScoringError, match="the score file .*nowhere does not exist"):
        read_score_list(tmp_path / "nowhere")
    with pytest.raises(ScoringError, match="is a folder, not a score file"):
        read_score_list(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"a b\xff 0.5\n", gzip.compress(b"a b 0.5\nc d 0.1\n"), bytes(range(256))],
    ids=["another encoding", "packed", "binary"],
)
def test_what_is_no_text_is_refused_in_one_line(tmp_path, capfd, content):
    (tmp_path / "scores").write_bytes(content)
    with pytest.raises(ScoringError, match="scores is no UTF-8 text; unpack or convert it"):
        read_score_list(tmp_path / "scores")
    assert capfd.readouterr().err == ""
