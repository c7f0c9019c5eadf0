"""Formats in which embeddings leave and enter, by name.

To add one: a file with `write` and a reader (see `reseed.stages.interop.exchange`), and one line here.
"""

from pathlib import Path

from reseed.stages.common.choice import chosen
from reseed.stages.interop import kaldi, npy, parquet, webdataset
from reseed.stages.interop.exchange import Format
from reseed.stages.interop.row_tables import rows_beside
from reseed.store import StoreError

FORMATS: dict[str, Format] = {
    "kaldi": Format(kaldi.write, kaldi.KaldiReader),
    "npy": Format(npy.write, npy.NpyReader),
    "parquet": Format(parquet.write, parquet.ParquetReader),
    "webdataset": Format(webdataset.write, webdataset.WebDatasetReader),
}


def format_called(name: str) -> Format:
    """Return the format called `name`.

    Raises:
        ConfigError: no such format; lists the choices.
    """
    return chosen(name, FORMATS, "format")


_SUFFIXES = {".npy": "npy", ".parquet": "parquet", ".arrow": "parquet", ".scp": "kaldi", ".ark": "kaldi"}
_SUFFIXES |= {".tar": "webdataset"}


def format_of(source: Path) -> str:
    """Return the name of the format that a file is in, or that the files of a folder are in, by their endings.

    Raises:
        StoreError: it cannot be told.
    """
    endings = {path.suffix for path in (source.iterdir() if source.is_dir() else [source])}
    found = list(dict.fromkeys(name for suffix, name in _SUFFIXES.items() if suffix in endings))
    if not found:
        raise StoreError(f"{source} is in no format that is known by its name; give --format {', '.join(FORMATS)}")
    return found[0]


def files_of(source: Path) -> list[Path]:
    """Return the files that a source is read from: those of a folder, or a file and the table beside an array.

    Raises:
        StoreError: it is in no known format, or an array without a table.
    """
    if source.is_dir():
        return sorted(path for path in source.iterdir() if path.is_file())
    return [source, *([rows_beside(source)] if format_of(source) == "npy" else [])]
