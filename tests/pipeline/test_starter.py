"""`reseed init`: the configuration that a new user begins with."""

import shlex

import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.pipeline.layout import project_file
from reseed.pipeline.loading import check_components, load_config
from reseed.pipeline.preflight import preflight
from reseed.pipeline.starter import write_starter
from reseed.store import ConfigError
from tests.corpus import write_corpus

STARTER = project_file("configs") / "starter.yaml"


def test_the_starter_is_a_sound_run_once_it_says_where_the_recordings_lie(tmp_path):
    config = load_config(write_starter(tmp_path), [f"corpus.root={write_corpus(tmp_path / 'corpus')}"])
    check_components(config)
    assert preflight(config, tmp_path, is_local=True) == []
    assert config.systems == ["raw", "centre", "auto", "adapted", "seed"]


def test_what_the_comments_of_the_starter_suggest_can_be_set():
    suggested = STARTER.read_text(encoding="utf-8").partition("--set ")[2].split()[0]
    backbone = "backbone={name: ecapa_tdnn, settings: {weights: FILE}}"
    assert backbone.partition("=")[2] in STARTER.read_text(encoding="utf-8")
    config = load_config(STARTER, [suggested, backbone])
    assert config.enhancer("seed").settings.epochs == 30
    assert config.backbone_settings().weights.name == "FILE"


def test_init_writes_a_commented_starter_and_prints_the_command_that_comes_next(tmp_path):
    folder = tmp_path / "a new folder"
    done = CliRunner().invoke(main, ["init", str(folder)])
    assert done.exit_code == 0
    assert (folder / "mine.yaml").read_bytes() == STARTER.read_bytes()
    assert len(STARTER.read_text(encoding="utf-8").splitlines()) <= 30
    _, *arguments = shlex.split(done.output[done.output.index("reseed run") :])
    missing = CliRunner().invoke(main, [*arguments, "--runs", str(tmp_path / "runs")])
    assert missing.output.startswith("reseed: the corpus /data/corpus does not exist")


def test_init_never_replaces_a_configuration(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: precious\n")
    with pytest.raises(ConfigError, match="mine.yaml exists already; edit it, or give another folder"):
        write_starter(tmp_path)
    assert (tmp_path / "mine.yaml").read_text() == "name: precious\n"
