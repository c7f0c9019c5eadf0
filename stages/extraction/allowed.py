"""Which of the files that a store names may be opened: a store may be anybody's, and name any file of this machine.

A store names the manifests that it was made from, and those name recordings. They are opened where they lie in the
folder of the run that the store lies in, which came with it, or in a folder that whoever asks has named; links count by
where they lead. `reseed extract` and training are given their manifests by whoever runs them, and open what these name.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from reseed.stages.audio.location import Location
from reseed.store import ManifestError
from reseed.store.bounded import check_regular


@dataclass(frozen=True)
class Allowed:
    """Where manifests and recordings of a store may lie.

    Attributes:
        recordings: folders that whoever asks has named.
        trusted: roles ("utterances", "noise", ...) whose manifest was given by whoever asks: all that it names may be
            opened.
    """

    store: Path
    recordings: Sequence[Path] = ()
    trusted: Collection[str] = ()

    def check(self, role: str, path: str | Path) -> None:
        """Check that a manifest or a recording may be opened.

        Raises:
            ManifestError: it lies elsewhere, or is there and no file.
        """
        place = Location.parse(str(path)).path
        try:
            real = place.resolve()
            if place.exists():
                check_regular(place)
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links; a NUL
            raise ManifestError(f"{self.store} names {str(path)!r}, which cannot be opened ({error})") from None
        folders = [folder.resolve() for folder in (*self.recordings, *run_folder(self.store))]
        if role not in self.trusted and not any(real.is_relative_to(folder) for folder in folders):
            raise ManifestError(
                f"{self.store} names {str(path)!r}, outside of its run; where you trust who made the store, say that "
                f"such files may be opened: --recordings {place.parent}"
            )


def run_folder(store: Path) -> list[Path]:
    """Return the folder of the run that a store lies in, by itself; nothing where it lies in none."""
    above = (folder.parent for folder in store.resolve().parents if folder.name == "stores")
    return [folder for folder in above if (folder / "config.yaml").is_file()][:1]
