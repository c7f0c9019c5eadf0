"""Trial lists as they are published, and how the names in them meet the ids of a manifest.

Shapes: N names in a list, P trials.
"""

import csv
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.stages.audio.datasets.base import stretch_id
from reseed.stages.audio.datasets.tables import tab_rows
from reseed.stages.audio.datasets.trial_names import OPEN, Microphones, without_suffix
from reseed.stages.audio.listed import channel_of, file_errors, read_lines
from reseed.stages.common.prose import first_few
from reseed.store import ManifestError
from reseed.store.bounded import lines

# (targets, non-targets) -> the list that has so many. Vox1-O, -E, -H: Chung et al., "VoxCeleb2", Interspeech 2018, with
# the cleaned lists of the VoxCeleb site; CN-Celeb: Li et al. 2022; VC-Mix: Heo et al., arXiv 2309.14741;
# VoxSRC: counted in JaesungHuh/VoxSRC2023; FFSVC: counted in ffsvc.github.io.
PUBLISHED = {
    (18_860, 18_860): "Vox1-O original",
    (18_802, 18_809): "Vox1-O cleaned",
    (290_743, 290_737): "Vox1-E original",
    (289_921, 289_897): "Vox1-E cleaned",
    (276_270, 276_266): "Vox1-H original",
    (275_488, 275_406): "Vox1-H cleaned",
    (18_802, 140_734): "VC-Mix",
    (17_755, 3_466_537): "CN-Celeb evaluation",
    (25_645, 24_342): "VoxSRC 2023 validation",
    (36_000, 36_000): "FFSVC 2022 development",
}
# Trials in all -> the list that has so many, where it is not published how many there are of each class. VoxSRC 2022
# and 3D-Speaker are counted in public code, the other two lists of 3D-Speaker being alike.
PUBLISHED_TOTALS = {306_432: "VoxSRC 2022 validation", 175_163: "3D-Speaker cross-dialect"}
# The same, of lists without labels: prepare_submission.py of the TidyVoice challenge.
PUBLISHED_UNLABELLED = {4_000_000: "TidyVoice 2026 evaluation A", 1_280_000: "TidyVoice 2026 evaluation U"}
UNLABELLED = -1
LABELS = {
    **dict.fromkeys(("1", "target", "true", "tgt"), 1),
    **dict.fromkeys(("0", "nontarget", "false", "imp"), 0),
}

_MODEL = "modelid"  # the first column of NIST's tables

Line = tuple[str, str, int, str]  # enrolment, test, label, condition ("": none)


@dataclass(frozen=True)
class ParsedTrials:
    """A list as read: each name once, each trial as the numbers of its names.

    Attributes:
        names: [N] in the order in which they come first; `lines` [N] says in which line that is.
        enrolment_P, test_P: numbers of the names.
        label_P: 1 target, 0 non-target, -1 unlabelled.
        conditions: what each trial is bound to [P]; "" is nothing.
    """

    names: list[str]
    lines: list[int]
    enrolment_P: NDArray[np.int64]
    test_P: NDArray[np.int64]
    label_P: NDArray[np.int8]
    conditions: pa.Array

    @property
    def title(self) -> str | None:
        """The published list that has as many targets and non-targets as this one; None: none that is known."""
        return published_title(self.label_P)


def published_title(label_P: NDArray[np.int8]) -> str | None:
    """Return the published list that has as many targets (1) and non-targets (0) as these labels; None: none known."""
    targets, nontargets, total = int((label_P == 1).sum()), int((label_P == 0).sum()), len(label_P)
    totals = PUBLISHED_TOTALS if targets else PUBLISHED_UNLABELLED
    return PUBLISHED.get((targets, nontargets)) or totals.get(total)


def read_trial_list(path: Path, ids: pa.Array | None = None) -> ParsedTrials:
    """Read a list: VoxCeleb ("1 a b", "a b"), Kaldi ("a b target"), CN-Celeb ("a b 1"), SITW ("a b tgt"), NIST or .csv.

    Args:
        ids: those of the corpus, of which names that leave a microphone open mean several; None: they stay as they are.

    Raises:
        ManifestError: it does not exist, cannot be read, or has a line of no known form.
    """
    if not path.exists():
        raise ManifestError(f"the trial list {path} does not exist")
    microphones = Microphones(pa.array([], pa.string()) if ids is None else ids)
    numbers: dict[str, int] = {}
    lines: list[int] = []
    sides, labels, conditions = (array("q"), array("q")), array("b"), _Conditions()
    for line, (enrolment, test, label, condition) in _lines(path):
        is_open = OPEN in enrolment or OPEN in test
        for pair in microphones.pairs(enrolment, test) if is_open else ((enrolment, test),):
            for side, name in zip(sides, pair, strict=True):
                if name not in numbers:
                    numbers[name] = len(numbers)
                    lines.append(line)
                side.append(numbers[name])
            labels.append(label)
            conditions.append(condition)
    enrolment_P, test_P = (np.array(side, np.int64) for side in sides)
    return ParsedTrials(list(numbers), lines, enrolment_P, test_P, np.array(labels, np.int8), conditions.array())


