"""Recordings in folders, by the names of their files. Nothing here opens audio."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePath

from reseed.stages.audio.folders import Below, below, digest_of
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.patterns import expanded, is_pattern
from reseed.stages.audio.remote_listing import files_below as files_below_url
from reseed.stages.common.prose import first_few
from reseed.store.atomic import digest
from reseed.store.remote_file import state_of_url
from reseed.store.url import AnyPath, Url

KINDS = ("speech", "noise", "music", "rir")  # of recordings
_SUFFIXES = (
    "wav flac mp3 ogg oga opus aiff aif aifc au caf sph w64 rf64 m4a aac mp4 mp2 wma amr awb 3gp mka mkv webm mov avi "
    "wave bwf snd nist wv1 wv2 wv spx asf wmv flv m4b m4v"
)
AUDIO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())


def audio_files(folder: Path) -> Iterator[Path]:
    """Yield all recordings below a folder, by their suffix, in an order that depends on their names alone."""
    return audio_among(below(folder))


def audio_among(files: Below) -> Iterator[Path]:
    """Yield the recordings among the files below a folder."""
    for path in map(Path, files.files()):
        if is_audio(path):
            yield path


def listing_digest(source: AnyPath, kept: Path | None = None) -> str:
    """Return a digest of which files a source is, by name, size and time of change: of a folder all below it.

    Args:
        kept: what a store or a large folder lists is read from this file, or written to it; see
            `remote.listing.files_below` and `folders.below`.
    """
    if isinstance(source, Url):
        return _digest_in_store(source, kept)
    if source.is_dir():
        return below(source, kept).digest()
    paths = (path for path in expanded(source) if isinstance(path, Path))
    return digest_of(chain.from_iterable(below(path).files() if path.is_dir() else [str(path)] for path in paths))


def list_folder(files: Below, speaker_depth: int, split: str | None, notes: list[str]) -> Iterator[ListedRecording]:
    """Yield all recordings below a folder; their speakers are named by the path down to `speaker_depth`.

    Args:
        notes: gets a word on the files that are none by their names.
    """
    others: Counter[str] = Counter()
    start = len(str(files.top / "_")) - 1
    for path in files.files():  # as text: of a million files a Path takes as long as all else
        folder, _, name = path[start:].rpartition("/")
        dot = name.rfind(".")
        suffix = name[dot:].lower() if 0 < dot < len(name) - 1 else ""
        if name.startswith("."):
            continue
        if suffix in AUDIO_SUFFIXES:
            above = [*folder.split("/"), name][:-speaker_depth] if speaker_depth else []
            speaker = "/".join(above) or None
            yield ListedRecording(path[start : -len(suffix)], Path(path), speaker, split=split)
        else:
            others[suffix or name] += 1
    if others:
        kinds = [f"{suffix} x {count:,}" for suffix, count in others.most_common()]
        notes.append(f"files left out, as their suffix is of no recording: {first_few(kinds)}")


def of_folder(relative: PurePath, where: AnyPath, speaker_depth: int, split: str | None) -> ListedRecording:
    """Return a recording of a folder by its path in there."""
    above = relative.parts[:-speaker_depth] if speaker_depth else ()
    return ListedRecording(str(relative.with_suffix("")), where, "/".join(above) or None, split=split)


def is_audio(path: PurePath) -> bool:
    """Whether a file is a recording by its name."""
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def _digest_in_store(source: Url, kept: Path | None) -> str:
    is_one = "*" not in str(source) and not is_pattern(source) and not source.is_dir()
    if is_one or (is_pattern(source) and "*" not in str(source)):
        return digest([[str(url), vars(state_of_url(str(url)))] for url in expanded(source)])
    hasher = hashlib.sha256()
    for entry in files_below_url(source, kept):
        hasher.update(f"{entry.url}\t{entry.size}\t{entry.version}\n".encode())
    return hasher.hexdigest()
