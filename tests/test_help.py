"""What `reseed --help` shows, and what it takes: nothing that computes is loaded for it."""

import subprocess
import sys

from click.testing import CliRunner

from reseed.cli import GROUPS, main

HEAVY = {"torch", "numpy", "pyarrow", "h5py", "scipy", "sklearn", "matplotlib", "pydantic", "yaml", "dask", "snakemake"}


def test_every_command_stands_in_exactly_one_group():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(main.commands)


def test_the_help_shows_the_groups_in_order_and_every_command_with_what_it_does():
    shown = CliRunner().invoke(main, ["--help"]).output
    headings = [line.removesuffix(":") for line in shown.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == ["Options", *GROUPS]
    described = {line.split()[0] for line in shown.splitlines() if line.startswith("  ") and len(line.split()) > 1}
    assert set(main.commands) <= described


def test_the_help_loads_nothing_that_computes():
    asked = (
        "import sys; from reseed.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules, sep=',')"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert not HEAVY & {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split(",")}
