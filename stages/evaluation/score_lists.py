"""Score files of any program: which column is what, by its heading or, where there is none, by what stands in it.

Read are lines of fields parted by white space, tabs, commas or semicolons (Kaldi, VoxCeleb, WeSpeaker, NIST, CSV), and
Parquet, such as this program's own scores.parquet.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from reseed.stages.audio.datasets.trial_lists import LABELS, UNLABELLED
from reseed.stages.common.prose import first_few
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.files import SCORES_SCHEMA, read_scores
from reseed.store import ScoringError
from reseed.store.bounded import check_regular

# What a column is called, in lower case -> what it is here.
_HEADINGS = {
    **dict.fromkeys(("enrolment_id", "enrollment_id", "enroll", "enrol", "enrolment", "enrollment"), "enrolment_id"),
    **dict.fromkeys(("modelid", "model", "model_id", "enroll_id", "enrol_id", "utt1", "wav1", "file1"), "enrolment_id"),
    **dict.fromkeys(("test_id", "test", "segmentid", "segment", "segment_id", "utt2", "wav2", "file2"), "test_id"),
    **dict.fromkeys(("score", "scores", "similarity", "cosine", "llr", "log_likelihood_ratio"), "score"),
    **dict.fromkeys(("label", "labels", "is_target", "target", "targettype", "key", "same", "same_speaker"), "label"),
    **dict.fromkeys(("condition", "partition", "subset"), "condition"),
    **{name: name for name in ("system", "scoring", "side", "enrolment_speaker_id", "test_speaker_id")},
}
_LLR = {"llr", "log_likelihood_ratio"}
_SAMPLE = 2_000  # rows by which a column without a heading is told
_MOST_BYTES = 4 << 30

Columns = dict[str, pa.ChunkedArray]


class NoScoresError(ScoringError):
    """A file has no column that may be scores; it may be a trial list."""


@dataclass(frozen=True)
class ScoreList:
    """Scores as a file lists them, row by row (P).

    Attributes:
        enrolment, test: ids; None where the file has scores alone.
        label_P: 1 target, 0 non-target, -1 unlabelled; None: the file labels nothing.
        condition, system, speakers: further columns where the file has them; `speakers` of enrolment and of test.
        is_llr: whether the heading says that scores are log-likelihood ratios.
    """

    path: Path
    score_P: Floats
    enrolment: pa.DictionaryArray | None
    test: pa.DictionaryArray | None
    label_P: NDArray[np.int8] | None
    condition: pa.DictionaryArray | None
    system: pa.DictionaryArray | None
    speakers: tuple[pa.DictionaryArray, pa.DictionaryArray] | None
    is_llr: bool

    def systems(self) -> Iterator[tuple[str, "ScoreList"]]:
        """Yield each system by name; a file that names none holds one, called like the file."""
        if self.system is None:
            yield self.path.stem, self
            return
        codes_P = self.system.indices.to_numpy(zero_copy_only=False)
        for code, name in enumerate(self.system.dictionary.to_pylist()):
            if (rows := np.flatnonzero(codes_P == code)).size:
                yield name, self._taken(rows)

    def _taken(self, rows: NDArray[np.intp]) -> "ScoreList":
        def of(column: pa.DictionaryArray | None) -> pa.DictionaryArray | None:
            return None if column is None else column.take(pa.array(rows))

        speakers = None if self.speakers is None else (of(self.speakers[0]), of(self.speakers[1]))
        label_P = None if self.label_P is None else self.label_P[rows]
        sides = of(self.enrolment), of(self.test)
        return ScoreList(
            self.path, self.score_P[rows], *sides, label_P, of(self.condition), None, speakers, self.is_llr
        )


def read_score_list(path: Path, *, labels_alone: bool = False) -> ScoreList:
    """Read scores.

    Args:
        labels_alone: read a trial list: ids and labels, the scores being 0.

    Raises:
        NoScoresError: no column may be the scores.
        ScoringError: the file does not exist or cannot be read, several columns may be the scores, a score is no
            number, or a label is no label; names the row.
    """
    if not path.is_file():
        fault = f"{path} is a folder, not a score file" if path.is_dir() else f"the score file {path} does not exist"
        raise ScoringError(fault)
    columns, heading, first_line = _parquet(path) if path.suffix == ".parquet" else _text(path, labels_alone)
    if not len(columns["score"]):
        raise ScoringError(f"{path} holds no scores")
    names = {name: _encoded(columns[name]) for name in columns if name not in ("score", "label")}
    if "scoring" in names:
        names["system"] = _joined(names.get("system"), names.pop("scoring"))
    if "side" in names and "test_id" in names:
        names["test_id"] = _joined(names["test_id"], names.pop("side"), "-")
    speakers = (
        (names["enrolment_speaker_id"], names["test_speaker_id"])
        if {"enrolment_speaker_id", "test_speaker_id"} <= names.keys()
        else None
    )
    return ScoreList(
        path,
        _numbers(path, columns["score"], first_line),
        names.get("enrolment_id"),
        names.get("test_id"),
        _labels(path, columns["label"], first_line) if "label" in columns else None,
        names.get("condition"),
        names.get("system"),
        speakers,
        heading in _LLR,
    )


def _parquet(path: Path) -> tuple[Columns, str, int]:
    try:
        names = set(pq.read_schema(path).names)
        table = read_scores(path)[0] if names >= set(SCORES_SCHEMA.names) else pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ScoringError(f"{path} cannot be read as Parquet: {error}") from error
    found = _by_heading(path, table.column_names)
    return {kind: table[place] for kind, place in found.items()}, table.column_names[found["score"]].lower(), 1


def _text(path: Path, labels_alone: bool) -> tuple[Columns, str, int]:
    """Return columns of text, the heading of the scores, and the line that the first row stands in."""
    if check_regular(path) > _MOST_BYTES:
        raise ScoringError(f"{path} is larger than {_MOST_BYTES >> 30} GB; write it as Parquet")
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode()
    except UnicodeDecodeError:
        raise ScoringError(f"{path} is no UTF-8 text; unpack or convert it") from None
    first = next((line for line in data[: 1 << 20].splitlines() if line.strip()), b"")
    if not first:
        raise ScoringError(f"{path} holds no scores")
    marks = (b";", b",") if b" " in first else (b"\t", b";", b",")
    delimiter = next((mark for mark in marks if mark in first), b" ")
    data = _plain(data, delimiter)
    table = _parsed(path, data, delimiter.decode())
    top = [str(column[0]) for column in table.columns]
    if any(name.strip().lower() in _HEADINGS for name in top) and not any(_is_number(name) for name in top):
        found = _by_heading(path, top)
        table = table.slice(1)
        return {kind: table[place] for kind, place in found.items()}, top[found["score"]].strip().lower(), 2
    found = _by_content(path, table, labels_alone)
    zeros = {"score": pa.chunked_array([pa.repeat("0", table.num_rows)])} if labels_alone else {}
    return {kind: table[place] for kind, place in found.items()} | zeros, "", 1


def _plain(data: bytes, delimiter: bytes) -> bytes:
    """Leave one delimiter between fields, none around lines, and no carriage return."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if delimiter == b" " and (b"  " in data or b"\t" in data):
        data = re.sub(rb"[ \t]+", b" ", data)
    elif delimiter != b" " and b" " in data:
        data = re.sub(rb" *([\t;,]) *", rb"\1", data)
    return re.sub(rb"(?m)^ | $", b"", data) if b"\n " in data or b" \n" in data or data[:1] == b" " else data


