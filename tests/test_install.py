"""What a user installs: the wheel, what it brings along, and a run with it far from any checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpus import write_corpus

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
FOLDERS = ("pipeline", "stages", "store", "testing", "configs")
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
# A package of Snakemake's that is published as source alone; it is Python throughout, which the test sees to.
PURE_SOURCE = "connection-pool"
UNANSWERED = re.compile(r".*(Failed to fetch|error sending request|network was disabled).*")
INSTALL = re.findall(r"^uv (pip install [^#\n]*)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def uv(*arguments: object) -> str:
    """Run uv, where no compiler is to be found; skip where no package registry answers."""
    if UV is None:
        pytest.skip("uv is not installed; `make setup` installs it")
    environment = {**os.environ, "CC": "false", "CXX": "false"}
    command = [UV, *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode and (said := UNANSWERED.search(done.stderr)):
        pytest.skip(f"no package registry answers: {said[0].strip()}")
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy: a build leaves folders behind where it works."""
    source, folder = tmp_path_factory.mktemp("source") / "any name", tmp_path_factory.mktemp("wheel")
    hidden = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "runs", "shared")
    shutil.copytree(ROOT, source, ignore=hidden)
    script = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, folder], cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def held(wheel) -> set[str]:
    """The files of the wheel."""
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_the_one_package_all_of_it_and_nothing_else(held):
    files = {path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()}
    wanted = {f"reseed/{path.relative_to(ROOT)}" for path in files if "__pycache__" not in path.parts}
    wanted |= {f"reseed/{name}" for name in ("__init__.py", "cli.py", "py.typed", "Snakefile")}
    metadata = {name for name in held if re.match(r"reseed-[\d.]+\.dist-info/", name)}
    assert held - metadata == wanted


def test_every_folder_of_code_is_listed_as_a_package():
    folders = {path.parent.relative_to(ROOT) for name in FOLDERS for path in (ROOT / name).rglob("__init__.py")}
    assert SETUP["packages"] == ["reseed", *sorted("reseed." + ".".join(folder.parts) for folder in folders)]
    for name in FOLDERS[:-1]:  # a folder without the file would be left out
        assert {path.parent.relative_to(ROOT) for path in (ROOT / name).rglob("*.py")} <= folders


def test_the_wheel_needs_no_compiler(wheel, tmp_path):
    uv("venv", tmp_path / "venv", "--python", sys.executable)
    binary = ("--only-binary", ":all:", "--no-binary", PURE_SOURCE)
    planned = uv("pip", "install", "--dry-run", "--python", tmp_path / "venv", *binary, wheel)
    assert re.search(r"\+ torch==", planned)
    assert not re.search(r"\+ (resemblyzer|webrtcvad|typing|espeakng-loader|pyroomacoustics)==", planned)


