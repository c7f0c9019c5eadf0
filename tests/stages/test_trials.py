from itertools import product
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reseed.stages.audio.manifest import Utterance
from reseed.stages.trials import TrialSettings, generate_trials, make_trials
from reseed.store import ManifestError
from tests.corpus import write_manifest


def utterance(speaker: str | None, take: int) -> Utterance:
    return Utterance(f"{speaker}/{take}", "x.wav", speaker, 0.0, 2.0, 16_000, 1, "dev", "0" * 64)


ROWS = [utterance(f"toy/{name}", take) for name, take in product(("a", "b", "c"), range(4))]


def make(tmp_path: Path, **settings) -> tuple[list[dict], str]:
    write_manifest(tmp_path / "utterances.parquet", ROWS)
    message = make_trials(
        utterances=tmp_path / "utterances.parquet",
        trials=tmp_path / "trials.parquet",
        settings=TrialSettings(**settings),
        seed=0,
    )
    return pq.read_table(tmp_path / "trials.parquet").to_pylist(), message


def test_generated_trials_pair_enrolment_with_test_sides(tmp_path):
    rows, message = make(tmp_path)
    assert message == "36 trials: 12 target, 24 non-target, 0 unlabelled"
    enrolment, test = {row["enrolment_id"] for row in rows}, {row["test_id"] for row in rows}
    assert enrolment.isdisjoint(test)
    for row in rows:
        same = row["enrolment_id"].rsplit("/", 1)[0] == row["test_id"].rsplit("/", 1)[0]
        assert row["is_target"] is same


def test_generation_depends_on_the_seed_and_not_on_the_order():
    settings = TrialSettings(max_nontargets=5)
    assert generate_trials(ROWS, settings, 1) == generate_trials(ROWS[::-1], settings, 1)
    assert generate_trials(ROWS, settings, 1) != generate_trials(ROWS, settings, 2)
    assert sum(not trial[2] for trial in generate_trials(ROWS, settings, 1)[0]) == 5


def test_confusable_speakers_are_never_impostors_of_each_other():
    settings = TrialSettings(confusable_speakers=(("toy/a", "toy/b"),))
    pairs = {frozenset((t[0].split("/")[1], t[1].split("/")[1])) for t in generate_trials(ROWS, settings, 0)[0]}
    assert frozenset("ab") not in pairs
    assert frozenset("ac") in pairs


def test_speakers_without_labels_or_alone_cannot_make_trials():
    for rows in ([utterance(None, 0), utterance(None, 1)], ROWS[:4]):
        with pytest.raises(ManifestError, match="two or more speakers"):
            generate_trials(rows, TrialSettings(), 0)


def test_voxceleb_kaldi_csv_and_unlabelled_lists_are_read(tmp_path):
    (tmp_path / "vox.txt").write_text("1 toy/a/0.wav toy/a/1.wav\n0 toy/a/0.wav toy/b/1.wav\ntoy/a/0 toy/c/0\n")
    (tmp_path / "kaldi").write_text("toy/a/0 toy/a/1 target\ntoy/a/0 toy/b/1 nontarget\n")
    (tmp_path / "list.csv").write_text("enrolment_id,test_id,is_target,condition\ntoy/a/0,toy/a/1,1,noise\n")
    vox, message = make(tmp_path, list=tmp_path / "vox.txt")
    assert [row["is_target"] for row in vox] == [True, False, None]
    assert vox[0]["enrolment_id"] == "toy/a/0"
    assert message == "3 trials: 1 target, 1 non-target, 1 unlabelled"
    assert [row["is_target"] for row in make(tmp_path, list=tmp_path / "kaldi")[0]] == [True, False]
    assert make(tmp_path, list=tmp_path / "list.csv")[0][0]["condition"] == "noise"


def test_a_trial_that_names_an_unknown_utterance_is_named_or_dropped_on_request(tmp_path):
    (tmp_path / "vox.txt").write_text("1 toy/a/0 toy/a/1\n0 toy/a/0 nobody/1.wav\n")
    with pytest.raises(ManifestError, match=r"vox.txt, line 2: no utterance 'nobody/1' in the corpus"):
        make(tmp_path, list=tmp_path / "vox.txt")
    rows, message = make(tmp_path, list=tmp_path / "vox.txt", drop_unknown=True)
    assert len(rows) == 1
    assert message.endswith("1 dropped (unknown utterances)")


def test_a_line_of_no_known_form_is_named(tmp_path):
    (tmp_path / "vox.txt").write_text("1 toy/a/0 toy/a/1\nmaybe toy/a/0 toy/a/1\n")
    with pytest.raises(ManifestError, match=r"vox\.txt, line 2: is neither"):
        make(tmp_path, list=tmp_path / "vox.txt")


def test_a_name_that_several_utterances_end_in_is_refused_with_two_of_them(tmp_path):
    (tmp_path / "vox.txt").write_text("1 toy/a/0 toy/a/1\n0 toy/a/0 1.wav\n")
    with pytest.raises(ManifestError, match=r"vox.txt, line 2: '1' may be toy/a/1 or toy/b/1; name it in full"):
        make(tmp_path, list=tmp_path / "vox.txt", drop_unknown=True)


def test_a_name_may_leave_out_the_folders_above(tmp_path):
    (tmp_path / "vox.txt").write_text("1 a/0.wav toy/a/1\n")
    assert make(tmp_path, list=tmp_path / "vox.txt")[0][0]["enrolment_id"] == "toy/a/0"


def test_a_list_or_a_place_that_the_system_refuses_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ManifestError, match=r"folder cannot be read \(Is a directory\)"):
        make(tmp_path, list=tmp_path / "folder")
    (tmp_path / "vox.txt").symlink_to("/proc/self/mem")
    with pytest.raises(ManifestError, match=r"mem cannot be read \(Input/output error\)"):
        make(tmp_path, list=tmp_path / "vox.txt")
    (tmp_path / "trials.parquet").mkdir()
    with pytest.raises(ManifestError, match=r"trials\.parquet exists and is not a list of trials but a folder"):
        make(tmp_path)


def test_a_relative_enrolment_list_is_kept_as_where_it_lies_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert TrialSettings(enrolment=Path("enroll.lst")).enrolment == tmp_path / "enroll.lst"


def test_a_list_without_a_trial_is_refused(tmp_path):
    (tmp_path / "vox.txt").write_text("\n")
    with pytest.raises(ManifestError, match=r"vox\.txt: no trials"):
        make(tmp_path, list=tmp_path / "vox.txt")