def _parsed(path: Path, data: bytes, delimiter: str) -> pa.Table:
    def refuse(row: csv.InvalidRow) -> str:
        broken.append(row)
        return "skip"

    broken: list[csv.InvalidRow] = []
    width = len(data.lstrip(b"\n").partition(b"\n")[0].split(delimiter.encode()))
    names = [str(place) for place in range(width)]
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            read_options=csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=csv.ParseOptions(delimiter=delimiter, invalid_row_handler=refuse),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowException as error:
        raise ScoringError(f"{path} cannot be read as lines of {width} fields: {error}") from error
    if broken:
        row = broken[0]
        where = f"line {row.number}" if row.number else f"the line {row.text[:80]!r}"
        raise ScoringError(f"{path}, {where}: has {row.actual_columns} fields where the first line has {width}")
    if not table.num_rows:
        raise ScoringError(f"{path} holds no scores")
    return table


def _by_heading(path: Path, headings: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, name in enumerate(headings):
        kind = _HEADINGS.get(name.strip().lower())
        if kind and kind in found:
            raise ScoringError(f"{path}: {headings[found[kind]]!r} and {name!r} may both be the {kind}; keep one")
        if kind:
            found[kind] = place
    if "score" not in found:
        raise NoScoresError(f"{path} has no column score (or llr, similarity) but {first_few(headings)}; rename one")
    return found


def _by_content(path: Path, table: pa.Table, labels_alone: bool) -> dict[str, int]:
    """Tell columns by what stands in them: labels, the scores, then enrolment and test in this order."""
    sample = {place: table[place].slice(0, _SAMPLE).to_pylist() for place in range(table.num_columns)}
    numeric = [place for place, texts in sample.items() if all(map(_is_number, texts))]
    labels = [place for place, texts in sample.items() if all(text.lower() in LABELS for text in texts)]
    scores = [place for place in numeric if place not in labels]
    if len(scores) > 1:  # ids may be numbers; scores are hardly ever whole
        scores = [place for place in scores if any(not text.lstrip("+-").isdigit() for text in sample[place])]
    if not scores and len(labels) == 1 and table.num_columns == 1:
        scores, labels = labels, []
    others = [place for place in sample if place not in (*labels, *scores)]
    if labels_alone and not scores and len(labels) == 1 and len(others) == 2:
        return {"enrolment_id": others[0], "test_id": others[1], "label": labels[0]}
    if not scores or labels_alone:
        raise NoScoresError(f"{path} has no column of scores; give a file that has one")
    if len(scores) != 1 or len(labels) > 1 or len(others) not in (0, 2, 3):
        raise ScoringError(
            f"{path}: of {table.num_columns} columns without headings, {len(scores)} may be scores, {len(labels)} "
            "labels; put a first line with the columns' names: enrolment_id, test_id, score, label"
        )
    kinds = dict(zip(("enrolment_id", "test_id", "side"), others, strict=False))
    return {**kinds, "score": scores[0], **({"label": labels[0]} if labels else {})}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(path: Path, column: pa.ChunkedArray, first_line: int) -> Floats:
    try:
        score_P: Floats = column.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        place, text = next((row, text) for row, text in enumerate(column.to_pylist()) if not _is_number(text or ""))
        raise ScoringError(f"{path}, row {place + first_line}: {text!r} is no score") from None
    bad = np.flatnonzero(~np.isfinite(score_P))
    if bad.size:
        raise ScoringError(f"{path}, row {bad[0] + first_line}: the score is not finite, as are {bad.size} in all")
    return score_P


def _labels(path: Path, column: pa.ChunkedArray, first_line: int) -> NDArray[np.int8]:
    encoded = _encoded(column)
    known: Mapping[str, int] = {**LABELS, "": UNLABELLED, "non-target": 0, "impostor": 0, "same": 1, "different": 0}
    value_V = [known.get(str(text).strip().lower(), 9) for text in encoded.dictionary.to_pylist()]
    code_P = pc.fill_null(encoded.indices, len(value_V)).to_numpy(zero_copy_only=False)
    label_P = np.array([*value_V, UNLABELLED], np.int8)[code_P]
    if (label_P == 9).any():
        place = int(np.argmax(label_P == 9))
        text = encoded.dictionary[int(code_P[place])].as_py()
        raise ScoringError(f"{path}, row {place + first_line}: {text!r} is no label; write target or nontarget")
    return label_P


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return column.cast(pa.string()).combine_chunks().dictionary_encode()


def _joined(first: pa.DictionaryArray | None, second: pa.DictionaryArray, between: str = " · ") -> pa.DictionaryArray:
    """Join two columns of names, the second left out where it is one and the same throughout."""
    if first is None:
        return second
    if len(second.dictionary) < 2 and between != "-":
        return first
    texts = pc.binary_join_element_wise(first.cast(pa.string()), second.cast(pa.string()), between)
    return texts.dictionary_encode()
