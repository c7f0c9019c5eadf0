"""WebDataset: 00000.tar, 00001.tar, ...; each vector is a sample of two members, KEY.npy and KEY.json.

KEY is `UTTERANCE-cropN-VIEW`, escaped as `stages.interop.keys` says, dots and slashes included; where that is too long
for a plain tar header it is a number. What a vector is, its utterance id included, stands in the JSON.
"""

import math
import tarfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import count, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.stages.interop.exchange import Batch, Dimension, ExportHeader, chunked, rechunked
from reseed.stages.interop.json_rows import parse_row, to_json, to_table
from reseed.stages.interop.keys import keys_of
from reseed.stages.interop.output import EXPORT_HEADER, export_directory, read_export_header
from reseed.store import StoreError, atomic
from reseed.store.bounded import check_regular

_ROWS_PER_TAR = 10_000
_LONGEST_KEY = 90  # with its extension it fits the 100 bytes of a plain tar header, which every tool reads
_FAULTS = (OSError, EOFError, tarfile.TarError, zlib.error)


def write(output: Path, header: ExportHeader, batches: Iterator[Batch]) -> None:
    """Write OUTPUT/00000.tar and following, in the store's own dtype, and OUTPUT/export.json."""
    numbers = count()
    with export_directory(output, header, r"\d{5,}\.tar") as directory:
        for index, batch in enumerate(rechunked(batches, _ROWS_PER_TAR)):
            with (
                atomic.atomic_path(directory / f"{index:05d}.tar") as path,
                tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar,
            ):
                for key, vector, row in zip(_keys(batch, numbers), batch.vectors, to_json(batch.rows), strict=True):
                    _add(tar, f"{key}.npy", _npy(vector))
                    _add(tar, f"{key}.json", row.encode())


class WebDatasetReader:
    """A tar archive, or a directory of them in the order of their names.

    A sample is a run of members that share their name up to the first dot. Its vector is its one .npy member, or of
    several the one called after `embedding`; its row is its .json member. Where reseed did not write the archive, the
    sample's name is a column too, `__key__`.

    Raises:
        StoreError: no archive there.
    """

    def __init__(self, source: Path, embedding: str = "embedding") -> None:
        self._source, self._embedding = source, embedding
        self._tars = sorted(source.glob("*.tar")) if source.is_dir() else [source]
        if not self._tars:
            raise StoreError(f"{source} holds no .tar file")
        directory = source if source.is_dir() else source.parent
        self.header = read_export_header(directory)
        self.files = [*self._tars, *([directory / EXPORT_HEADER] if self.header else [])]

    def rows(self) -> Iterator[pa.Table]:
        """Yield the JSON of every sample."""
        samples = self._samples(lambda extension: extension.endswith("json"))
        yield from map(self._table, chunked(samples))

    def batches(self) -> Iterator[Batch]:
        """Yield rows with their vectors."""
        dimension = Dimension(self._source)
        samples = self._samples(lambda extension: extension.endswith(("json", "npy")))
        for chunk in chunked(samples):
            vectors = [dimension.vector(self._array(sample), sample.key) for sample in chunk]
            yield Batch(self._table(chunk), np.stack(vectors))

    def _samples(self, wanted: Callable[[str], bool]) -> Iterator["_Sample"]:
        for path in self._tars:
            try:
                check_regular(path)
                with _Archive.open(path) as tar:
                    yield from _samples(path, tar, wanted)
            except _FAULTS as error:
                raise StoreError(f"{path} cannot be read ({error}); the archive is damaged") from None

    def _table(self, samples: list["_Sample"]) -> pa.Table:
        return to_table([self._row(sample) for sample in samples], self._source)

    def _row(self, sample: "_Sample") -> dict[str, Any]:
        text = next((text for name, text in sample.members.items() if name.endswith("json")), b"{}")
        row = parse_row(text, f"{sample.tar} {sample.key}.json")
        return row if self.header else {"__key__": sample.key, **row}

    def _array(self, sample: "_Sample") -> NDArray[Any]:
        arrays = {name.removesuffix(".npy"): data for name, data in sample.members.items() if name.endswith("npy")}
        data = arrays.get(self._embedding) or (next(iter(arrays.values())) if len(arrays) == 1 else None)
        where = f"{sample.tar}: sample {sample.key!r}"
        if data is None:
            raise StoreError(f"{where} has {sorted(arrays) or 'no'} .npy members; name the one that is the embedding")
        try:
            array = _array_in(data)
        except Exception as error:  # a damaged header fails in as many ways as Python's own parser does
            raise StoreError(f"{where} holds no array ({error}); write it with numpy.save") from None
        return array


def _array_in(data: bytes) -> NDArray[Any]:
    """Return the array of an .npy file; nothing is allocated that the file does not hold."""
    file = BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"its {len(data)} bytes are not those of {dtype} {list(shape)}")
    array: NDArray[Any] = np.load(BytesIO(data), allow_pickle=False)
    return array


class _Sample(NamedTuple):
    tar: Path
    key: str
    members: dict[str, bytes]


class _Archive(tarfile.TarFile):
    members: list[tarfile.TarInfo]  # the stubs of the standard library leave it out


class _Member(NamedTuple):
    key: str
    extension: str
    info: tarfile.TarInfo


def _samples(path: Path, tar: _Archive, wanted: Callable[[str], bool]) -> Iterator[_Sample]:
    for key, members in groupby(_members(tar), key=lambda member: member.key):
        files = {member.extension: tar.extractfile(member.info) for member in members if wanted(member.extension)}
        contents = {extension: file.read() for extension, file in files.items() if file is not None}
        yield _Sample(path, key, contents)


def _members(tar: _Archive) -> Iterator[_Member]:
    while (info := tar.next()) is not None:
        tar.members = []  # tarfile keeps every member it has met, and an archive may hold millions
        if info.isfile():
            folder, slash, name = info.name.rpartition("/")
            stem, _, extension = name.partition(".")
            yield _Member(f"{folder}{slash}{stem}", extension, info)
    # tarfile takes a cut archive for one that ends there; a whole one ends in blocks of zeros.
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"cut short at byte {tar.offset}")


def _keys(batch: Batch, numbers: Iterator[int]) -> Iterator[str]:
    for key, number in zip(keys_of(batch.rows), numbers, strict=False):
        yield key if len(key) <= _LONGEST_KEY else f"{number:010d}"


def _npy(vector: NDArray[Any]) -> bytes:
    file = BytesIO()
    np.save(file, vector, allow_pickle=False)
    return file.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, BytesIO(data))
