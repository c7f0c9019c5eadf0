"""Where a path of a list leads: from the list's folder, the working directory, or a root named by a placeholder."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

from reseed.stages.audio.location import Location
from reseed.store import ManifestError
from reseed.store.url import AnyPath, Url, is_url, path_or_url, without_secrets

# $data_root/a.wav, ${DATA}/a.wav, {data_root}/a.wav, %DATA%\a.wav
_ROOT = re.compile(r"(?:\$\{(\w+)\}|\$(\w+)|\{(\w+)\}|%([A-Za-z_]\w+)%)(?:[/\\]+|$)")
_FILE_ADDRESS = re.compile(r"file:(?://(?:localhost)?)?(?=/)", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:[/\\]|\\\\")


@dataclass(frozen=True)
class Place:
    """Where a recording of a list lies.

    Attributes:
        name: the path as listed, without root and suffix: what stands for an id where there is none.
    """

    path: AnyPath | Location
    name: str
    problem: str | None = None


class Places:
    """Finds the files that one list names.

    Args:
        source: the list.
    """

    def __init__(self, source: AnyPath) -> None:
        self.source = source
        here, folder = Path.cwd(), source.parent
        # In a store nothing is looked for: each look would be a request.
        self._folders = [] if isinstance(folder, Url) else [folder] if folder.resolve() == here else [folder, Path()]

    def of(self, listed: str) -> Place:
        """Return where a file lies that the list names; of several places the first where there is one."""
        match = _ROOT.match(listed)
        if match is None or self._found(listed):
            return self._without_root(listed)
        name, rest = next(filter(None, match.groups())), listed[match.end() :]
        if root := os.environ.get(name):
            whole = f"{root.rstrip('/')}/{rest}" if is_url(root) else str(Path(root) / rest)
            return replace(self._without_root(whole), name=_without_suffix(rest.replace("\\", "/")))
        if found := self._found(rest):
            return Place(found, _without_suffix(rest))
        problem = f"begins with {name}, which is not set: export {name}=FOLDER"
        return Place(Path(listed), _without_suffix(rest), problem)

    def file(self, listed: str) -> AnyPath:
        """Return where a list or an archive lies that the list names.

        Raises:
            ManifestError: its name begins with a root that is not set, or is an address of no store.
        """
        place = self.of(listed)
        if place.problem is not None:
            raise ManifestError(f"{self.source}: {listed} {place.problem}")
        return path_or_url(str(place.path))

    def _without_root(self, listed: str) -> Place:
        if address := _FILE_ADDRESS.match(listed):
            listed = unquote(listed[address.end() :])
        elif is_url(listed):
            return self._at_url(listed)
        for reading in (listed, *_readings(listed)):
            if found := self._found(reading):
                return Place(found, _without_suffix(reading))
        listed, is_drive = listed.replace("\\", "/"), _DRIVE.match(listed)
        if isinstance(self.source, Url) and not (is_drive or listed.startswith("/")):
            return self._in_store(self.source.parent, listed)
        wrong = "is a path of Windows: list it as it is on this machine" if is_drive else None
        return Place(self._folders[0] / listed if self._folders else Path(listed), _without_suffix(listed), wrong)

    def _at_url(self, listed: str) -> Place:
        try:
            return Place(Url(listed), _without_suffix(listed))
        except ValueError as error:
            listed = without_secrets(listed)
            return Place(Location(listed), _without_suffix(listed), str(error))

    def _in_store(self, folder: Url, listed: str) -> Place:
        try:
            return Place(folder / listed, _without_suffix(listed))
        except ValueError as error:
            return Place(Location(listed), _without_suffix(listed), str(error))

    def _found(self, listed: str) -> Path | None:
        try:
            return next((path for folder in self._folders if (path := folder / listed).exists()), None)
        except (OSError, ValueError):  # a name that no file can have
            return None


def _readings(listed: str) -> Iterator[str]:
    """Yield what a path may mean under which there is no file: of Windows, in quotes, of macOS, of a web page."""
    plain = listed.replace("\\", "/").strip("\"'\u2018\u2019\u201c\u201d`")
    yield from (plain, re.sub("^~(?=/)", lambda _: os.environ.get("HOME", "~"), plain), unquote(plain))
    yield from (normalize(form, plain) for form in ("NFC", "NFD"))


def _without_suffix(listed: str) -> str:
    return listed.removesuffix(Path(listed).suffix)
