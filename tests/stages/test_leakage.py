"""What training and evaluation share is found by content, on real files; what is apart is left in peace."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from click.testing import CliRunner

from reseed.cli import main
from reseed.stages.audio.manifest import UTTERANCES_SCHEMA
from reseed.stages.audio.shared import Shared, read_shared, write_shared
from reseed.stages.audit import audit
from reseed.stages.leakage import leakage
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.stages.reporting.build import leaks
from reseed.stages.reporting.results.files import RunFiles
from tests.corpus import prepared, write_corpus, write_wave


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("leakage") / "audio")


def manifest(source: Path, kind: str = "noise") -> Path:
    path = source.parent / f"{source.name}.parquet"
    rejects = source.parent / "rejects.parquet"
    prepare(source=source, utterances=path, rejects=rejects, settings=PrepareSettings(), kind=kind)
    return path


def test_sides_that_are_apart_share_nothing(corpus, tmp_path):
    kinds = ("speech", "noise", "music", "rir")
    sides = [prepared(corpus, tmp_path / split, kinds, split) for split in ("train", "dev")]
    for side in sides:
        side["utterances"] = side.pop("speech")
    assert leakage(training=sides[0], evaluation=sides[1]) == []


def test_a_recording_renamed_in_another_container_and_sample_format_is_found(corpus, tmp_path):
    for path in (corpus / "noise" / "train").rglob("*.flac"):
        samples, rate = soundfile.read(path, dtype="float32")
        write_wave(tmp_path / "other" / "x" / f"again-{path.stem}.wav", samples, rate, subtype="FLOAT")
    other, noise = manifest(tmp_path / "other"), prepared(corpus, tmp_path, ["noise"])["noise"]
    assert leakage(training={"noise": noise}, evaluation={"noise": other}) == [
        "3 of 3 recordings of noise: x/again-n0 (there hiss/n0), x/again-n1 (there hiss/n1), x/again-n2 (there hiss/n2)"
    ]
    (said,) = leakage(training={"music": other}, evaluation={"noise": noise})
    assert said.startswith("3 of 3 recordings of noise, there music: hiss/n0 (there x/again-n0)")


def test_manifests_without_digests_of_samples_are_compared_by_bytes(corpus, tmp_path):
    noise = prepared(corpus, tmp_path, ["noise"])["noise"]
    pq.write_table(pq.read_table(noise).select(UTTERANCES_SCHEMA.names), tmp_path / "older.parquet")
    assert len(leakage(training={"noise": tmp_path / "older.parquet"}, evaluation={"noise": noise})) == 1


def test_one_folder_divided_by_file_is_no_leak_and_stretches_of_one_file_are_one_where_they_overlap(tmp_path):
    generator = np.random.default_rng(0)
    for name in "abc":
        write_wave(tmp_path / "all" / f"{name}.wav", 0.1 * generator.normal(size=32_000))
    lists = {
        "train": "path,start_s,duration_s\nall/a.wav,0,2\nall/c.wav,0,1\n",
        "apart": "path,start_s,duration_s\nall/b.wav,0,2\nall/c.wav,1,1\n",
        "overlapping": "path,id,start_s,duration_s\nall/b.wav,b,0,2\nall/c.wav,late,0.5,1\n",
    }
    for name, text in lists.items():
        (tmp_path / f"{name}.csv").write_text(text)
    train, apart, overlapping = ({"noise": manifest(tmp_path / f"{name}.csv")} for name in lists)
    assert leakage(training=train, evaluation=apart) == []
    assert leakage(training=train, evaluation=overlapping) == ["1 of 2 recordings of noise: late (there all/c)"]


def test_positions_in_one_room_are_one_room(tmp_path):
    generator = np.random.default_rng(1)
    for name in ("a0", "a1", "b0"):
        write_wave(tmp_path / name[0] / f"{name}.wav", 0.1 * generator.normal(size=4000))
    (tmp_path / "train.csv").write_text("path,speaker\na/a0.wav,A\n")
    (tmp_path / "dev.csv").write_text("path,speaker\na/a1.wav,A\nb/b0.wav,B\n")
    sides = {side: {"rir": manifest(tmp_path / f"{side}.csv", "rir")} for side in ("train", "dev")}
    assert leakage(training=sides["train"], evaluation=sides["dev"]) == ["1 of 2 rooms: A"]


def test_speakers_are_compared_and_the_command_fails_where_it_is_told_to(corpus, tmp_path):
    sides = [prepared(corpus, tmp_path / split, ["speech"], split)["speech"] for split in ("train", "dev")]
    table = pq.read_table(sides[1])
    names = ["toy/s0", *table["speaker_id"].to_pylist()[1:]]
    pq.write_table(table.set_column(2, table.schema.field(2), [names]), sides[1])
    command = ["leakage", "--training", f"utterances={sides[0]}", "--evaluation", f"utterances={sides[1]}"]
    found = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "found.json")])
    assert (found.exit_code, found.stderr) == (0, "WARNING: training and evaluation share 1 of 4 speakers: toy/s0\n")
    assert [str(each) for each in read_shared(tmp_path / "found.json")] == ["1 of 4 speakers: toy/s0"]
    assert json.loads((tmp_path / "found.json").read_text())[0]["what"] == "speaker"
    assert CliRunner().invoke(main, [*command, "--fail"]).exit_code == 1


def test_the_audit_finds_one_noise_folder_on_both_sides(copied):
    train, dev = (copied / "toy" / "stores" / "ge2e" / split for split in ("train", "dev"))
    assert audit(store=train, against=dev, replay=0).findings["leakage"].status == "passed"
    noise = [copied / "toy" / "corpus" / split / "noise" / "utterances.parquet" for split in ("train", "dev")]
    shutil.copy(*noise)
    found = audit(store=train, against=dev, replay=0, fail_on=("leakage",))
    assert found.failed_on == ["leakage"]
    assert "shares 3 of 3 recordings of noise: hiss/n0, hiss/n1, hiss/n2." in found.findings["leakage"].says
    assert {"kind": "noise", "recording": "hiss/n0", "there": "hiss/n0"} in found.findings["leakage"].offenders
    for path in noise:
        path.unlink()
    says = audit(store=train, against=dev, replay=0).findings["leakage"].says
    assert "The manifests of noise are not there to compare recordings by." in says


def test_a_run_says_what_is_shared_and_its_report_does(finished, tmp_path):
    assert read_shared(finished / "corpus" / "leakage.json") == []
    assert "not apart" not in (finished / "report" / "index.html").read_text()
    write_shared(tmp_path / "found.json", [Shared("recording", "noise", "noise", 1, 3, [("a", "b")])])
    run = RunFiles("toy", [], [], [], tmp_path, leakage=tmp_path / "found.json")
    assert leaks([run]) == ["toy: 1 of 3 recordings of noise: b (there a)"]
