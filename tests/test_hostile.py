"""Files that somebody made to do harm, read by each command that reads their kind: a result or one line, within bounds.

All are drawn from a seed. RESEED_KILLS sets how many are tried (four by default).
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from reseed.stages.enhancers.mlp import RdmMlp
from tests.corpus import voice, write_wave
from tests.runs import RUN
from tests.stages.stores import write_store

ROOT = Path(__file__).resolve().parents[1]
MORE_MEMORY, PATIENCE_S = 3 << 30, 600  # a command beyond either has blown up or hangs
EXPORTED = {"npy": "npy", "kaldi": "kaldi", "tar": "webdataset", "table.parquet": "parquet"}
TRIALS = "trials --config run.yaml --set trials.list=trials.txt --utterances utterances.parquet"
AUDIT, ENHANCE = "audit store --replay 0", "enhance --store store --model model --enhanced out"
# File -> the commands that read it.
READERS = {
    "store/store.json": ["info store", "verify store", AUDIT, ENHANCE],
    "store/rejects.parquet": ["verify store", AUDIT, "drop store --speaker spk-1"],
    "store/shards/*.h5": ["verify store", "all-pairs store --out out", AUDIT],
    "store/shards/*.parquet": ["verify store", "export store --out out", "info store"],
    "model/model.json": [ENHANCE, "export-model model --out out"],
    "model/model.safetensors": [ENHANCE],
    "run.yaml": ["config run.yaml"],
    "npy/vectors.npy": ["import npy --format npy --store out"],
    "npy/rows.jsonl": ["import npy --format npy --store out"],
    "npy/export.json": ["import npy --format npy --store out"],
    "kaldi/embeddings.ark": ["import kaldi/embeddings.ark --format kaldi --store out --set space=s"],
    "kaldi/embeddings.scp": ["import kaldi/embeddings.scp --format kaldi --store out --set space=s"],
    "bare/vectors.npy": ["import bare --format npy --store out --set space=s"],
    "bare/rows.jsonl": ["import bare --format npy --store out --set space=s"],
    "tar/00000.tar": ["import tar --format webdataset --store out --set space=s"],
    "table.parquet": ["import table.parquet --store out", "threshold table.parquet --false-accept 0.01"],
    "utterances.parquet": ["divide --config run.yaml --utterances utterances.parquet --held-out out --rest out2"],
    "list.csv": ["prepare --config run.yaml --source list.csv --utterances out --rejects out2"],
    "list.jsonl": ["prepare --config run.yaml --source list.jsonl --utterances out --rejects out2"],
    "speech/s/a.wav": ["prepare --config run.yaml --source speech --utterances out --rejects out2"],
    "trials.txt": [f"{TRIALS} --trials out"],
    "seed.pth": ["adopt seed.pth --store store --model out"],
}  # fmt: skip


def write_world(folder: Path) -> None:
    """Write a sound file of every kind."""
    (folder / "run.yaml").write_text(RUN)
    write_store(folder / "store", utterances=12, crops=1, shards=2)
    for speaker in ("s", "t"):
        for take in "ab":
            write_wave(folder / "speech" / speaker / f"{take}.wav", voice(ord(speaker) % 7, ord(take) % 5, 1.0))
    files = sorted((folder / "speech").rglob("*.wav"))
    (folder / "list.csv").write_text("path,speaker\n" + "".join(f"{path},{path.parent.name}\n" for path in files))
    (folder / "list.jsonl").write_text(
        "".join(json.dumps({"path": str(path), "speaker": "s"}) + "\n" for path in files)
    )
    (folder / "trials.txt").write_text("1 s/a s/b\n0 s/a t/b\n")
    torch.save(RdmMlp(16).state_dict(), folder / "seed.pth")
    for line in (
        "train --config run.yaml --system wccn --store store --model model",
        *(f"export store --out {name} --format {kind}" for name, kind in EXPORTED.items()),
        "prepare --config run.yaml --source speech --utterances utterances.parquet --rejects r.parquet",
    ):  # fmt: skip
        status, said = run(line, folder)
        assert status == 0, said
    shutil.copytree(folder / "npy", folder / "bare")
    for name in ("bare", "kaldi", "tar"):  # without the digests of an export
        (folder / name / "export.json").unlink()


def hostile_forms(path: Path, rng: random.Random) -> dict[str, Callable[[], object]]:
    """Return what may be put in the place of a file: by name, what does it."""
    sound = path.read_bytes()

    def put(data: bytes) -> Callable[[], object]:
        return lambda: (path.unlink(), path.write_bytes(data))

    def linked(target: str) -> Callable[[], object]:
        return lambda: (path.unlink(), path.symlink_to(target))

    def flipped() -> bytes:
        data = bytearray(sound)
        for _ in range(rng.choice([1, 8, 64])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)

    def numbered(number: bytes) -> bytes:
        found = list(re.finditer(rb"(?<![\w.])\d+(?![\w.])", sound)) or [re.match(b"", sound)]
        chosen = rng.choice(found)
        return sound[: chosen.start()] + number + sound[chosen.end() :]

    deep, table = 200_000, pa.BufferOutputStream()
    pq.write_table(pa.table({"utterance_id": pa.array(["a"] * 1_000_000).dictionary_encode()}), table)
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    header = (
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 999999999), }".ljust(
            128
        )
    )
    return {
        "empty": put(b""), "cut": put(sound[: rng.randrange(len(sound))]), "flipped": put(flipped()),
        "random": put(rng.randbytes(4096)), "zeros": put(bytes(1 << 20)), "doubled": put(sound * 2),
        "pipe": lambda: (path.unlink(), os.mkfifo(path)), "device": linked("/dev/zero"), "loop": linked(path.name),
        "dangling": linked("nowhere"), "folder": lambda: (path.unlink(), path.mkdir()),
        "deep JSON": put(b"[" * deep), "deep object": put(b'{"a":' * deep), "alias bomb": put(bomb.encode()),
        "deep YAML": put(b"a: " + b"[" * 5000), "huge line": put(b"a" * (64 << 20)), "NUL": put(b"a\0b,c\0d\n\0"),
        "control": put(b'{"path": "\x1b[2Ja\\u0000\\ud800", "utterance_id": "\\u001b]0;x"}\n'),
        "huge count": put(numbered(b"99999999999999999999")), "large count": put(numbered(b"100000000")),
        "negative": put(numbered(b"-1")), "huge array": put(header),
        "another table": put(table.getvalue().to_pybytes()),
        "a pickle": put(b"cos\nsystem\n(S'touch hacked'\ntR."), "digits": put(b"9" * 100_000),
        "not UTF-8": put(b"\xff\xfe\xfa" * 100),
    }  # fmt: skip


def run(line: str, folder: Path) -> tuple[int, str]:
    """Run a command in a process of its own that has loaded what this one has; returns its status and what it said."""
    said = folder / ".said"
    if (child := os.fork()) == 0:
        status = 70
        try:
            os.chdir(folder)
            with said.open("w") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MORE_MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (space, space))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.alarm(PATIENCE_S)
            status = _main(line.split())
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), said.read_text(errors="replace")


def _main(arguments: list[str]) -> int:
    from reseed.cli import main

    try:
        main(arguments, prog_name="reseed")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


def campaign(folder: Path, rounds: int, seed: int) -> None:
    """Try so many hostile files, and write what came of each as a line of JSON."""
    torch.set_num_threads(1)
    write_world(folder)
    rng = random.Random(seed)
    cases = [(name, form) for name in READERS for form in hostile_forms(next(folder.glob(name)), rng)]
    rng.shuffle(cases)
    shutil.copytree(folder, folder.with_name("sound"), symlinks=True)
    for name, form in cases[:rounds]:
        for line in READERS[name]:
            shutil.rmtree(folder)
            shutil.copytree(folder.with_name("sound"), folder, symlinks=True)
            hostile_forms(next(folder.glob(name)), rng)[form]()
            started = time.monotonic()
            status, said = run(line, folder)
            hacked = (folder / "hacked").exists()
            row = {"file": name, "form": form, "line": line, "status": status, "said": said, "hacked": hacked}
            print(json.dumps({**row, "seconds": round(time.monotonic() - started, 1)}), flush=True)


def _says_why(row: dict) -> bool:
    """Say whether a refusal is one line; a run lists all that is in its way, an audit its rules."""
    is_audit = row["line"].startswith("audit") and row["said"].startswith("Do not trust")
    return row["file"] == "run.yaml" or is_audit or len(re.findall(r"^reseed: ", row["said"], re.M)) == 1


def test_a_hostile_file_gives_a_result_or_one_line(tmp_path):
    rounds = int(os.environ.get("RESEED_KILLS", "4"))
    (tmp_path / "world").mkdir()
    world = str(tmp_path / "world")
    code = f"import pathlib, tests.test_hostile as t; t.campaign(pathlib.Path({world!r}), {rounds}, 0)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    print(len(rows), Counter(row["status"] for row in rows), max(row["seconds"] for row in rows))
    bad = [
        row
        for row in rows
        if row["status"] not in (0, 1, 2) or row["hacked"] or "Traceback" in row["said"] or "unexpected" in row["said"]
        or (row["status"] == 1 and not _says_why(row))
    ]  # fmt: skip
    assert len(rows) >= rounds
    assert not bad, "\n".join(" | ".join(map(str, row.values())) for row in bad)
