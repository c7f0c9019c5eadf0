"""Stories of examples/: their commands are carried out, and what they print is what stands there.

A block ```console has commands behind `$` and what each prints; one of another language behind a line that ends in
`NAME`: is written as that file. `python -m tests.stories` writes what is printed now into the stories.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.warm import server

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
STORIES = sorted(path for path in EXAMPLES.glob("*.md") if path.name != "README.md")
_BLOCK = re.compile(
    r"^(?:[^\n]*`(?P<name>[\w./-]+)`:\n\n)?```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
_COMMAND = re.compile(r"^\$ (?P<command>.*(?:\n> .*)*)\n?", re.MULTILINE)
_MADE = re.search(r"^reseed (synthesise .*?)$", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def make_corpus(folder: Path) -> Path:
    """Make the corpus that examples/README.md tells how to make."""
    _said(f"reseed {_MADE[1]}", folder)
    return folder / "corpus"


def told_anew(story: str, folder: Path) -> str:
    """Return a story with what its commands print now, in a folder that has the corpus."""
    return _BLOCK.sub(lambda block: _block(block, folder), story)


def in_words(text: str) -> list[str]:
    """Return the lines of a text without what differs from machine to machine: numbers, digests, what was faster."""
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|[-+]?\d[\d.,:]*", "#", text)
    return sorted(" ".join(sorted(re.sub(r"[ #,]+|\band\b", " ", line).split())) for line in text.splitlines())


def _block(block: re.Match[str], folder: Path) -> str:
    if block["kind"] != "console":
        if block["name"]:
            (folder / block["name"]).write_text(block["body"])
        return block[0]
    told = "".join(f"$ {command}\n{_said(command, folder)}" for command in _commands(block["body"]))
    return block[0].replace(block["body"], told)


def _commands(body: str) -> Iterator[str]:
    for found in _COMMAND.finditer(body):
        yield found["command"]


def _said(command: str, folder: Path) -> str:
    path = os.pathsep.join([str(server().commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    environment |= {"COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    line = command.replace("\n> ", "\n")
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.replace(f"{folder}/", "").splitlines())


def _main() -> None:
    with tempfile.TemporaryDirectory() as name:
        corpus = make_corpus(Path(name))
        for path in STORIES if len(sys.argv) == 1 else map(Path, sys.argv[1:]):
            shutil.copytree(corpus, Path(name) / path.stem / "corpus")
            path.write_text(told_anew(path.read_text(encoding="utf-8"), Path(name) / path.stem), encoding="utf-8")


if __name__ == "__main__":
    _main()
