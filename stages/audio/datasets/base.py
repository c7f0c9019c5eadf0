"""What a public data set is to `prepare`: its kinds of recordings, their splits, and how they are listed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.listing import AUDIO_SUFFIXES
from reseed.stages.common.prose import first_few
from reseed.store import ConfigError, ManifestError

WHOLE = "all"  # the split of what is published in one piece

Listing = Callable[[str, Path, str], Iterator[ListedRecording]]
"""Yields what is listed in (title of the data set, folder it was unpacked into, split)."""


@dataclass(frozen=True)
class Dataset:
    """A public data set as it lies on disk once it is unpacked.

    Attributes:
        title: what it is called where it was published.
        splits: kind ("speech", "noise", "music", "rir") -> split -> what lists it.
    """

    title: str
    splits: Mapping[str, Mapping[str, Listing]]

    def recordings(self, root: Path, kind: str, split: str | None) -> Iterator[ListedRecording]:
        """Yield the recordings of one split, or of several joined by "+"; none named: the only one there is.

        Raises:
            ConfigError: the data set has no such kind or split.
            ManifestError: `root` is not this data set.
        """
        chosen = self.parts(kind, split)
        if not root.is_dir():
            raise ManifestError(f"{root} is no folder; give the one that {self.title} was unpacked into")
        return (recording for name in chosen for recording in self.splits[kind][name](self.title, root, name))

    def parts(self, kind: str, split: str | None) -> list[str]:
        """Return the splits that `split` names, as `recordings` takes it.

        Raises:
            ConfigError: the data set has no such kind or split.
        """
        if kind not in self.splits:
            raise ConfigError(f"{self.title} has no {kind}; it has {', '.join(self.splits)}")
        known = self.splits[kind]
        if split is None and len(known) > 1:
            raise ConfigError(
                f"{self.title} has several splits of {kind}: give {', '.join(known)}, or some joined by +"
            )
        chosen = list(dict.fromkeys(known if split is None else split.split("+")))
        for name in chosen:
            if name not in known:
                raise ConfigError(f"{self.title} has no split {name!r} of {kind}; choose from {', '.join(known)}")
        return chosen


def splits_of(listing: Listing, *names: str) -> dict[str, Listing]:
    """Return the same listing for each of some splits."""
    return dict.fromkeys(names, listing)


def folder_of(title: str, root: Path, *candidates: str, holding: str = "*") -> Path:
    """Return the first of `candidates` below `root` that is a folder with something that matches `holding` in it.

    Args:
        candidates: * in one is any name, as long as one folder alone fits.

    Raises:
        ManifestError: none is; names them. Or several fit.
    """
    for candidate in candidates:
        folders = root.glob(candidate) if "*" in candidate else [root / candidate]
        fitting = sorted(each for each in folders if each.is_dir() and next(each.glob(holding), None) is not None)
        if len(fitting) > 1:
            names = first_few([str(each.relative_to(root)) for each in fitting])
            raise ManifestError(f"{root} holds several of {title}: {names}; give one of these folders")
        if fitting:
            return fitting[0]
    raise wrong_folder(title, root, [f"{candidate}/{holding}" for candidate in candidates])


def wrong_folder(title: str, root: Path, looked_for: Sequence[str]) -> ManifestError:
    """Return the error that a folder is not a data set, naming what is missing."""
    missing = " or ".join(str(Path(place)) for place in looked_for)
    return ManifestError(f"{root} is no {title}: there is no {missing}; give the folder that it was unpacked into")


def as_released(path: Path) -> Path:
    """Return the file that a list names, whatever its suffix is on disk."""
    spellings = (path, *(path.with_suffix(suffix) for suffix in sorted(AUDIO_SUFFIXES)))
    return next((spelt for spelt in spellings if spelt.exists()), path)


def stretch_id(name: str, start_s: float, end_s: float) -> str:
    """Return the id of a stretch of what `name` is the id of, in milliseconds: NAME-0000400-0007040."""
    return f"{name}-{round(start_s * 1000):07d}-{round(end_s * 1000):07d}"
