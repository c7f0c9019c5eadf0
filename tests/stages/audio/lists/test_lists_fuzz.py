"""Random tables of known truth: each row is found as it is known, or is a reject that names its line. None is lost."""

import csv
import gzip
import io
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reseed.stages.audio.candidates import inspect_listed
from reseed.stages.audio.lists.table import list_recordings
from reseed.stages.audio.stretches import settle_stretches
from tests.corpus import write_wave

ROUNDS = int(os.environ.get("RESEED_KILLS", "60"))
RATES = {"one.wav": 8_000, "two.wav": 16_000, "dir/three, of three.wav": 8_000}
SECONDS = 4
NAMES = {
    "path": ["path", "wav", "audio_filepath", "File", "file_name", "wav path"],
    "id": ["ID", "utt_id", "utterance_id", "key", "utt"],
    "speaker": ["speaker", "spk_id", "SPK", "client_id", "speaker-id"],
}
TEXTS = [
    "plain",
    "",
    "said, and more",
    'he said "no"',
    '"open',
    'closed"',
    "semi; colon",
    "bar | bar",
    "O’Neill, ü",
    "a\ttab",
    "two\nlines",
    '"all"',
    "it's",
]
SPEAKERS = ["s1", "id10001", "Jörg", "Smith, John", "7", "unknown"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("fuzz")
    for seed, (name, rate) in enumerate(RATES.items()):
        write_wave(root / name, 0.1 * np.random.default_rng(seed).standard_normal(SECONDS * rate), rate)
    return root


class Table:
    """A list drawn from a seed, written as some toolkit or person would.

    Attributes:
        truth: (path, id or None, speaker or None, start in s, length in s) of each row.
        is_clean: nothing in it is ambiguous or broken, so that nothing may be rejected.
        numbers: the lines of each row.
        cut: the rows that lost their ends: what is left of one may by chance look like a row.
    """

    def __init__(self, seed: int) -> None:
        draw = self.draw = random.Random(seed)
        self.has_id, self.has_stretch = draw.random() < 0.5, draw.random() < 0.7
        self.unit = draw.choice(["seconds", "samples", "named samples", "named ms"])
        self.by_stop = draw.random() < 0.5
        self.names = {role: draw.choice(names) for role, names in NAMES.items()}
        self.truth = [self._row(number) for number in range(draw.randint(3, 12))]
        self.form = draw.choice(["csv", "csv", "csv", "tsv", "tsv", "jsonl", "array", "printed", "ids"])
        self.is_clean = True
        self.numbers: list[range] = []
        self.cut: set[int] = set()
        self.suffix = {"csv": ".csv", "tsv": ".tsv"}.get(self.form, draw.choice([".json", ".jsonl", ".list"]))
        text = self._text() if self.form in ("csv", "tsv") else self._json()
        encoding = draw.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])
        self.data = text.encode(encoding)
        if draw.random() < 0.2:
            self.data, self.suffix = gzip.compress(self.data), f"{self.suffix}.gz"

    def _row(self, number: int) -> tuple[str, str | None, str | None, float, float]:
        path = self.draw.choice(list(RATES))
        start = self.draw.choice([0, 0.5, 1, 2]) if self.has_stretch else 0
        length = self.draw.choice([0.5, 1, 1.25, 2]) if self.has_stretch else SECONDS
        speaker = self.draw.choice(SPEAKERS)
        return path, f"u{number}" if self.has_id else None, None if speaker == "unknown" else speaker, start, length

    def _values(self, row: tuple[Any, ...]) -> dict[str, Any]:
        path, utterance_id, speaker, start, length = row
        values = {self.names["path"]: path, self.names["speaker"]: speaker or "unknown"}
        if self.has_id:
            values[self.names["id"]] = utterance_id
        if self.has_stretch:
            rate, mark = {"seconds": (1, ""), "named ms": (1000, "_ms")}.get(self.unit, (RATES[path], ""))
            mark = "_samples" if self.unit == "named samples" else mark
            values[f"start{mark}"] = self._number(start * rate)
            end = start + length if self.by_stop else length
            values[f"{'stop' if self.by_stop else 'duration'}{mark}"] = self._number(end * rate)
        values["text"] = self.draw.choice(TEXTS)
        return values

    @staticmethod
    def _number(value: float) -> float:
        return int(value) if value == int(value) else value

    def _json(self) -> str:
        rows = [self._values(row) for row in self.truth]
        if self.form == "jsonl":
            return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        if self.form == "printed":
            return "\n".join(json.dumps(row, indent=1) for row in rows)
        if self.form == "ids" and self.has_id:
            name = self.names["id"]
            return json.dumps({row.pop(name): row for row in rows}, indent=self.draw.choice([None, 2]))
        return json.dumps(rows, indent=self.draw.choice([None, 2]))

    def _text(self) -> str:
        draw = self.draw
        delimiter = "\t" if self.form == "tsv" else draw.choice([",", ",", ";", "|"])
        quoting = draw.choice(["proper", "proper", "all", "none"])
        end = draw.choice(["\n", "\r\n"])
        order: list[str] = []
        lines, at = [], 1
        for number, row in enumerate(self.truth):
            values = self._values(row)
            if not order:
                order = draw.sample(list(values), len(values))
                lines.append(delimiter.join(order))
            cells = [str(values[name]) for name in order]
            if quoting == "none":
                written = delimiter.join(cells).replace("\n", " ")
                self.is_clean &= written.count(delimiter) == len(cells) - 1 and '"' not in written
            else:
                sink = io.StringIO()
                how = csv.QUOTE_ALL if quoting == "all" else csv.QUOTE_MINIMAL
                csv.writer(sink, delimiter=delimiter, quoting=how, lineterminator="\n").writerow(cells)
                written = sink.getvalue()[:-1]
            if draw.random() < 0.02 and written[0] != delimiter:  # a row that lost its end
                written, self.is_clean = written[: draw.randint(1, len(written))], False
                self.cut.add(number)
            if quoting == "proper" and draw.random() < 0.1 and delimiter != "\t" and '"' not in written:
                written = written.replace(delimiter, f"{delimiter} ")
            height = written.count("\n") + 1
            self.numbers.append(range(at + 1, at + 1 + height))
            at += height
            lines.append(written)
        return end.join(lines).replace("\n", end).replace("\r\r", "\r") + draw.choice(["", end])


