"""Whole runs for tests, by the command line, through real Snakemake, on a small corpus."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO
from unittest import mock

import soundfile
import yaml

from reseed.cli import main
from tests.corpus import write_corpus
from tests.warm import server

_SPEEDS = re.compile(rb'"(pairs|crops)_per_s": \d+')
# Settings for commands that are called by themselves.
RUN = """
name: mine
device: cpu
synthesise: {}
calibrate: {}
extract:
  train: {views: {clean: {}, noise: {noise: [0, 15]}}}
  evaluation: {views: {clean: {}}}
train: {wccn: {}}
"""

VIEWS = {"clean": {}, "noise": {"noise": [0, 15]}, "reverb_babble": {"reverb": True, "babble": 5}}


def write_toy(folder: Path) -> None:
    """Write recordings and, as toy.yaml, the configuration of a run over them."""
    write_corpus(folder / "audio", speakers=4, takes=4)
    config = {
        "name": "toy",
        "corpus": {"root": str(folder / "audio")},
        "extract": {
            "shards": 4,
            "jobs": 1,
            "train": {"crops": {"count": 2}, "views": VIEWS},
            "evaluation": {"crops": {"count": 2, "placement": "even"}, "views": VIEWS},
        },
        "train": {"wccn": {}, "quick": {"method": "mse", "epochs": 1}},
        "report": {"bootstrap_replicates": 20},
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(config))


def changed(toy: Path, path: Path, **sections: object) -> Path:
    """Write the configuration with other sections, and return where."""
    path.write_text(yaml.safe_dump(yaml.safe_load(toy.read_text()) | sections))
    return path


def reseed(*arguments: object, ok: bool = True) -> str:
    """Run a command in this process, and the steps of a run by a server, for both have torch loaded.

    Returns:
        What the command and its steps printed.
    """
    with tempfile.TemporaryFile("w+") as printed:
        with (
            _printing_to(printed),
            mock.patch("reseed.pipeline.run.warm", return_value=nullcontext(server())),
        ):
            try:
                main([str(argument) for argument in arguments], prog_name="reseed")
            except SystemExit as ended:
                status = ended.code
        printed.seek(0)
        output = printed.read()
    assert (status == 0) is ok, output
    return output


def times(run: Path) -> dict[str, int]:
    """Return when each artefact was last written; Snakemake's own records and the lock aside."""
    files = [path for path in run.rglob("*") if path.is_file() and ".snakemake" not in path.parts]
    return {str(path.relative_to(run)): path.stat().st_mtime_ns for path in files if path.name != ".lock"}


def contents(path: Path) -> bytes:
    """Return what a file says, apart from when it was written and how fast that went."""
    if path.suffix == ".wav":  # libsndfile puts the time into its header
        return soundfile.read(path)[0].tobytes()
    if path.match("versions/log.json"):
        return b"".join(re.findall(rb'"(?:number|by|rows|utterances|header)": .*', path.read_bytes()))
    return _SPEEDS.sub(b"", path.read_bytes())


@contextmanager
def _printing_to(file: IO[str]) -> Iterator[None]:
    """Send both streams to a file, those of this process and those that processes started by it inherit."""
    kept = [os.dup(1), os.dup(2)]
    try:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        with redirect_stdout(file), redirect_stderr(file):
            yield
            sys.stdout.flush()
    finally:
        for stream, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, stream)
            os.close(copy)