def read_models(path: Path) -> dict[str, list[str]]:
    """Read which recordings an enrolment id stands for: "id recording recording ..." per line.

    CN-Celeb's enroll.lst and enroll.map, the enrolment lists of VOiCES and Kaldi's spk2utt have this form. NIST's have
    a header and a row for each recording of a model, SITW's of annotated speech "id recording start end" (s).

    Raises:
        ManifestError: it cannot be read, or an id has no recording or comes twice.
    """
    models: dict[str, list[str]] = {}
    if _is_nist(path):
        for number, row in tab_rows(path):
            model, segment = row[_MODEL], _segment(path, number, row)
            models.setdefault(model, []).append(segment)
        return models
    for number, line in read_lines(path):
        model, *recordings = line.split()
        recordings = _stretch_of(recordings) or recordings
        if not recordings or model in models:
            fault = "is listed twice" if recordings else "has no recording after it"
            raise ManifestError(f"{path}, line {number}: the enrolment id {model!r} {fault}")
        models[model] = recordings
    return models


def _stretch_of(fields: Sequence[str]) -> list[str] | None:
    """Return the id of "recording start end" as SITW's stretches are called; None: these are recordings."""
    try:
        recording, start_s, end_s = fields[0], *map(float, fields[1:])
    except (ValueError, IndexError):
        return None
    return [stretch_id(without_suffix(recording), start_s, end_s)]


def unknown_names(
    listed: ParsedTrials,
    models: Mapping[str, Sequence[str]],
    known: Mapping[str, Sequence[str]],
    enrolment: Path | None,
) -> str | None:
    """Say which names of a list mean no utterance, how many there are and in which line the first is; None: none.

    Args:
        models: what an enrolment id stands for, by the file `enrolment`.
        known: what `utterances_named` found for all names.
    """
    enrolled, tested = set(listed.enrolment_P.tolist()), set(listed.test_P.tolist())
    lines: dict[str, int] = {}
    for number, name in enumerate(listed.names):
        recordings = [*(models.get(name, [name]) if number in enrolled else []), *([name] if number in tested else [])]
        for recording in (each for each in recordings if not known[each]):
            of_model = "" if recording == name else f" of {enrolment}"
            lines.setdefault(f"{without_suffix(recording)!r}{of_model}", listed.lines[number])
    if not lines:
        return None
    first, line = next(iter(lines.items()))
    rest = f", nor {len(lines) - 1:,} other names: {first_few([*lines][1:])}" if len(lines) > 1 else ""
    return f"line {line}: no utterance {first} in the corpus{rest}"


class _Conditions:
    """The conditions of a list, most often none at all, as numbers."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._column = array("i")

    def append(self, condition: str) -> None:
        self._column.append(self._numbers.setdefault(condition, len(self._numbers)))

    def array(self) -> pa.Array:
        names = pa.array([name or None for name in self._numbers], pa.string())
        return names.take(pa.array(np.array(self._column, np.int32)))


def _lines(path: Path) -> Iterator[tuple[int, Line]]:
    if path.suffix.lower() == ".csv":
        return _csv_lines(path)
    return _nist_lines(path) if _is_nist(path) else _text_lines(path)


def _is_nist(path: Path) -> bool:
    """Whether a file is a table of NIST's, of trials or of models: its header begins with modelid."""
    return next((line.split()[0].lower() == _MODEL for _, line in read_lines(path)), False)


def _nist_lines(path: Path) -> Iterator[tuple[int, Line]]:
    for number, row in tab_rows(path):
        label = row.get("targettype", "").lower()
        if label and label not in LABELS:
            raise ManifestError(f"{path}, line {number}: {label!r} is neither target nor nontarget")
        yield number, (row[_MODEL], _segment(path, number, row), LABELS.get(label, UNLABELLED), "")


def _segment(path: Path, number: int, row: Mapping[str, str]) -> str:
    """Return the segment of a row of NIST's; side b of a call is its channel 1."""
    segment, side = row.get("segmentid") or row.get("segment"), row.get("side", "")
    try:
        channel = channel_of(side)
    except ValueError:
        channel = -1
    if not row[_MODEL] or not segment or channel not in (None, 0, 1):
        raise ManifestError(f"{path}, line {number}: needs modelid, segmentid and, if there is one, a side (a or b)")
    return without_suffix(segment) + ("" if channel is None else f"-ch{channel}")


def _csv_lines(path: Path) -> Iterator[tuple[int, Line]]:
    with file_errors(path):
        for number, row in enumerate(csv.DictReader(lines(path, "utf-8-sig", newline="")), start=2):
            yield number, _csv_trial(path, number, row)


def _csv_trial(path: Path, number: int, row: Mapping[str, str | None]) -> Line:
    enrolment_id, test_id, label = row.get("enrolment_id"), row.get("test_id"), (row.get("is_target") or "").lower()
    if not enrolment_id or not test_id or (label and label not in LABELS):
        raise ManifestError(f"{path}, line {number}: needs enrolment_id, test_id and is_target (1, 0 or empty)")
    return enrolment_id, test_id, LABELS.get(label, UNLABELLED), row.get("condition") or ""


def _text_lines(path: Path) -> Iterator[tuple[int, Line]]:
    for number, line in read_lines(path):
        yield number, _text_trial(path, number, line.split())


def _text_trial(path: Path, number: int, fields: Sequence[str]) -> Line:
    if len(fields) == 2:
        return fields[0], fields[1], UNLABELLED, ""
    if len(fields) == 3 and fields[0] in ("0", "1"):
        return fields[1], fields[2], LABELS[fields[0]], ""
    if len(fields) == 3 and fields[2].lower() in LABELS:
        return fields[0], fields[1], LABELS[fields[2].lower()], ""
    raise ManifestError(f'{path}, line {number}: is neither "1 a b" (VoxCeleb) nor "a b target" (Kaldi) nor "a b"')