class Environment:
    """A fresh environment, made as README says, and a folder to work in."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.venv, self.work = folder / "venv", folder / "work"
        uv("venv", self.venv, "--python", sys.executable)
        files = {LOCK.name: LOCK, wheel.name: wheel}
        uv(*(files.get(word, word) for word in INSTALL[0].split()), "--python", self.venv)
        self.work.mkdir()
        for name in ("cli", "pipeline", "stages", "store"):
            (self.work / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the working folder was imported')\n")

    def run(self, *command: object, ok: bool = True) -> str:
        """Run a command of the environment in the working folder; return what it printed on both streams."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"VIRTUAL_ENV": str(self.venv), "PATH": f"{self.venv / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            [*map(str, command)], env=environment, cwd=self.work, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Iterator[Environment]:
    environment = Environment(tmp_path_factory.mktemp("installed"), wheel)
    yield environment
    shutil.rmtree(environment.venv)  # 4.5 GB, where uv cannot link to its cache


def test_lock_and_wheel_install_what_is_needed_and_nothing_that_was_compiled(installed):
    site = next((installed.venv / "lib").glob("python*/site-packages"))
    assert "Root-Is-Purelib: true" in next(site.glob("connection_pool-*/WHEEL")).read_text()
    assert not [*site.glob("pytest"), *site.glob("resemblyzer"), *site.glob("webrtcvad*"), *site.glob("typing.py")]
    pinned = re.search(r"^torch==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    assert (site / f"torch-{pinned[1]}.dist-info").is_dir()


def test_the_package_is_imported_beside_modules_of_other_names_and_loads_neither_torch_nor_matplotlib(installed):
    script = (
        "import sys, reseed; assert not {'torch', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "from reseed import EmbeddingStore; assert not {'torch', 'matplotlib'} & set(sys.modules)\n"
        "from reseed import Enhancer; print(reseed.__file__)"
    )
    assert str(installed.venv) in installed.run("python", "-c", script)


def test_a_program_that_imports_it_is_checked_against_its_types(installed):
    (installed.work / "service.py").write_text(
        "from pathlib import Path\n\nfrom reseed import EmbeddingStore\n\n"
        "store = EmbeddingStore(Path('store'))\nreveal_type(store.dim)\nstore.vectors(view=3)\n"
    )
    checked = (sys.executable, "-m", "mypy", "--python-executable", installed.venv / "bin" / "python")
    said = installed.run(*checked, "--strict", "--follow-imports=silent", "service.py", ok=False)
    assert re.search(r'note: Revealed type is "(builtins\.)?int"', said)
    assert re.search(r'Argument "view" to "vectors" of "EmbeddingStore" has incompatible type "int"', said)
    assert "Found 1 error" in said


def test_missing_extras_are_a_line_each_with_the_command_that_mends_it(installed):
    first, *others = installed.run("reseed", "demo", ok=False).splitlines()
    assert first == "reseed: 2 things are in the way, so nothing was started"
    mending = [re.search("run `uv (.*?)`", line)[1] for line in others]
    assert mending == [INSTALL[2].strip(), INSTALL[1].strip()]


def test_init_and_run_end_in_a_report_in_an_empty_folder(installed):
    assert "reseed run mine.yaml" in installed.run("reseed", "init")
    settings = {
        "corpus.root": write_corpus(installed.work / "corpus"),
        "extract.jobs": 1,
        "extract.train.views": "{clean: {}, phone: {mu_law: true}}",
        "extract.evaluation.views": "{clean: {}, phone: {mu_law: true}}",
        "train": "{}",
        "report.bootstrap_replicates": 20,
    }
    command = ["reseed", "run", "mine.yaml", *(f"--set={name}={value}" for name, value in settings.items())]
    said = installed.run(*command, ok=False)
    mending = re.fullmatch(r"reseed: .* package resemblyzer, which is not installed; run `uv (.*?)` .*\n", said)
    assert mending[1] == INSTALL[1].strip()
    assert not (installed.work / "runs/mine/corpus").exists()  # said before any work is done
    uv(*mending[1].split(), "--python", installed.venv)
    assert "report: runs/mine/report/index.html" in installed.run(*command)
    metrics = json.loads((installed.work / "runs/mine/report/metrics.json").read_text())
    assert {row["system"] for row in metrics} == {"raw"}


def test_a_package_of_ones_own_is_found_beside_the_wheel(installed, tmp_path):
    source, folder = tmp_path / "plugin", tmp_path / "wheel"
    shutil.copytree(ROOT / "examples" / "plugin", source)
    script = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, folder], cwd=source, check=True, capture_output=True)
    (own,) = folder.glob("*.whl")
    uv("pip", "install", "--offline", "--no-deps", "--python", installed.venv, own)
    assert "80 dimensions, 16000 Hz" in installed.run("reseed", "check-backbone", "band_statistics")
    (installed.work / "own.yaml").write_text(
        "{name: own, corpus: {root: .}, extract: {train: {views: {clean: {}}}, evaluation: {views: {clean: {}}}}, "
        "backbone: {name: band_statistics}, train: {mine: {method: standardise, floor: 0.2}}}"
    )
    assert "floor: 0.2" in installed.run("reseed", "config", "own.yaml")
