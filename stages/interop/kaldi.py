"""Kaldi: embeddings.ark with its index embeddings.scp, and utt2spk.

A key is `UTTERANCE-cropN-VIEW`, since Kaldi knows nothing but keys; it is escaped as `stages.interop.keys` says, and so
are the speakers. Other columns of the catalogue are not carried. Without reseed's export.json beside it a key is an
utterance id as it stands. An archive may hold pickles and an index commands: neither is ever executed.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.stages.interop.exchange import Batch, Dimension, ExportHeader, chunked, numbered_lines
from reseed.stages.interop.kaldi_arrays import open_archive, read_array, write_vector
from reseed.stages.interop.keys import escape, keys_of, parse_key, unescape
from reseed.stages.interop.output import EXPORT_HEADER, export_directory, read_export_header
from reseed.store import StoreError, atomic

_ARK, _SCP, _UTT2SPK = "embeddings.ark", "embeddings.scp", "utt2spk"
_ALLOWED = "/.:,+=@"
_PLACE = re.compile(r"(?P<archive>.*?)(?::(?P<offset>\d+))?(?:\[(?P<ranges>[\d:,]*)\])?")
_BLANK = b" \t\r\n"
_UNREADABLE = (OSError, EOFError, zlib.error)
_LONGEST_KEY = 65_536


def write(output: Path, header: ExportHeader, batches: Iterator[Batch]) -> None:
    """Write OUTPUT/embeddings.ark (float32), .scp with the archive's full path, utt2spk and export.json."""
    archive = output.resolve() / _ARK
    with (
        export_directory(output, header, f"{_ARK}|{_SCP}|{_UTT2SPK}") as directory,
        atomic.atomic_path(directory / _ARK) as ark_path,
        atomic.atomic_path(directory / _SCP) as scp_path,
        atomic.atomic_path(directory / _UTT2SPK) as utt2spk_path,
        ark_path.open("wb") as ark,
        scp_path.open("w", encoding="utf-8") as scp,
        utt2spk_path.open("w", encoding="utf-8") as utt2spk,
    ):
        for batch in batches:
            _write_speakers(batch, _write_batch(batch, ark, scp, archive), utt2spk)


