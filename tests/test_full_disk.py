"""Every command that writes, on a disk that is too small: one line, status 1, nothing left, the old state untouched.

Some commands are tried in one size; with RESEED_KILLS of 100 or more all of them in 40, and on a read-only disk.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.verbs import VERBS, Verb, begin, remove, write_house
from tests.warm import ask

EVERYTHING = int(os.environ.get("RESEED_KILLS", "0")) >= 100
SIZES = 40 if EVERYTHING else 1
SHARE = ("prepare-train.noise", "train-quick", "export-model-torchscript", "export-kaldi", "compact")
NEEDED = ("prepare-train", "prepare-train.noise", "extract", "train-quick")
PAGE, MOST = 4096, 1 << 30
NO_ROOM = re.compile(r"(free on the disk|and its disk has .* left); make room")
SHARD = re.compile(r"(^|/)shards/\d{5}-[0-9a-f]{8}\.(h5|parquet)$")

State = dict[str, bytes | None]


@dataclass(frozen=True)
class Disk:
    """A file system of its own."""

    path: Path

    def resize(self, size: int, *options: str) -> None:
        mount = ["mount", "-o", ",".join(["remount", f"size={size}", *options]), str(self.path)]
        subprocess.run(mount, check=True)

    def leave(self, free: int) -> None:
        """Leave so many bytes free."""
        found = os.statvfs(self.path)
        self.resize((found.f_blocks - found.f_bfree) * found.f_frsize + free)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Disk]:
    """A disk that holds the folder of all commands, each of which has been called once."""
    path = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", f"size={MOST}", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        finished = request.getfixturevalue("finished") if EVERYTHING else None
        write_house(path, finished, VERBS if EVERYTHING else NEEDED)
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("name", VERBS if EVERYTHING else SHARE)
def test_a_disk_that_is_too_small_is_one_line_and_the_old_state(name: str, disk: Disk, tmp_path: Path) -> None:
    verb, house, failed = VERBS[name], disk.path, 0
    disk.resize(MOST)
    begin(verb, house)
    before = state(house)
    status, said = ask(*verb.line.split(), folder=house)
    assert status == 0, said
    for made in verb.made:
        copy(house / made, tmp_path / made)
    after = state(house)
    changed = [content for file, content in after.items() if content is not None and before.get(file) != content]
    pages = sum(len(content) // PAGE + 2 for content in changed)
    sizes = sorted({round(step * pages / (SIZES - 1)) for step in range(SIZES)}) if EVERYTHING else [pages // 2]
    try:
        for number, size in enumerate(sizes):
            begin(verb, house)
            for made in verb.made if number % 2 and not verb.start else ():
                copy(tmp_path / made, house / made)
            failed += check_with(verb, disk, size * PAGE, after)
        if EVERYTHING:
            begin(verb, house)
            disk.resize(MOST, "ro")
            found, (status, said) = state(house), ask(*verb.line.split(), folder=house)
            check_refusal(status, said, found, state(house), re.compile("Read-only file system"))
    finally:
        disk.resize(MOST, "rw")
        for made in verb.made:
            copy(tmp_path / made, house / made)  # other commands read it
    print(f"{name}: {len(sizes)} sizes up to {pages * PAGE:,} bytes, {failed} refused")


def check_with(verb: Verb, disk: Disk, free: int, after: State) -> bool:
    """Call a command with so many bytes free; says whether it failed."""
    before = state(disk.path)
    disk.leave(free)
    status, said = ask(*verb.line.split(), folder=disk.path)
    disk.resize(MOST)
    if status == 0:
        assert state(disk.path).keys() == after.keys()
    elif not (verb.refused and verb.refused in said):
        check_refusal(status, said, before, state(disk.path), NO_ROOM)
    return status != 0


def check_refusal(status: int, said: str, before: State, after: State, reason: re.Pattern[str]) -> None:
    """Check what a command said and left that could not write; finished shards stay, for the next try."""
    told = [line for line in said.splitlines() if line.startswith("reseed: ")]
    assert status == 1, said
    assert len(told) == 1, said
    assert reason.search(told[0]), said
    assert "Traceback" not in said, said
    assert {name for name, content in before.items() if after.get(name, "lost") != content} == set()
    new = after.keys() - before.keys()
    kept = {name for name in new if SHARD.search(name)}
    assert new - kept - {str(above) for name in kept for above in Path(name).parents} == set()


def state(folder: Path) -> State:
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in found}


def copy(source: Path, target: Path) -> None:
    remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
