"""The project as a product: commands, guides, the lock file; test_install.py has what a user installs."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import reseed
from reseed.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
INTERNAL = ROOT / "CONTRIBUTING.md"
OF_THE_PROJECT = [INTERNAL, ROOT / "SECURITY.md", ROOT / "CODE_OF_CONDUCT.md"]
GUIDES = [ROOT / "README.md", *OF_THE_PROJECT, *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_documented_and_has_help(name):
    assert f"`reseed {name}`" in COMMANDS
    shown = CliRunner().invoke(main, [name, "--help"])
    assert shown.exit_code == 0
    for option in main.commands[name].params:
        if option.param_type_name == "option":
            assert getattr(option, "help", None), f"{name}: {option.opts} has no help"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_every_command_of_a_guide_exists(guide):
    assert set(re.findall(r"`reseed ([a-z][a-z-]*)[` ]", guide.read_text(encoding="utf-8"))) <= set(main.commands)


def test_every_file_that_a_guide_points_to_exists_and_nothing_is_left_to_fill_in():
    for guide in GUIDES:
        prose = re.sub(r"^ *```.*?^ *```", "", guide.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(((?!http|#)[^)#]+)", prose):
            assert (guide.parent / target).stat().st_size > 0, f"{guide}: {target}"
    assert not re.search(r"^(RESULTS|TODO)", README, re.MULTILINE)


def test_the_public_names_are_these_and_each_says_what_it_is():
    assert reseed.__all__ == [
        "AudioError",
        "ConfigError",
        "EmbeddingStore",
        "Enhancer",
        "ManifestError",
        "Metrics",
        "ModelError",
        "ReseedError",
        "ScoringError",
        "StoreDataset",
        "StoreError",
        "VectorEnhancer",
        "embed",
        "evaluate",
    ]
    for name in reseed.__all__:
        assert name in dir(reseed)
        assert getattr(reseed, name).__doc__
        assert f"`{name}`" in reseed.__doc__
    with pytest.raises(AttributeError, match="module 'reseed' has no attribute 'Embedding'; it has AudioError, "):
        reseed.Embedding  # noqa: B018


@pytest.mark.parametrize("guide", [path for path in GUIDES if path != INTERNAL], ids=lambda path: path.name)
def test_the_python_of_a_guide_uses_public_names_alone(guide):
    for code in re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("reseed"):
                assert node.module == "reseed"
                assert {alias.name for alias in node.names} <= set(reseed.__all__)
            if isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.startswith("reseed.")]


def test_usage_errors_exit_with_2_and_failures_with_1_and_one_line(tmp_path):
    runner = CliRunner()
    assert runner.invoke(main, ["extract"]).exit_code == 2
    assert runner.invoke(main, ["nonsense"]).exit_code == 2
    failed = runner.invoke(main, ["info", str(tmp_path)])
    assert failed.exit_code == 1
    assert failed.output == f"reseed: {tmp_path} is not a finished store: it has no store.json; run `reseed extract`\n"


def test_debug_shows_the_traceback(tmp_path):
    failed = CliRunner().invoke(main, ["--debug", "info", str(tmp_path)])
    assert type(failed.exception).__name__ == "StoreError"


def test_the_lock_pins_by_hash_and_names_no_host():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--index-url" not in lock
    assert lock.count("--hash=sha256:") > 500


def test_every_package_of_the_lock_has_its_licence_in_one_row_of_the_page():
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .+ \| (.+) \|$", page.partition("| licence | packages |\n|---|---|\n")[2], re.MULTILINE)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
    assert sorted(name for row in rows for name in row.split(", ")) == sorted(locked), "run `python docs/licences.py`"


@pytest.mark.parametrize("template", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*")), ids=lambda path: path.name)
def test_an_issue_template_has_a_name_and_says_what_it_is_for(template):
    _, head, body = template.read_text(encoding="utf-8").split("---\n", 2)
    assert set(yaml.safe_load(head)) == {"name", "about"}
    assert body.count("**") >= 6
    assert set(re.findall(r"`reseed ([a-z][a-z-]*)", body)) <= set(main.commands)