def found_rows(corpus: Path, table: Table) -> Iterator[dict[str, Any]]:
    source = corpus / f"list{table.suffix}"
    source.write_bytes(table.data)
    candidates = settle_stretches(inspect_listed(list_recordings(source, 1, None)))
    return (row for _, row in candidates.iterate(np.arange(len(candidates.listed))))


def check(corpus: Path, seed: int) -> tuple[int, int]:
    """Return how many rows were found and how many refused."""
    table = Table(seed)
    refused: set[int] = set()
    right, ids = [], []
    for row in found_rows(corpus, table):
        line = re.search(r"\bline (\d+)\b", row["problem"] or "")
        if line:
            refused.add(int(line[1]))
        else:
            path = None if row["path"] is None else str(Path(row["path"]).relative_to(corpus.resolve()))
            right.append((path, row["speaker_id"], row["start_s"], row["listed_s"], row["problem"] or row["fault"]))
            ids.append(row["utterance_id"])
    lost = [number for number, lines in enumerate(table.numbers) if not refused.isdisjoint(lines)]
    assert not (table.is_clean and refused), (seed, refused)
    known = [number for number in range(len(table.truth)) if number not in lost]
    assert len(right) == len(known), (seed, right, known)
    for (path, speaker, start, length, problem), utterance_id, number in zip(right, ids, known, strict=True):
        truth = table.truth[number]
        if number in table.cut or (problem is not None and (table.cut or "cannot be told" in problem)):
            continue
        assert problem is None, (seed, problem)
        assert (path, speaker, start) == (truth[0], truth[2], truth[3]), (seed, truth)
        assert length == (truth[4] if table.has_stretch else None), (seed, length, truth)
        assert truth[1] is None or utterance_id == truth[1], (seed, truth)
    if not table.has_id and not table.cut:
        assert len(set(ids)) == len({(path, start, length) for path, _, start, length, _ in right}), (seed, ids)
    return len(right), len(lost)


def test_every_row_of_a_random_list_is_as_it_is_known_or_is_refused_with_its_line(corpus):
    counts = np.sum([check(corpus, seed) for seed in range(ROUNDS)], axis=0)
    print(f"{ROUNDS} lists: {counts[0]} rows as known, {counts[1]} refused with their line")
    assert counts[0] > 10 * counts[1]
