"""Which of the files that a store names may be opened: a store may be anybody's, and name any file of this machine.

A store names the manifests that it was made from, and those name recordings. They are opened where they lie in the
folder of the run that the store lies in, which came with it, or in a folder that whoever asks has named; links count by
where they lead. Of URLs nothing is fetched but what lies below one that was named. `reseed extract` and training are
given their manifests by whoever runs them, and open what these name.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from reseed.stages.audio.location import Location
from reseed.store import ManifestError
from reseed.store.bounded import check_regular
from reseed.store.url import AnyPath, Url


@dataclass(frozen=True)
class Allowed:
    """Where manifests and recordings of a store may lie.

    Attributes:
        recordings: folders and URLs that whoever asks has named.
        trusted: roles ("utterances", "noise", ...) whose manifest was given by whoever asks: all that it names may be
            opened.
    """

    store: AnyPath
    recordings: Sequence[Path | Url] = ()
    trusted: Collection[str] = ()

    def check(self, role: str, path: str | Path) -> None:
        """Check that a manifest or a recording may be opened.

        Raises:
            ManifestError: it lies elsewhere, or is there and no file.
        """
        location = Location.parse(str(path))
        if location.is_remote:
            self._check_url(role, location)
            return
        place = location.path
        try:
            real = place.resolve()
            if place.exists():
                check_regular(place)
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links; a NUL
            raise ManifestError(f"{self.store} names {str(path)!r}, which cannot be opened ({error})") from None
        named = [folder for folder in self.recordings if isinstance(folder, Path)]
        folders = [folder.resolve() for folder in (*named, *run_folder(self.store))]
        if role not in self.trusted and not any(real.is_relative_to(folder) for folder in folders):
            raise ManifestError(
                f"{self.store} names {str(path)!r}, outside of its run; where you trust who made the store, say that "
                f"such files may be opened: --recordings {place.parent} (or a folder above, that of noises, too)"
            )

    def _check_url(self, role: str, location: Location) -> None:
        try:
            url = Url(location.file)
        except ValueError as error:
            raise ManifestError(f"{self.store} names {location.file!r}, which {error}") from None
        named = [place for place in self.recordings if isinstance(place, Url)]
        if role not in self.trusted and not any(place.holds(url) for place in named):
            raise ManifestError(
                f"{self.store} names {location.file!r}, which is not on this machine; where you trust who made the "
                f"store, say that such files may be fetched: --recordings {url.parent}"
            )


def run_folder(store: AnyPath) -> list[Path]:
    """Return the folder of the run that a store lies in, by itself; nothing where it lies in none."""
    if isinstance(store, Url):
        return []
    above = (folder.parent for folder in store.resolve().parents if folder.name == "stores")
    return [folder for folder in above if (folder / "config.yaml").is_file()][:1]
