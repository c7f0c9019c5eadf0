"""Find a store and read its header, while others may be changing it."""

from reseed.store.checks import check_coverage, check_size
from reseed.store.errors import StoreError
from reseed.store.format import Header, place_of_file
from reseed.store.header import read_header
from reseed.store.url import AnyPath, path_or_url, without_secrets


def place_of(path: str | AnyPath) -> AnyPath:
    """Return what a text names: a folder of this machine, or another place.

    Raises:
        StoreError: a URL of no such place; says so.
    """
    try:
        return path_or_url(path) if isinstance(path, str) else path
    except ValueError as error:
        raise StoreError(f"{without_secrets(str(path))} {error}") from None


def present_header(path: AnyPath, version: int | None = None) -> Header:
    """Read the header of a store, or of an earlier state, and check that all it lists is there.

    Raises:
        StoreError: no store, or a file that is missing or of another size.
    """
    while True:
        header = read_header(path, version)
        check_coverage(path, header)
        try:
            check_sizes(path, header, version)
        except StoreError:
            if read_header(path, version) == header:
                raise
        else:
            return header


def check_sizes(path: AnyPath, header: Header, version: int | None = None) -> None:
    """Compare the size of every file of a store with its header.

    Raises:
        StoreError: one is missing or of another size; names it.
    """
    for shard in header.shards:
        for file in shard.files:
            check_size(place_of_file(path, file.name, version), file)
