"""Where a path of a list leads: from the list's folder, the working directory, or a root named by a placeholder."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

# $data_root/a.wav, ${DATA}/a.wav, {data_root}/a.wav
_ROOT = re.compile(r"(?:\$\{(\w+)\}|\$(\w+)|\{(\w+)\})(?:[/\\]+|$)")
_ADDRESS = re.compile(r"([A-Za-z][\w+.-]+)://")


@dataclass(frozen=True)
class Place:
    """Where a recording of a list lies.

    Attributes:
        name: the path as listed, without root and suffix: what stands for an id where there is none.
    """

    path: Path
    name: str
    problem: str | None = None


class Places:
    """Finds the files that one list names.

    Args:
        source: the list.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        here, folder = Path.cwd(), source.parent
        self._folders = [folder] if folder.resolve() == here else [folder, Path()]

    def of(self, listed: str) -> Place:
        """Return where a file lies that the list names; of several places the first where there is one."""
        match = _ROOT.match(listed)
        if match is None or self._found(listed):
            if listed.startswith("file://"):
                listed = listed.removeprefix("file://")
            if address := _ADDRESS.match(listed):
                problem = f"is an address ({address[1]}): copy the recording to a file first"
                return Place(Path(listed), _without_suffix(listed), problem)
            if "\\" in listed and not self._found(listed):
                listed = listed.replace("\\", "/")  # as Windows writes it
            return Place(self._found(listed) or self._folders[0] / listed, _without_suffix(listed))
        name, rest = next(filter(None, match.groups())), listed[match.end() :]
        if root := os.environ.get(name):
            return Place(Path(root) / rest, _without_suffix(rest))
        if found := self._found(rest):
            return Place(found, _without_suffix(rest))
        problem = f"begins with {name}, which is not set: export {name}=FOLDER"
        return Place(Path(listed), _without_suffix(rest), problem)

    def _found(self, listed: str) -> Path | None:
        if "\0" in listed:
            return None
        return next((path for folder in self._folders if (path := folder / listed).exists()), None)


def _without_suffix(listed: str) -> str:
    return listed.removesuffix(Path(listed).suffix)
