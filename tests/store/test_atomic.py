"""Whole files or none, readable for whom their directory is, and nothing left behind by killed writers."""

import errno
import os
import subprocess
import sys

import pytest

from reseed.store import WriteError, atomic


@pytest.mark.parametrize(("directory", "file"), [(0o755, 0o644), (0o700, 0o600), (0o770, 0o660)])
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_files_are_open_for_whom_their_directory_is_whatever_the_umask(tmp_path, directory, file, umask):
    tmp_path.chmod(directory)
    before = os.umask(umask)
    try:
        atomic.write_text(tmp_path / "new" / "a.txt", "a")
        with atomic.atomic_directory(tmp_path / "model") as model:
            atomic.write_text(model / "b.txt", "b")
    finally:
        os.umask(before)
    for path in (tmp_path / "new" / "a.txt", tmp_path / "model" / "b.txt"):
        assert path.stat().st_mode & 0o777 == file
        assert path.parent.stat().st_mode & 0o777 == directory


def test_the_next_write_removes_what_a_killed_writer_left_and_spares_a_living_one(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from reseed.store import atomic\n"
        "with atomic.atomic_path(Path(sys.argv[1])) as path: path.write_text('half'); print('half', flush=True); "
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.json")]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for writer in writers:
        assert writer.stdout.readline() == "half\n"
    killed, living = writers
    killed.kill()
    killed.communicate()
    atomic.write_text(tmp_path / "x.json", "whole")
    (left,) = (path.name for path in tmp_path.iterdir() if path.name != "x.json")
    assert left.endswith(f"-{living.pid}")
    living.kill()
    living.communicate()
    atomic.write_text(tmp_path / "x.json", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_files_that_belong_together_take_their_places_together_or_none_does(tmp_path):
    folder, (first, second) = tmp_path / "report", (tmp_path / "new" / "a", tmp_path / "b")
    atomic.write_text(folder / "page", "old")
    second.write_text("old")
    with pytest.raises(WriteError, match="the quota on this disk is used up"):
        _write_over_a_quota(folder, first, second)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["b", "report", "report/page"]
    assert (second.read_text(), (folder / "page").read_text()) == ("old", "old")
    with atomic.atomic_files(folder) as staged, atomic.atomic_paths(first, second) as made:
        atomic.write_text(staged / "plots" / "a.svg", "new")
        for path in made:
            atomic.write_text(path, "new")
    assert [path.read_text() for path in (first, second, folder / "plots" / "a.svg", folder / "page")] == [
        "new",
        "new",
        "new",
        "old",
    ]


def _write_over_a_quota(folder, first, second):
    with atomic.atomic_files(folder) as staged, atomic.atomic_paths(first, second) as made:
        atomic.write_text(staged / "page", "new")
        atomic.write_text(made[1], "new")
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
