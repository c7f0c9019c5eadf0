"""`trials`: a trial list in VoxCeleb, Kaldi or CSV form, or one generated from speaker labels -> trials.parquet.

A trial compares an enrolment utterance with a test utterance; `is_target` is null where nobody said.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from stages.audio.manifest import Utterance, read_manifest
from stages.audio.sources import AUDIO_SUFFIXES
from stages.section import Section
from store import ManifestError
from store.atomic import atomic_path

TRIALS_SCHEMA = pa.schema(
    [
        pa.field("enrolment_id", pa.string(), nullable=False),
        pa.field("test_id", pa.string(), nullable=False),
        pa.field("is_target", pa.bool_()),
        pa.field("condition", pa.string()),
    ]
)
_LABELS = {"1": True, "0": False, "target": True, "nontarget": False, "true": True, "false": False}

Trial = tuple[str, str, bool | None, str | None]


class TrialSettings(Section):
    """Where trials come from.

    Attributes:
        list: a trial list: VoxCeleb ("1 a b", or "a b" unlabelled), Kaldi ("a b target") or .csv; none: generated.
        max_targets, max_nontargets: generated pairs are thinned at random to at most so many.
        confusable_speakers: groups of speaker ids that may be one person or one room: never impostors of each other.
        drop_unknown: leave out trials that name an utterance the corpus lacks, instead of refusing the list.
    """

    list: Path | None = None
    max_targets: int = Field(default=20_000, ge=1)
    max_nontargets: int = Field(default=20_000, ge=1)
    confusable_speakers: tuple[tuple[str, ...], ...] = ()
    drop_unknown: bool = False


def make_trials(*, utterances: Path, trials: Path, settings: TrialSettings, seed: int) -> str:
    """Write trials.parquet and return one sentence on it.

    Raises:
        ManifestError: an unreadable line, an unknown utterance, or too few labelled speakers.
    """
    rows = read_manifest(utterances)
    dropped = 0
    if settings.list is None:
        made = generate_trials(rows, settings, seed)
    else:
        listed = list(_parsed(settings.list))
        made = list(_known(listed, rows, settings))
        dropped = len(listed) - len(made)
    if not made:
        raise ManifestError(
            f"{settings.list or utterances}: no trials; at least two speakers or a trial list are needed"
        )
    columns = [list(column) for column in zip(*made, strict=True)]
    with atomic_path(trials) as temporary:
        pq.write_table(pa.table(columns, schema=TRIALS_SCHEMA), temporary)
    counts = {label: sum(trial[2] is label for trial in made) for label in (True, False, None)}
    tail = f", {dropped} dropped (unknown utterances)" if dropped else ""
    return f"{len(made)} trials: {counts[True]} target, {counts[False]} non-target, {counts[None]} unlabelled{tail}"


def generate_trials(rows: Iterable[Utterance], settings: TrialSettings, seed: int) -> list[Trial]:
    """Split each speaker's utterances into an enrolment and a test side and pair the sides.

    Every target pair and every non-target pair across the sides is a candidate; both are thinned at random,
    reproducibly for a seed.

    Raises:
        ManifestError: fewer than two speakers with two utterances.
    """
    generator = np.random.default_rng(seed)
    enrolment, test = _sides(rows, generator)
    if len(enrolment) < 2:
        raise ManifestError("trials need two or more speakers with two or more utterances; give a trial list instead")
    group = {speaker: names[0] for names in settings.confusable_speakers for speaker in names}
    blocks = [
        (enrolment_ids, test_ids, enrolled == tested)
        for enrolled, enrolment_ids in enrolment.items()
        for tested, test_ids in test.items()
        if enrolled == tested or group.get(enrolled, enrolled) != group.get(tested, tested)
    ]
    chosen: list[Trial] = []
    for is_target, most in ((True, settings.max_targets), (False, settings.max_nontargets)):
        wanted = [(first, second) for first, second, same in blocks if same is is_target]
        chosen += [(*pair, is_target, None) for pair in _drawn(wanted, most, generator)]
    return chosen


def _sides(
    rows: Iterable[Utterance], generator: np.random.Generator
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    by_speaker: dict[str, list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.utterance_id):
        if row.speaker_id is not None:
            by_speaker[row.speaker_id].append(row.utterance_id)
    enrolment, test = {}, {}
    for speaker, ids in sorted(by_speaker.items()):
        shuffled = [ids[index] for index in generator.permutation(len(ids))]
        if len(ids) > 1:
            enrolment[speaker] = sorted(shuffled[: len(ids) // 2])
        test[speaker] = sorted(shuffled[len(ids) // 2 :])
    return enrolment, test


def _drawn(
    blocks: list[tuple[list[str], list[str]]], most: int, generator: np.random.Generator
) -> Iterator[tuple[str, str]]:
    """Yield at most `most` of the pairs first x second of all blocks, drawn without listing them all."""
    edges = np.cumsum([0, *(len(first) * len(second) for first, second in blocks)])
    total = int(edges[-1])
    numbers = (
        np.arange(total) if total <= most else np.sort(generator.choice(total, most, replace=False, shuffle=False))
    )
    for number, block in zip(numbers, np.searchsorted(edges, numbers, side="right") - 1, strict=True):
        first, second = blocks[block]
        row, column = divmod(int(number - edges[block]), len(second))
        yield first[row], second[column]


def _parsed(path: Path) -> Iterator[tuple[int, Trial]]:
    """Yield (line number, trial) from a trial list."""
    if not path.exists():
        raise ManifestError(f"the trial list {path} does not exist")
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix.lower() == ".csv":
            for number, row in enumerate(csv.DictReader(file), start=2):
                yield number, _csv_trial(path, number, row)
        else:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _text_trial(path, number, line.split())


def _csv_trial(path: Path, number: int, row: Mapping[str, str | None]) -> Trial:
    enrolment_id, test_id, label = row.get("enrolment_id"), row.get("test_id"), row.get("is_target") or ""
    if not enrolment_id or not test_id or (label and label.lower() not in _LABELS):
        raise ManifestError(f"{path}, line {number}: needs enrolment_id, test_id and is_target (1, 0 or empty)")
    return enrolment_id, test_id, _LABELS.get(label.lower()), row.get("condition") or None


def _text_trial(path: Path, number: int, fields: list[str]) -> Trial:
    if len(fields) == 2:
        return fields[0], fields[1], None, None
    if len(fields) == 3 and fields[0] in ("0", "1"):
        return fields[1], fields[2], _LABELS[fields[0]], None
    if len(fields) == 3 and fields[2].lower() in _LABELS:
        return fields[0], fields[1], _LABELS[fields[2].lower()], None
    raise ManifestError(f'{path}, line {number}: is neither "1 a b" (VoxCeleb) nor "a b target" (Kaldi) nor "a b"')


def _known(listed: list[tuple[int, Trial]], rows: list[Utterance], settings: TrialSettings) -> Iterator[Trial]:
    """Yield the trials with ids as in the corpus; lists often name files, so a suffix is forgiven."""
    known = {row.utterance_id for row in rows}
    for number, (enrolment_id, test_id, is_target, condition) in listed:
        resolved = [name if name in known else _without_suffix(name) for name in (enrolment_id, test_id)]
        unknown = [name for name in resolved if name not in known]
        if not unknown:
            yield resolved[0], resolved[1], is_target, condition
        elif not settings.drop_unknown:
            raise ManifestError(
                f"{settings.list}, line {number}: no utterance {unknown[0]!r} in the corpus (missing or rejected: see"
                " rejects.parquet); correct the list or set trials.drop_unknown=true"
            )


def _without_suffix(name: str) -> str:
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in AUDIO_SUFFIXES else name
