"""Formats in which embeddings leave and enter, by name.

To add one: a file with `write` and a reader (see `reseed.stages.interop.exchange`), and one line here.
"""

from reseed.stages.common.choice import chosen
from reseed.stages.interop import kaldi, npy, parquet, webdataset
from reseed.stages.interop.exchange import Format

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
