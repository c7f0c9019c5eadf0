"""Every kind of source that recordings are listed in, and what reads it. Nothing here opens audio."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from reseed.stages.audio.kaldi import kaldi_directories, list_kaldi
from reseed.stages.audio.listed import ListedRecording, file_errors
from reseed.stages.audio.listing import audio_files, files_below, is_audio, list_folder, of_folder
from reseed.stages.audio.lists.archived import ARCHIVES, ArchiveReader, is_archive
from reseed.stages.audio.lists.columns import Interpreter
from reseed.stages.audio.lists.delimited import delimited_rows
from reseed.stages.audio.lists.json_values import is_json, json_rows
from reseed.stages.audio.lists.lhotse import flattened
from reseed.stages.audio.lists.parquet_rows import parquet_rows
from reseed.stages.audio.lists.places import Places
from reseed.stages.audio.lists.row import Row
from reseed.stages.audio.lists.text import encoding_of, numbered_lines
from reseed.stages.audio.patterns import expanded, is_pattern
from reseed.stages.audio.remote.listing import files_below as files_in_store
from reseed.stages.audio.remote.url import AnyPath, Url
from reseed.stages.common.prose import first_few
from reseed.store import ManifestError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".ndjson", ".list", ".lst", ".txt", ".parquet")
_TEXTS = (".list", ".lst", ".txt")
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # of a folder, as Hugging Face's audiofolder has it


def list_recordings(
    source: AnyPath,
    speaker_depth: int,
    split: str | None,
    notes: list[str] | None = None,
    kept: Path | None = None,
) -> Iterator[ListedRecording]:
    """Yield what `source` lists, folder by folder and by name, and in file order for lists.

    Args:
        notes: gets what there is to say about the whole of it, once it is read to its end.
        kept: what a folder of a store lists is read from this file; where it is missing, it is written first.

    Raises:
        ManifestError: `source` does not exist, is of no known kind, cannot be read, or lacks the column `path`.
    """
    notes = notes if notes is not None else []
    if isinstance(source, Url) and "*" in str(source):
        return _list_store(source, speaker_depth, split, notes, kept)
    if is_pattern(source):
        return _list_several(expanded(source), speaker_depth, split, notes)
    with file_errors(source):
        if not source.exists():
            raise ManifestError(
                f"{source} does not exist; give a folder of audio or of archives, a .csv, a .jsonl or a Kaldi directory"
            )
        if source.is_dir():
            return _list_directory(source, speaker_depth, split, notes, kept)
    if is_archive(source):
        return _list_archives([source], speaker_depth, split, notes)
    if _suffix(source) in SUFFIXES:
        return _list_file(source, speaker_depth, split, notes)
    known = ", ".join((*SUFFIXES, *ARCHIVES))
    raise ManifestError(f"{source} is neither a folder nor a list nor an archive ({known}; lists also with .gz)")


def _list_directory(
    source: AnyPath, speaker_depth: int, split: str | None, notes: list[str], kept: Path | None
) -> Iterator[ListedRecording]:
    if kaldi := kaldi_directories(source):
        return chain.from_iterable(list_kaldi(folder, root, split, notes) for folder, root in kaldi.items())
    if metadata := next((source / name for name in _METADATA if _names_files(source / name)), None):
        return _list_file(metadata, speaker_depth, split, notes)
    if isinstance(source, Url):
        return _list_store(source, speaker_depth, split, notes, kept)
    archives = [path for path in files_below(source) if is_archive(path)]
    if not archives or next(audio_files(source), None) is not None:
        if archives:
            few = first_few(str(path.relative_to(source)) for path in archives)
            notes.append(f"archives beside the recordings are not read; give them as the source ({few})")
        return list_folder(source, speaker_depth, split)
    return _list_archives(archives, speaker_depth, split, notes)


def _list_store(
    source: Url, speaker_depth: int, split: str | None, notes: list[str], kept: Path | None
) -> Iterator[ListedRecording]:
    """Yield what lies in a folder of a store, or what a pattern fits: recordings, else archives, else lists."""
    base = Url(str(source).partition("*")[0].rpartition("/")[0]) if "*" in str(source) else source
    with TemporaryDirectory() as folder:
        listing = partial(files_in_store, source, kept or Path(folder) / "listing.parquet")  # asked for once
        if not any(is_audio(PurePath(entry.url)) for entry in listing()):
            several = [Url(entry.url) for entry in listing()]
            archives = [url for url in several if is_archive(url)]
            lists = [url for url in several if _suffix(url) in SUFFIXES]
            yield from _list_several(archives or lists, speaker_depth, split, notes)
            return
        for entry in listing():
            relative = PurePath(base.relative(entry.url))
            if is_audio(relative):
                yield of_folder(relative, Url(entry.url), speaker_depth, split)


def _list_several(
    sources: Sequence[AnyPath], speaker_depth: int, split: str | None, notes: list[str]
) -> Iterator[ListedRecording]:
    """Yield what several sources list, archives that follow one another as one."""
    for are_archives, group in groupby(sources, is_archive):
        if are_archives:
            yield from _list_archives(group, speaker_depth, split, notes)
        else:
            for source in group:
                yield from list_recordings(source, speaker_depth, split, notes)


def _list_archives(
    archives: Iterable[AnyPath], speaker_depth: int, split: str | None, notes: list[str]
) -> Iterator[ListedRecording]:
    interpreter = Interpreter("", Places(Path()), split)
    reader = ArchiveReader(interpreter, speaker_depth, split)
    for archive in archives:
        yield from reader.recordings(archive)
    notes.extend(interpreter.notes() + reader.notes())


def _suffix(source: AnyPath) -> str:
    return Path(source.name.lower().removesuffix(".gz")).suffix


def _names_files(path: AnyPath) -> bool:
    """Whether a file is the metadata of an audiofolder: it has the column `file_name`."""
    return path.is_file() and "file_name" in next(_rows(path, []), Row("")).values


def _list_file(source: AnyPath, speaker_depth: int, split: str | None, notes: list[str]) -> Iterator[ListedRecording]:
    if archives := listed_archives(source):
        yield from _list_several(archives, speaker_depth, split, notes)
        return
    interpreter = Interpreter(str(source), Places(source), split)
    for row in _rows(source, notes):
        recording = interpreter.recording(row)
        if recording is not None:
            yield recording
    notes.extend(interpreter.notes())


def listed_archives(source: AnyPath) -> list[AnyPath]:
    """Return the archives that a text names line by line, as wespeaker's shard.list does; none where it is a table.

    Raises:
        ManifestError: one of them does not exist.
    """
    if _suffix(source) not in _TEXTS:
        return []
    lines = (line.strip() for _, line in numbered_lines(source, encoding_of(source, [])) if line.strip())
    first = next(lines, "")
    if not is_archive(Path(first)):
        return []
    places = Places(source)
    return [path for line in chain([first], lines) for path in expanded(places.file(line))]


def _rows(source: AnyPath, notes: list[str]) -> Iterator[Row]:
    if _suffix(source) == ".parquet":
        yield from parquet_rows(source)
        return
    encoding = encoding_of(source, notes)
    if is_json(source, encoding) or _suffix(source) in (".json", ".jsonl", ".ndjson"):
        rows = flattened(
            source, json_rows(source, encoding), lambda beside: json_rows(beside, encoding_of(beside, notes))
        )
        yield from map(_outside_tar, rows)
    else:
        yield from delimited_rows(source, encoding)


def _outside_tar(row: Row) -> Row:
    """Refuse a row of NeMo's manifests of tar files, whose paths are names inside these."""
    if row.problem is None and row.values.get("shard_id") is not None:
        return Row(row.place, problem=f"is inside a tar file (shard_id {row.values['shard_id']}): give the tar files")
    return row
