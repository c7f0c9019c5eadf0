import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from reseed.cli import main
from reseed.pipeline.config import NEED_NO_NOISE
from reseed.pipeline.layout import project_file
from reseed.pipeline.loading import as_yaml, check_components, dump, load_config, resolved
from reseed.pipeline.plan import Plan, Recordings
from reseed.pipeline.preflight import preflight
from reseed.stages.enhancers.chain import STEPS, Chain, ChainConfig
from reseed.stages.enhancers.table import ENHANCERS
from reseed.store import ConfigError
from reseed.store.atomic import digest

CONFIGS = sorted(project_file("configs").glob("*.yaml"))
MINIMAL = {
    "name": "toy",
    "corpus": {"root": "audio"},
    "extract": {"train": {"views": {"clean": {}, "noise": {"noise": [0, 15]}}}, "evaluation": {"views": {"clean": {}}}},
    "train": {"wccn": {}, "gentle": {"method": "mse", "epochs": 2}},
}


def write(tmp_path: Path, **changes) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, **changes}))
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid_and_survives_being_resolved(path, tmp_path):
    config = load_config(path)
    check_components(config)
    (tmp_path / "config.yaml").write_text(dump(config))
    assert load_config(tmp_path / "config.yaml") == config


def test_every_run_centres_unless_it_says_otherwise_and_what_is_written_down_is_said_again(tmp_path):
    for given, systems in ([], ["raw", "centre", "gentle", "wccn"]), (["train.centre=null"], ["raw", "gentle", "wccn"]):
        config = load_config(write(tmp_path), given)
        assert config.systems == systems
        for text in (dump(config), as_yaml(resolved(config))):
            (tmp_path / "config.yaml").write_text(text)
            assert load_config(tmp_path / "config.yaml").systems == systems


def test_a_run_centres_whatever_overrides_make_of_its_enhancers_but_where_it_trains_none(tmp_path):
    for given, systems in (
        (["train={seed: {}}"], ["raw", "centre", "seed"]),
        (["train.centre=null", "train.centre={}"], ["raw", "centre", "gentle", "wccn"]),
        (["train={}"], ["raw"]),
        (["train.gentle=null", "train.wccn=null"], ["raw"]),
    ):
        config = load_config(write(tmp_path), given)
        assert sorted(config.systems) == sorted(systems)
        (tmp_path / "config.yaml").write_text(dump(config))
        assert load_config(tmp_path / "config.yaml") == config


def test_what_a_run_of_before_centring_has_is_what_its_configuration_says(tmp_path):
    written = load_config(write(tmp_path), as_written=True)
    assert written.systems == ["raw", "gentle", "wccn"]
    assert load_config(write(tmp_path)).training_digest("train.wccn") == written.training_digest("train.wccn")


def test_centring_and_scoring_alone_need_no_noise_in_training(tmp_path):
    clean = {"views": {"clean": {}}}
    alone = {"extract": {"train": clean, "evaluation": clean}, "train": {"centre": {}}}
    assert load_config(write(tmp_path, **alone)).systems == ["raw", "centre"]
    assert load_config(write(tmp_path, **{**alone, "train": {}})).systems == ["raw"]
    chain = {"chain": ["centre", {"lda": 2}, "length_norm"]}
    assert load_config(write(tmp_path, **{**alone, "train": {"backend": chain}})).systems[2:] == ["backend"]
    for entry in ({"method": "wccn"}, {"chain": ["centre", {"wccn": 3}]}):
        with pytest.raises(ConfigError, match=r"extract\.train\.views: lacks a view other than clean"):
            load_config(write(tmp_path, **{**alone, "train": {"own": entry}}))


def test_the_configuration_knows_which_enhancers_and_steps_need_noise():
    settings = {"lda": {"dims": 2}}
    kinds = {**ENHANCERS, **STEPS}.items()
    made = {name: kind(kind.Config.model_validate(settings.get(name, {})), 4) for name, kind in kinds}
    assert {name for name, each in made.items() if not each.needs_noise} == {*NEED_NO_NOISE, "chain"}
    assert Chain(ChainConfig(chain=["centre", "vire"]), 4).needs_noise


