"""Speakers in the Wild, open-source media of one and of several speakers.

McLaren et al., "The Speakers in the Wild (SITW) Speaker Recognition Database", Interspeech 2016; its README.
    {dev,eval}/audio/NAME.flac; keys/meta.lst, lines "audio/NAME.flac SPEAKER GENDER ..."
    lists/enroll-core.lst "MODEL audio/NAME.flac"; enroll-assist.lst, enroll-assistclean.lst "MODEL audio/NAME.flac
    START END" (s); test-core.lst, test-multi.lst "audio/NAME.flac"
    keys/{core,assist}-{core,multi}.lst "MODEL audio/NAME.flac tgt|imp"
"""

from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, as_released, folder_of, splits_of, stretch_id
from reseed.stages.audio.demographics import gender_of
from reseed.stages.audio.listed import ListedRecording, read_lines
from reseed.store import ManifestError

_LISTS = ("enroll-core", "enroll-assist", "enroll-assistclean", "test-core", "test-multi")


def _listed(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield each recording of the lists once, and each stretch with which a model is enrolled."""
    folder = folder_of(title, root, split, f"*/{split}", holding="lists/*.lst")
    meta = folder / "keys" / "meta.lst"
    known = {name: [*said, ""] for name, *said in _lines(meta, 2)} if meta.is_file() else {}
    seen: set[str] = set()
    for path in (folder / "lists" / f"{name}.lst" for name in _LISTS):
        is_enrolment = path.name.startswith("enroll")
        for fields in _lines(path, 2 if is_enrolment else 1) if path.is_file() else ():
            name, *times = fields[1:] if is_enrolment else fields[:1]
            start_s, end_s = _stretch(path, times) if times else (0.0, None)
            utterance_id = f"{split}/{Path(name).with_suffix('')}"
            if end_s is not None:
                utterance_id = stretch_id(utterance_id, start_s, end_s)
            if utterance_id not in seen:
                seen.add(utterance_id)
                duration_s = None if end_s is None else round(end_s - start_s, 6)
                recording = as_released(folder / name)
                speaker_id, gender = known.get(name, [None, ""])[:2]
                yield ListedRecording(
                    utterance_id, recording, speaker_id, start_s, duration_s, split, gender=gender_of(gender or "")
                )


def _lines(path: Path, least: int) -> Iterator[list[str]]:
    for number, line in read_lines(path):
        fields = line.split()
        if len(fields) < least:
            raise ManifestError(f"{path}, line {number}: has {len(fields)} fields, {least} are needed")
        yield fields


def _stretch(path: Path, times: list[str]) -> tuple[float, float]:
    try:
        start_s, end_s = (float(time) for time in times)
    except ValueError:
        raise ManifestError(f"{path}: {' '.join(times)!r} is no start and end in seconds") from None
    return start_s, end_s


SITW = Dataset("SITW", {"speech": splits_of(_listed, "dev", "eval")})
