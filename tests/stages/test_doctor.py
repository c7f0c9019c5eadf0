"""`reseed doctor` on this machine, and on one that lacks something."""

import importlib.metadata
import json
import os
import shutil
import sys
from pathlib import Path

from click.testing import CliRunner

from reseed.cli import main
from reseed.stages.doctor import doctor


def asked(*options: str):
    return CliRunner().invoke(main, ["doctor", *options])


def test_it_says_what_is_there_as_it_is_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = asked("--json")
    assert shown.exit_code == 0
    found = json.loads(shown.output)
    assert found["broken"] == []
    for package in ("torch", "h5py", "pyarrow"):
        assert found["versions"][package] == importlib.metadata.version(package)
    assert found["devices"]["CPU cores"].endswith(f"of {os.cpu_count()}")
    assert found["audio"]["PyAV"].startswith("libavcodec ")
    assert found["disk"]["free"].endswith(f" in {tmp_path}")
    for path in filter(None, found["weights"].values()):
        assert Path(path).is_file()
    missing = {name for facts in found.values() if isinstance(facts, dict) for name in facts if facts[name] is None}
    assert missing == set(found["advice"])
    assert [*tmp_path.iterdir()] == []


def test_what_cannot_be_loaded_and_nothing_works_without_is_named_in_a_line_with_exit_code_1(tmp_path, monkeypatch):
    (tmp_path / "soundfile.py").write_text("raise OSError('libsndfile.so.1:\\nno such file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "soundfile", raising=False)
    shown = asked()
    version = importlib.metadata.version("soundfile")
    last = f"soundfile {version} cannot be loaded (OSError: libsndfile.so.1: no such file); install it again"
    assert shown.exit_code == 1
    assert shown.stderr == f"reseed: {last}\n"
    assert f"  soundfile    none: {last}\n" in shown.stdout


def test_what_is_not_installed_is_named_with_what_to_install(monkeypatch):
    every = importlib.metadata.Distribution.from_name

    def without(name: str) -> importlib.metadata.Distribution:
        if name in {"silero-vad", "tensorboard", "duckdb"}:
            raise importlib.metadata.PackageNotFoundError(name)
        return every(name)

    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", without)
    found = doctor()
    assert found.broken == ["duckdb is not installed; run `uv pip install duckdb`"]
    advice = found.to_json()["advice"]
    assert advice["tensorboard"] == "run `uv pip install tensorboard`"
    assert "run `uv pip install --no-deps silero-vad`" in advice["silero"]


def test_slurm_is_what_its_commands_say(tmp_path, monkeypatch):
    for name, text in {"sbatch": "echo slurm 23.11.4", "sinfo": "exit 1"}.items():
        (tmp_path / name).write_text(f"#!{shutil.which('sh')}\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    slurm = doctor().to_json()["Slurm"]
    assert slurm == {"sbatch": f"slurm 23.11.4 ({tmp_path}/sbatch)", "sinfo": f"no version ({tmp_path}/sinfo)"}
    monkeypatch.setenv("PATH", "")
    assert doctor().to_json()["Slurm"] == {"sbatch": None, "sinfo": None}
