"""Data sets whose folders say all: a tree of recordings, described by a few words instead of by code of its own."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reseed.stages.audio.datasets.base import folder_of
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.listing import audio_files

_NAMED = re.compile(r"\{(\w+)(?::([^}]*))?\}")
_WILD = re.compile(r"\*\*/|\*|\?")
_PATTERNS = {"**/": "(?:.*/)?", "*": "[^/]*?", "?": "[^/]"}


@dataclass(frozen=True)
class Label:
    """What a table beside the recordings says of one: who speaks, in which language, and the speaker's gender."""

    speaker_id: str | None = None
    language: str | None = None
    gender: str | None = None


@dataclass(frozen=True)
class Tree:
    """Where the recordings of a split lie, and what their places say: a listing, as `Dataset` takes it.

    Attributes:
        places: folders in which they may lie; the first that has any is it. {split} is the name of the split, * any
            one name.
        inside: where they lie in that folder, without suffixes: * is any name, ? a letter of it, **/ folders or none,
            and {speaker}, {speaker:id*}, {language}, {room} are names that say so. Others are rejects.
        id: of an utterance, of {path} (in that folder), {stem}, {split} and the names of `inside`.
        speaker: who speaks, of the same; where rooms stand for speakers, the room. None: nobody says.
        labels: returns what a table says of each, by {path} or {stem}; of the folder and the split.
        only: whether recordings elsewhere in the folder are another matter, and no rejects.
    """

    places: tuple[str, ...]
    inside: str
    id: str = "{path}"
    speaker: str | None = None
    labels: Callable[[Path, str], Mapping[str, Label]] | None = None
    only: bool = False

    def __call__(self, title: str, root: Path, split: str) -> Iterator[ListedRecording]:
        places = (place.replace("{split}", split) for place in self.places)
        inside = self.inside.replace("{split}", split)
        folder = folder_of(title, root, *places, holding=f"{_NAMED.sub(_glob, inside)}.*")
        labels = self.labels(folder, split) if self.labels else {}
        pattern = _compiled(inside)
        for path in audio_files(folder):
            relative = str(path.relative_to(folder).with_suffix(""))
            names = {"path": relative, "stem": path.stem, "split": split}
            if match := pattern.fullmatch(relative):
                yield self._listed(
                    path, {**names, **match.groupdict()}, labels.get(relative) or labels.get(path.stem, Label())
                )
            elif not self.only:
                problem = f"lies elsewhere than {inside} in {folder}, where {title} has its recordings"
                yield ListedRecording(relative, path, split=split, problem=problem)

    def _listed(self, path: Path, names: Mapping[str, str], label: Label) -> ListedRecording:
        speaker_id = None if self.speaker is None else self.speaker.format_map(names)
        return ListedRecording(
            self.id.format_map(names),
            path,
            label.speaker_id or speaker_id,
            split=names["split"],
            language=label.language or names.get("language"),
            gender=label.gender,
        )


def _glob(named: re.Match[str]) -> str:
    return named[2] or "*"


def _compiled(inside: str) -> re.Pattern[str]:
    """Return the pattern of a path that lies where `inside` says."""
    pieces = []
    end = 0
    for named in _NAMED.finditer(inside):
        pieces += [_regex(inside[end : named.start()]), f"(?P<{named[1]}>{_regex(_glob(named))})"]
        end = named.end()
    return re.compile("".join([*pieces, _regex(inside[end:])]))


def _regex(glob: str) -> str:
    parts = zip(_WILD.split(glob), [*_WILD.findall(glob), ""], strict=True)
    return "".join(re.escape(text) + _PATTERNS.get(wild, "") for text, wild in parts)