def test_centring_follows_every_backbone_whose_training_speech_is_extracted_anyway(tmp_path):
    trained = {"backbone": "ecapa_tdnn", "channels": 64}
    path = write(tmp_path, backbones={"small": trained, "alone": trained}, enhance={"small": ["wccn"]})
    names = [str(each) for each in Plan(load_config(path)).scored_by_themselves]
    assert names[3:] == ["ge2e+wccn", "alone", "small", "small+centre", "small+wccn"]
    cohort = ["score.scorings=[cosine, as_norm]"]
    assert "alone+centre" in [str(each) for each in Plan(load_config(path, cohort)).scored_by_themselves]
    off = [str(each) for each in Plan(load_config(path, [*cohort, "train.centre=null"])).scored_by_themselves]
    assert not any(name.endswith("centre") for name in off)


@pytest.mark.parametrize(
    "later", ["channels=first", "order=place", "tarred_audio_filepaths=/data/a_OP_0..3_CL_.tar", "vad=energy"]
)
def test_a_run_made_before_a_setting_of_prepare_came_is_not_prepared_again(tmp_path, later):
    before, after = (load_config(write(tmp_path), given) for given in ([], [f"corpus.prepare.{later}"]))
    corpus = before.model_dump(mode="json")["corpus"]
    for name in ("channels", "order", "tarred_audio_filepaths", "vad", "min_speech_s"):
        del corpus["prepare"][name]
    del corpus["stores"], corpus["vectors"]
    assert before.corpus_digest() == digest([corpus]) != after.corpus_digest()


def test_a_run_made_before_enrolments_were_pooled_makes_its_trials_again_only_where_it_lists_models(tmp_path):
    (tmp_path / "enroll.map").touch()
    plain, listed = (
        load_config(write(tmp_path)),
        load_config(write(tmp_path), [f"trials.enrolment={tmp_path}/enroll.map"]),
    )
    before = [plain.model_dump(mode="json")["trials"] | {"pool_enrolment": False}, plain.seed]
    assert plain.trials_digest() == plain.trials_digest(generated=True) == digest(before)
    assert listed.trials_digest() == listed.digest("trials", "seed") != listed.trials_digest(generated=True)


def test_overrides_win_over_yaml_and_yaml_over_defaults(tmp_path):
    config = load_config(write(tmp_path, seed=5), ["train.gentle.epochs=7", "extract.evaluation.crops.count=3"])
    assert config.seed == 5
    assert config.extract.jobs == 2
    assert config.enhancer("gentle").settings.epochs == 7
    assert config.extract.evaluation.crops.count == 3