class KaldiReader:
    """An archive, an index into archives, or a directory that reseed exported; with utt2spk where it lies beside.

    An index names its archives as Kaldi does, from the working directory; one that is not there is looked for beside
    the index. utt2spk is held in memory. A key has one vector, so `embedding` chooses nothing.
    """

    def __init__(self, source: Path, embedding: str = "") -> None:
        self._path = source / _ARK if source.is_dir() else source
        self._is_index = self._path.suffix == ".scp"
        if not self._path.is_file():
            raise StoreError(f"{self._path} is not there; give an .ark or .scp file, or a directory with {_ARK}")
        speakers = self._path.with_name(_UTT2SPK)
        self._speakers = _read_speakers(speakers)
        self.header = read_export_header(self._path.parent)
        self.files = [self._path, *([speakers] if self._speakers else [])]
        self.files += [self._path.with_name(EXPORT_HEADER)] if self.header else []
        if self._is_index:
            self.files += dict.fromkeys(archive for _, archive, *_ in self._entries())

    def rows(self) -> Iterator[pa.Table]:
        """Yield ids, crops, views and speakers; of an index without opening its archives."""
        keys = (key for key, *_ in self._entries()) if self._is_index else (key for key, _ in self._vectors())
        yield from map(self._table, chunked(keys))

    def batches(self) -> Iterator[Batch]:
        """Yield rows with their vectors, in the order of the index or of the archive."""
        dimension = Dimension(self._path)
        vectors = self._indexed_vectors() if self._is_index else self._vectors()
        for chunk in chunked(vectors):
            stacked = np.stack([dimension.vector(array, key) for key, array in chunk])
            yield Batch(self._table([key for key, _ in chunk]), stacked)

    def _table(self, keys: Iterable[str]) -> pa.Table:
        speakers = [self._speakers.get(key) for key in keys]
        if self.header is None:
            return pa.table({"utterance_id": list(keys), "speaker_id": pa.array(speakers, pa.string())})
        try:
            ids, crops, views = zip(*map(parse_key, keys), strict=True)
            labels = [None if speaker is None else unescape(speaker) for speaker in speakers]
        except ValueError as error:
            raise StoreError(f"{self._path}: {error}; remove {EXPORT_HEADER} to take keys as they stand") from None
        return pa.table(
            {"utterance_id": ids, "speaker_id": pa.array(labels, pa.string()), "view": views, "crop": crops}
        )

    def _vectors(self) -> Iterator[tuple[str, NDArray[Any]]]:
        with open_archive(self._path) as ark:
            while (key := _read_key(ark, self._path)) is not None:
                yield key, _read_array(ark, self._path, key)

    def _indexed_vectors(self) -> Iterator[tuple[str, NDArray[Any]]]:
        for archive, entries in groupby(self._entries(), key=lambda entry: entry[1]):
            with open_archive(archive) as ark:
                for key, _, offset, ranges in entries:
                    try:
                        ark.seek(offset)
                    except (OSError, OverflowError, ValueError) as error:
                        raise StoreError(f"{archive} has no place {offset} for {key[:80]!r} ({error})") from None
                    yield key, _read_array(ark, archive, key, ranges)

    def _entries(self) -> Iterator[tuple[str, Path, int, str]]:
        """Yield key, archive, byte offset and range of each line of the index."""
        for number, line in numbered_lines(self._path):
            key, place = _parted(line)
            where = f"{self._path} line {number}"
            found = _PLACE.fullmatch(place)
            if found is None or not found["archive"] or place.startswith("|") or place.endswith("|"):
                raise StoreError(
                    f"{where} is not KEY ARCHIVE:OFFSET or KEY ARCHIVE:OFFSET[RANGE]; a command is not run"
                )
            named = Path(found["archive"])
            archive = next((path for path in (named, self._path.with_name(named.name)) if path.is_file()), None)
            if archive is None:
                raise StoreError(f"{where}: the archive {named} is not there, nor beside the index; restore it")
            yield key, archive, int(found["offset"] or 0), found["ranges"] or ""


def _write_batch(batch: Batch, ark: BinaryIO, scp: TextIO, archive: Path) -> list[str]:
    """Append the vectors to the archive and their places to its index; return their keys."""
    keys = list(keys_of(batch.rows, _ALLOWED))
    for key, vector in zip(keys, batch.vectors.astype(np.float32), strict=True):
        scp.write(f"{key} {archive}:{write_vector(ark, key, vector)}\n")
    return keys


def _write_speakers(batch: Batch, keys: list[str], utt2spk: TextIO) -> None:
    if "speaker_id" in batch.rows.column_names:
        speakers = zip(keys, batch.rows["speaker_id"].to_pylist(), strict=True)
        utt2spk.writelines(f"{key} {escape(speaker, _ALLOWED)}\n" for key, speaker in speakers if speaker is not None)


def _read_speakers(path: Path) -> dict[str, str]:
    return dict(_parted(line) for _, line in numbered_lines(path)) if path.is_file() else {}


def _parted(line: str) -> tuple[str, str]:
    key, _, rest = line.rstrip("\r\n").replace("\t", " ").partition(" ")
    return key, rest.strip(" ")


def _read_key(ark: BinaryIO, path: Path) -> str | None:
    start, key = ark.tell(), bytearray()
    try:
        while (byte := ark.read(1)) and (byte not in _BLANK or not key) and len(key) < _LONGEST_KEY:
            key += byte if byte not in _BLANK else b""
        text = key.decode()
    except (*_UNREADABLE, UnicodeDecodeError):
        text = "\0"
    if not text.isprintable() or len(key) == _LONGEST_KEY or (key and not byte):
        raise StoreError(f"{path} is no Kaldi archive, or is damaged at byte {start}: no key stands there")
    return text or None


def _read_array(ark: BinaryIO, path: Path, key: str, ranges: str = "") -> NDArray[Any]:
    try:
        return read_array(ark, ranges)
    except ValueError as error:
        raise StoreError(f"{path} cannot be read at {key[:80]!r} ({error}); give an archive of vectors") from None
