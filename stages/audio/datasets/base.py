"""What a public data set is to `prepare`: its kinds of recordings, their splits, and how they are listed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reseed.stages.audio.listed import ListedRecording
from reseed.store import ConfigError, ManifestError

WHOLE = ("all",)  # the splits of what is published in one piece


@dataclass(frozen=True)
class Dataset:
    """A public data set as it lies on disk once it is unpacked.

    Attributes:
        title: what it is called where it was published.
        splits: kind ("speech", "noise", "music", "rir") -> the names of its splits.
        listing: yields what is listed in (folder it was unpacked into, kind, split).
    """

    title: str
    splits: Mapping[str, tuple[str, ...]]
    listing: Callable[[Path, str, str], Iterator[ListedRecording]]

    def recordings(self, root: Path, kind: str, split: str | None) -> Iterator[ListedRecording]:
        """Yield the recordings of one split, or of several joined by "+"; none named: the only one there is.

        Raises:
            ConfigError: the data set has no such kind or split.
            ManifestError: `root` is not this data set.
        """
        chosen = self.parts(kind, split)
        if not root.is_dir():
            raise ManifestError(f"{root} is no folder; give the one that {self.title} was unpacked into")
        return (recording for name in chosen for recording in self.listing(root, kind, name))

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


def folder_of(title: str, root: Path, *candidates: str, holding: str = "*") -> Path:
    """Return the first of `candidates` below `root` that is a folder with something that matches `holding` in it.

    Raises:
        ManifestError: none is; names them.
    """
    for candidate in candidates:
        folder = root / candidate
        if folder.is_dir() and next(folder.glob(holding), None) is not None:
            return folder
    raise wrong_folder(title, root, [f"{candidate}/{holding}" for candidate in candidates])


def wrong_folder(title: str, root: Path, looked_for: Sequence[str]) -> ManifestError:
    """Return the error that a folder is not a data set, naming what is missing."""
    missing = " or ".join(str(Path(place)) for place in looked_for)
    return ManifestError(f"{root} is no {title}: there is no {missing}; give the folder that it was unpacked into")