def test_missing_and_broken_files_are_named(tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(ConfigError, match=r"broken\.yaml, line 1: a bracket that is not closed"):
        load_config(broken)
    with pytest.raises(ConfigError, match=r"does not exist; `reseed init` writes a configuration"):
        load_config(tmp_path / "nowhere.yaml")


def test_relative_corpus_roots_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(write(tmp_path)).corpus.root == tmp_path / "audio"


def test_sources_name_what_lies_outside_the_corpus_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(write(tmp_path), ["corpus.sources={noise/train: {path: musan, dataset: musan, split: all}}"])
    source = Plan(config).source(Recordings("noise", "train"))
    assert (source.path, source.dataset, source.split) == (tmp_path / "musan", "musan", "all")
    assert Plan(config).source(Recordings("noise", "dev")).path == tmp_path / "audio" / "noise" / "dev"
    with pytest.raises(ConfigError, match=r"corpus\.sources\.noise/train: .*musan does not exist"):
        preflight(config, tmp_path, is_local=False)
    without_root = config.model_copy(update={"corpus": config.corpus.model_copy(update={"root": None})})
    with pytest.raises(ConfigError, match=r"corpus\.sources has no speech/train, and no corpus\.root holds it"):
        preflight(without_root, tmp_path, is_local=False)


def test_weights_are_found_from_any_folder_and_noticed_when_they_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pt").write_bytes(b"1")
    config = load_config(write(tmp_path), ["backbone={name: resnet_se34v2, settings: {weights: net.pt}}"])
    assert config.backbone.settings["weights"] == str(tmp_path / "net.pt")
    before = config.backbone_files()
    (tmp_path / "net.pt").write_bytes(b"22")
    assert config.backbone_files() != before


def test_a_run_made_before_plda_was_adapted_is_not_scored_again(tmp_path):
    before, after = (load_config(write(tmp_path), given) for given in ([], ["score.plda.kaldi.within_scale=0.5"]))
    score = before.model_dump(mode="json")["score"]
    for name in ("coral_plus", "kaldi", "interpolation"):
        del score["plda"][name]
    assert before.score_digest() == digest([score]) != after.score_digest()


def test_a_digest_changes_with_its_own_sections_alone(tmp_path):
    path = write(tmp_path)
    before, after = load_config(path), load_config(path, ["train.gentle.epochs=9"])
    assert before.digest("train.gentle") != after.digest("train.gentle")
    for section in ("seed", "train.wccn", "extract.train", "corpus"):
        assert before.digest(section) == after.digest(section)


def test_reading_a_configuration_loads_neither_torch_nor_matplotlib():
    """Each command of a run reads it, and most need neither."""
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, reseed.pipeline.config; print({'torch', 'matplotlib', 'sklearn', 'pandas'} & {*sys.modules})",
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == "set()"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_is_resolved_loads_to_the_same_run_with_nothing_left_to_defaults(path, tmp_path):
    config = load_config(path)
    (tmp_path / "all.yaml").write_text(as_yaml(resolved(config)))
    loaded = load_config(tmp_path / "all.yaml")
    assert resolved(loaded) == resolved(config)
    assert loaded.backbone_settings() == config.backbone_settings()
    assert [loaded.enhancer(system) for system in loaded.train] == [config.enhancer(system) for system in config.train]
    assert [loaded.aligner(name) for name in loaded.align] == [config.aligner(name) for name in config.align]
    own = {"train": {}, "align": {}, "backbone": {}}
    assert loaded.model_copy(update=own) == config.model_copy(update=own)


def test_the_command_config_prints_yaml_or_json_or_every_mistake(tmp_path):
    path, runner = write(tmp_path), CliRunner()
    printed = runner.invoke(main, ["config", str(path), "--set", "train.gentle.lr=0.5"]).output
    assert (
        yaml.safe_load(printed)["train"]["gentle"] | {"lr": 0.5, "batch": 1024}
        == (yaml.safe_load(printed)["train"]["gentle"])
    )
    assert json.loads(runner.invoke(main, ["config", str(path), "--json"]).output)["train"]["wccn"] == {
        "method": "wccn",
        "shrinkage": 1.0,
    }
    wrong = runner.invoke(main, ["config", str(path), "--set", "device=gpu", "--set", "train.gentle.epoch=3"])
    assert wrong.exit_code == 1
    assert wrong.output.splitlines() == [
        f"reseed: {path} with --set: 2 mistakes",
        "  device: must be auto, cpu, cuda or cuda:N (the GPU numbered N), not 'gpu'",
        "  train.gentle.epoch: unknown key; did you mean 'epochs'?",
    ]


def test_a_chain_may_be_written_as_its_steps_alone(tmp_path):
    steps = ["centre", {"lda": 2}, "length_norm"]
    short = load_config(write(tmp_path, train={"plain": {"chain": steps}}))
    long = load_config(write(tmp_path, train={"plain": {"method": "chain", "chain": steps}}))
    check_components(short)
    assert short.enhancer("plain") == long.enhancer("plain")
    path = tmp_path / "resolved.yaml"
    path.write_text(as_yaml(resolved(short)))
    assert load_config(path).enhancer("plain") == short.enhancer("plain")
    with pytest.raises(ConfigError, match=r"train\.plain.*no step of a chain 'lad'; .*lda"):
        check_components(load_config(write(tmp_path, train={"plain": {"chain": ["lad"]}})))
