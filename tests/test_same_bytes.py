"""The same bytes wherever a job runs: on any number of cores, under any number of threads, in any environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus import prepared, write_corpus
from tests.runs import write_toy

RECORDINGS = "--utterances ../speech.parquet --noise ../noise.parquet --rir ../rir.parquet"
STEPS = (
    f"extract --config ../toy.yaml {RECORDINGS} --store store",
    "train --config ../toy.yaml --set train.quick.epochs=2 --system quick --store store --model quick",
    "train --config ../toy.yaml --system wccn --store store --model wccn",
    "enhance --store store --model quick --enhanced enhanced",
)
RUN = """
import os, sys
from reseed.cli import main
umask, cores, *steps = sys.argv[1:]
os.umask(int(umask, 8))
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
for step in steps:
    main(step.split(), prog_name="reseed", standalone_mode=False)
"""
PLACES = {  # name -> umask, cores, environment
    "one": ("022", 1, {"OMP_NUM_THREADS": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"}),
    "two": ("077", 1000, {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "4", "TZ": "Asia/Kolkata", "LC_ALL": "C"}),
    "all": ("002", 1000, {"HOME": "/none", "PYTHONHASHSEED": "2", "OPENBLAS_NUM_THREADS": "3"}),
    "pinned": ("022", 1, {"CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "3"}),
}
if int(os.environ.get("RESEED_KILLS", "0")) < 4:
    del PLACES["all"], PLACES["pinned"]
TIMES = ("train.jsonl", "README.md", "model.json")  # say how long it took, or carry the digest of what does


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_toy(tmp_path)
    write_corpus(tmp_path / "audio", splits=("train",), speakers=4, takes=4)
    prepared(tmp_path / "audio", tmp_path, ("speech", "noise", "rir"))
    return tmp_path


def test_threads_cores_and_environment_change_no_byte(corpus: Path) -> None:
    running = []
    for name, (umask, cores, said) in PLACES.items():
        (corpus / name).mkdir(mode=0o755)
        (corpus / f"{name}.tmp").mkdir()
        kept = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
        environment = {**kept, "TMPDIR": str(corpus / f"{name}.tmp"), **said}
        command = [sys.executable, "-c", RUN, umask, str(cores), *STEPS]
        running.append(subprocess.Popen(command, cwd=corpus / name, env=environment, stderr=subprocess.PIPE, text=True))
    for process in running:
        _, said_last = process.communicate()
        assert process.returncode == 0, said_last
    one, *others = (contents(corpus / name) for name in PLACES)
    assert len(one) > 20
    for name, other in zip(list(PLACES)[1:], others, strict=True):
        assert other.keys() == one.keys()
        assert [file for file in one if one[file] != other[file]] == [], name


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and bytes of every file by its name."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in TIMES]
    return {str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes()) for path in files}
