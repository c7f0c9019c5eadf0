"""The example package, installed: its own tests, a run with it by Snakemake and Dask, and its code in what it makes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from reseed.stages.trial_scoring.files import read_origin
from reseed.store.header import read_header
from tests.runs import VIEWS, reseed
from tests.test_install import uv

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that the example is installed into, from a copy: a build leaves folders behind where it works."""
    source, site = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    here = ("--offline", "--no-deps", "--no-build-isolation", "--python", sys.executable)
    uv("pip", "install", *here, "--target", site, source)
    return site


@pytest.fixture
def installed(site, monkeypatch):
    """The example is on the path, of this process and of those that it starts."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH", "")))))
    return site


def settings(folder: Path) -> dict[str, object]:
    return {
        "name": "own",
        "corpus": {"root": str(folder / "audio")},
        "backbone": {"name": "band_statistics", "settings": {"bands": 16}},
        "extract": {
            "shards": 2,
            "jobs": 1,
            "dask": "local:1",
            "train": {"views": VIEWS},
            "evaluation": {"views": {"clean": {}, "noise": {"noise": 5}}},
        },
        "train": {"standardise": {}, "by_module": {"method": "reseed_example:Standardise", "floor": 0.5}},
        "score": {"scorings": ["cosine", "rank_correlation"]},
        "report": {"bootstrap_replicates": 20},
    }


def test_its_own_tests_pass_and_need_nothing_but_reseed(installed, tmp_path):
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_a_run_with_it_records_its_code_and_goes_on_from_what_changed(installed, folder, tmp_path):
    config, runs = tmp_path / "own.yaml", tmp_path / "runs"
    config.write_text(yaml.safe_dump(settings(folder)))
    reseed("run", config, "--runs", runs)
    run = runs / "own"
    rows = json.loads((run / "report" / "metrics.json").read_text())
    assert {row["system"] for row in rows} == {"raw", "centre", "standardise", "by_module"}
    assert {row["scoring"] for row in rows} == {"cosine", "rank_correlation"}
    assert "Spearman" in (run / "report" / "index.html").read_text()
    header = read_header(run / "stores/band_statistics/dev")
    (code,) = header.declaration.inputs.plugins.values()
    assert (code["distribution"], code["version"]) == ("reseed-example", "0.1.0")
    assert header.declaration.dim == 32
    for model, name in (("by_module", "reseed_example:Standardise"), ("standardise", "standardise")):
        assert json.loads((run / "models" / model / "model.json").read_text())["plugins"] == {name: code}
        enhanced = read_header(run / "stores" / f"band_statistics+{model}" / "dev")
        assert enhanced.declaration.inputs.plugins == {name: code}
    assert "plugins" not in json.loads((run / "models" / "centre" / "model.json").read_text())
    scorings = read_origin(run / "scores" / "raw.parquet").scorings
    assert scorings["rank_correlation"].inputs == {"code": code}
    assert scorings["cosine"].inputs == {}
    assert "cosine 1.0" in reseed(
        *("replay", run / "stores/band_statistics/dev", "toy/s10/s10-0", "--view", "noise"),
        *("--recordings", folder / "audio"),
    )

    again = reseed("run", config, "--runs", runs, "--dry-run")
    assert "Nothing to be done" in again
    module = installed / "reseed_example.py"
    module.write_text(module.read_text() + "# another version\n")
    again = reseed("run", config, "--runs", runs, "--dry-run")
    assert {"extract", "train", "score"} <= {*re.findall(r"^ *Job \d+: (\w+):", again, re.MULTILINE)}


def test_commands_take_it_by_name_and_say_what_there_is(installed, tmp_path):
    said = reseed("check-backbone", "band_statistics")
    assert "80 dimensions, 16000 Hz" in said
    said = reseed("check-backbone", "band_statistic", ok=False)
    assert "choose one of ge2e, " in said
    assert "band_statistics; did you mean 'band_statistics'?" in said


def test_help_and_a_run_without_it_load_nothing_of_it(installed):
    script = (
        "import sys; from reseed.cli import main; main(['config', '--help'], standalone_mode=False)\n"
        "assert not {'torch', 'reseed_example'} & set(sys.modules)\n"
        "from reseed.stages.enhancers.table import ENHANCERS; ENHANCERS.of('centre'), ENHANCERS.names\n"
        "assert 'standardise' in ENHANCERS.names; assert 'reseed_example' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
