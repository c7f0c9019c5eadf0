"""Every kind of source that recordings are listed in, and what reads it. Nothing here opens audio."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from reseed.stages.audio.folders import below
from reseed.stages.audio.kaldi import kaldi_directories, list_kaldi
from reseed.stages.audio.listed import ListedRecording, file_errors
from reseed.stages.audio.listing import audio_among, is_audio, list_folder, of_folder
from reseed.stages.audio.lists.archived import ARCHIVES, ENDINGS, ArchiveReader, is_archive
from reseed.stages.audio.lists.columns import Interpreter
from reseed.stages.audio.lists.delimited import delimited_rows
from reseed.stages.audio.lists.json_values import is_json, json_rows
from reseed.stages.audio.lists.lhotse import flattened
from reseed.stages.audio.lists.parquet_rows import parquet_rows
from reseed.stages.audio.lists.places import Places
from reseed.stages.audio.lists.row import Row
from reseed.stages.audio.lists.tarred import NemoTars
from reseed.stages.audio.lists.text import encoding_of, numbered_lines
from reseed.stages.audio.patterns import expanded, is_pattern
from reseed.stages.audio.remote_listing import files_below as files_in_store
from reseed.stages.common.prose import first_few
from reseed.store import ManifestError
from reseed.store.url import AnyPath, Url

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".ndjson", ".list", ".lst", ".txt", ".parquet")
_TEXTS = (".list", ".lst", ".txt")
_TABLES = tuple(suffix for suffix in SUFFIXES if suffix not in (*_TEXTS, ".parquet"))
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # of a folder, as Hugging Face's audiofolder has it


def list_recordings(
    source: AnyPath,
    speaker_depth: int,
    split: str | None,
    notes: list[str] | None = None,
    tars: Sequence[AnyPath] = (),
    kept: Path | None = None,
) -> Iterator[ListedRecording]:
    """Yield what `source` lists, folder by folder and by name, and in file order for lists.

    Args:
        notes: gets what there is to say about the whole of it, once it is read to its end.
        tars: the tar files that NeMo's manifests are of, in the order of their numbers; empty: they lie beside.
        kept: what a folder of a store, or a large one of this machine, lists is read from this file; where it is
            missing, it is written first.

    Raises:
        ManifestError: `source` does not exist, is of no known kind, cannot be read, or lacks the column `path`.
    """
    lister = _Lister(speaker_depth, split, [] if notes is None else notes, NemoTars(tars), kept)
    if isinstance(source, Url) and "*" in str(source):
        return lister.store(source)
    if is_pattern(source):
        return lister.several(expanded(source))
    with file_errors(source):
        if not source.exists():
            raise ManifestError(
                f"{source} does not exist; give a folder of audio or of archives, a .csv, a .jsonl or a Kaldi directory"
            )
        return lister.one(source)


@dataclass(frozen=True)
class _Lister:
    """How sources are listed; `notes` gets what there is to say."""

    speaker_depth: int
    split: str | None
    notes: list[str]
    tars: NemoTars
    kept: Path | None = None

    def one(self, source: AnyPath) -> Iterator[ListedRecording]:
        """List a source that exists."""
        if source.is_dir():
            return self._directory(source)
        if is_archive(source):
            return self._archives([source])
        if _is_list(source):
            return self._lists([source])
        known = ", ".join((*SUFFIXES, *ARCHIVES))
        raise ManifestError(f"{source} is neither a folder nor a list nor an archive ({known}; lists also with .gz)")

    def several(self, sources: Sequence[AnyPath]) -> Iterator[ListedRecording]:
        """List sources one after the other, archives and lists that follow one another as one."""
        for kind, group in groupby(sources, lambda path: (is_archive(path), path.is_file() and _is_list(path))):
            of_kind = self._archives if kind[0] else self._lists if kind[1] else self._others
            yield from of_kind(group)

    def _others(self, sources: Iterable[AnyPath]) -> Iterator[ListedRecording]:
        return chain.from_iterable(map(self.one, sources))

    def _directory(self, source: AnyPath) -> Iterator[ListedRecording]:
        if kaldi := kaldi_directories(source):
            found = (list_kaldi(folder, root, self.split, self.notes) for folder, root in kaldi.items())
            return chain.from_iterable(found)
        if metadata := next((source / name for name in _METADATA if _names_files(source / name)), None):
            return self._lists([metadata])
        if isinstance(source, Url):
            return self.store(source)
        files = below(source, self.kept)
        if next(audio_among(files), None) is None:
            paths = [*map(Path, files.files())]
            if packed := _packed(paths):
                self._note_lists(source, paths, packed)
                return self.several(packed)
        elif archives := [path for path in map(Path, files.with_suffix(ENDINGS)) if is_archive(path)]:
            few = first_few(str(path.relative_to(source)) for path in archives)
            self.notes.append(f"archives beside the recordings are not read; give them as the source ({few})")
        return list_folder(files, self.speaker_depth, self.split, self.notes)

    def _note_lists(self, folder: Path, files: Sequence[AnyPath], packed: Sequence[AnyPath]) -> None:
        if any(map(is_archive, packed)) and (lists := [path for path in files if _suffix(path) in _TABLES]):
            few = first_few(str(Path(str(path)).relative_to(folder)) for path in lists)
            self.notes.append(f"lists beside the archives are not read; give one as the source ({few})")

    def store(self, source: Url) -> Iterator[ListedRecording]:
        """Yield what lies in a folder of a store, or what a pattern fits: recordings, else archives and tables."""
        base = Url(str(source).partition("*")[0].rpartition("/")[0]) if "*" in str(source) else source
        with TemporaryDirectory() as folder:
            listing = partial(files_in_store, source, self.kept or Path(folder) / "listing.parquet")  # asked for once
            if not any(is_audio(PurePath(entry.url)) for entry in listing()):
                files = [Url(entry.url) for entry in listing()]
                yield from self.several(_packed(files) or list(filter(_is_list, files)))
                return
            for entry in listing():
                relative = PurePath(base.relative(entry.url))
                if is_audio(relative):
                    yield of_folder(relative, Url(entry.url), self.speaker_depth, self.split)

    def _archives(self, archives: Iterable[AnyPath]) -> Iterator[ListedRecording]:
        interpreter = Interpreter(self.split)
        reader = ArchiveReader(interpreter, self.speaker_depth, self.split)
        for archive in archives:
            interpreter.begin(archive)
            yield from reader.recordings(archive)
        self.notes.extend(interpreter.notes() + reader.notes())

    def _lists(self, lists: Iterable[AnyPath]) -> Iterator[ListedRecording]:
        interpreter = Interpreter(self.split)
        for source in lists:
            if archives := _archives_of(source):
                yield from self.several(archives)
                continue
            interpreter.begin(source)
            for row in _rows(source, self.notes):
                yield from filter(None, [interpreter.recording(self.tars.row(source, row))])
        self.notes.extend(interpreter.notes())


def _packed(files: Sequence[AnyPath]) -> Sequence[AnyPath]:
    """Return those of the files of a folder that hold or list recordings: Shar's cuts, else archives and tables."""
    cuts = [path for path in files if _is_of_shar(path, "cuts") and _suffix(path) == ".jsonl"]
    if cuts and any(_is_of_shar(path, "recording") and path.suffix == ".tar" for path in files):
        return cuts
    return [path for path in files if is_archive(path) or _suffix(path) == ".parquet"]


def _is_of_shar(path: AnyPath, field: str) -> bool:
    return path.name.split(".")[0].startswith(field)


def _is_list(source: AnyPath) -> bool:
    return _suffix(source) in SUFFIXES


def _suffix(source: AnyPath) -> str:
    return Path(source.name.lower().removesuffix(".gz")).suffix


def _names_files(path: AnyPath) -> bool:
    """Whether a file is the metadata of an audiofolder: it has the column `file_name`."""
    return path.is_file() and "file_name" in next(_rows(path, []), Row("")).values


def _archives_of(source: AnyPath) -> list[AnyPath]:
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
        return parquet_rows(source)
    encoding = encoding_of(source, notes)
    if is_json(source, encoding) or _suffix(source) in (".json", ".jsonl", ".ndjson"):
        rows = json_rows(source, encoding)
        return flattened(source, rows, lambda beside: json_rows(beside, encoding_of(beside, notes)))
    return delimited_rows(source, encoding)
