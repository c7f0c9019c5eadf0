"""What `reseed --help` shows and loads, and what the shell completes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reseed.cli import GROUPS, main

HEAVY = {"torch", "numpy", "pyarrow", "h5py", "scipy", "sklearn", "matplotlib", "pydantic", "yaml", "dask", "snakemake"}
GUIDE = (Path(__file__).resolve().parents[1] / "docs" / "commands.md").read_text(encoding="utf-8")
# What bash does as Tab is pressed after the last of some words.
TAB = """
complete -p reseed | grep -q _reseed_completion || exit
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_reseed_completion reseed
printf '%s\\n' "${COMPREPLY[@]}"
"""


def test_every_command_stands_in_exactly_one_group():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(main.commands)


def test_the_help_shows_the_groups_in_order_and_every_command_with_what_it_does():
    shown = CliRunner().invoke(main, ["--help"]).output
    headings = [line.removesuffix(":") for line in shown.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == ["Options", *GROUPS]
    described = {line.split()[0] for line in shown.splitlines() if line.startswith("  ") and len(line.split()) > 1}
    assert set(main.commands) <= described


@pytest.mark.parametrize("former", ["--page", "--page=audit.html"])
def test_what_an_option_was_called_is_understood_with_a_hint(former, tmp_path):
    given = ["audit", str(tmp_path / "none"), *([former] if "=" in former else [former, "audit.html"])]
    hint, refused = CliRunner().invoke(main, given).output.splitlines()
    assert hint == "reseed: --page is called --out now; the next release will not know --page"
    assert refused.startswith(f"reseed: {tmp_path / 'none'} is not a finished store")
    assert CliRunner().invoke(main, ["info", "store", "--page", "x"]).exit_code == 2


def test_the_help_loads_nothing_that_computes():
    asked = (
        "import sys; from reseed.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules, sep=',')"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert not HEAVY & {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split(",")}


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_commands_and_options_by_the_line_of_the_guide(tmp_path):
    program = tmp_path / "reseed"
    program.write_text(f"#!{sys.executable}\nfrom reseed.cli import main\nmain()\n")
    program.chmod(0o755)
    line = re.search(r"^eval .*bash_source.*$", GUIDE, re.MULTILINE)[0]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def completed(*words: str) -> list[str]:
        called = ["bash", "-c", line + TAB, "bash", *words]
        return subprocess.run(called, env=environment, capture_output=True, text=True, check=True).stdout.split()

    assert completed("reseed", "tra") == [name for name in sorted(main.commands) if name.startswith("tra")]
    assert completed("reseed", "train", "--dev") == ["--device"]
