"""`trials`: a trial list in VoxCeleb, Kaldi or CSV form, or one generated from speaker labels -> trials.parquet.

A trial compares an enrolment utterance with a test utterance; `is_target` is null where nobody said.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from reseed.stages.audio.datasets.trial_lists import (
    UNLABELLED,
    ParsedTrials,
    read_models,
    read_trial_list,
    unknown_names,
)
from reseed.stages.audio.datasets.trial_names import utterances_named, without_suffix
from reseed.stages.audio.manifest import Utterance
from reseed.stages.common.section import AbsolutePath, Section, Takes
from reseed.stages.trial_scoring.inputs.lists import (
    ENROLMENTS_SCHEMA,
    TRIALS_SCHEMA,
    read_languages,
    read_speakers,
)
from reseed.store import ManifestError
from reseed.store.atomic import atomic_paths
from reseed.store.outputs import check_apart, check_table_output
from reseed.store.sealed import write_table
from reseed.store.url import AnyPath


class Labelled(NamedTuple):
    """An utterance and who speaks in it, or an item and its class."""

    utterance_id: str
    speaker_id: str | None


Trial = tuple[str, str, bool | None, str | None]
Models = dict[str, list[str]]  # enrolment model -> its utterances


class TrialSettings(Section):
    """Where trials come from.

    Attributes:
        list: a trial list: VoxCeleb ("1 a b", or "a b" unlabelled), Kaldi ("a b target"), CN-Celeb ("a b 1"), VOiCES
            and SITW ("a b tgt"), NIST (modelid, segmentid, targettype) or .csv; null: trials are generated from speaker
            labels.
        enrolment: a file that says which recordings an enrolment id of the list stands for, "id recording ..." per
            line, or a row of NIST's for each; null: the ids are utterances.
        pool_enrolment: score an enrolment of several recordings as one model, not as a trial for each.
        enrolment_utterances: where trials are generated: utterances that a speaker is enrolled with; above 1, as one
            model.
        max_targets, max_nontargets: where trials are generated: how many of them at most, drawn at random.
        confusable_speakers: groups of speakers that may be one person or share a room: never tested as impostors of
            each other.
        drop_unknown: leave out trials that name an utterance the corpus lacks, instead of refusing the list.
    """

    list: AbsolutePath | None = None
    enrolment: AbsolutePath | None = None
    pool_enrolment: bool = True
    enrolment_utterances: int = Field(default=1, ge=1)
    max_targets: int = Field(default=20_000, ge=1)
    max_nontargets: int = Field(default=20_000, ge=1)
    confusable_speakers: Annotated[tuple[tuple[str, ...], ...], Takes("a list of lists of speaker ids")] = Field(
        default=(), examples=[[["id01", "id07"], ["id03", "id04", "id09"]]]
    )
    drop_unknown: bool = False


def make_trials(
    *, utterances: AnyPath, trials: Path, enrolments: Path | None = None, settings: TrialSettings, seed: int
) -> str:
    """Write trials.parquet and return one sentence on it.

    Args:
        utterances: utterances.parquet, or a store, which says as much of what it holds.
        enrolments: written; which utterances each enrolment model is made of, empty where trials name utterances.

    Raises:
        ManifestError: an unreadable line, an unknown utterance, or too few labelled speakers.
    """
    check_apart([trials, enrolments], [utterances, settings.list, settings.enrolment], ManifestError)
    check_table_output(trials, "a list of trials", TRIALS_SCHEMA, error=ManifestError)
    check_table_output(enrolments, "a list of enrolments", ENROLMENTS_SCHEMA, error=ManifestError)
    labels = read_speakers(utterances)
    ids, classes = labels["utterance_id"], labels["speaker_id"]
    if settings.list is None:
        labelled = map(Labelled, ids.to_pylist(), classes.to_pylist())
        listed_trials, models = generate_trials(labelled, settings, seed)
        table, title, dropped = _table(listed_trials), None, 0
    else:
        listed = read_trial_list(settings.list, ids.combine_chunks())
        table, models, dropped = _resolved(listed, ids.combine_chunks(), settings)
        title = listed.title
    if not len(table):
        raise ManifestError(
            f"{settings.list or utterances}: no trials; at least two speakers or a trial list are needed"
        )
    if models and enrolments is None:
        raise ManifestError(
            f"the {len(models)} enrolment models need a file of their own; give --enrolments FILE,"
            " or set trials.pool_enrolment=false"
        )
    rows = [(model, utterance) for model, members in sorted(models.items()) for utterance in members]
    pairs = [dict(zip(ENROLMENTS_SCHEMA.names, row, strict=True)) for row in rows]
    tables = [table, pa.Table.from_pylist(pairs, ENROLMENTS_SCHEMA)]
    with atomic_paths(trials, *([] if enrolments is None else [enrolments])) as temporaries:
        for written, temporary in zip(tables, temporaries, strict=False):
            write_table(temporary, written)
    return (
        f"{len(table)} trials{f' of {title}' if title else ''}: {_counted(table['is_target'])}"
        f"{_by_languages(table, models, read_languages(utterances))}"
        f"{f', {len(models)} enrolment models' if models else ''}"
        f"{f', {dropped} dropped (unknown utterances)' if dropped else ''}"
    )


def _counted(labels: pa.ChunkedArray) -> str:
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(labels).to_pylist()}
    return f"{counts.get(True, 0)} target, {counts.get(False, 0)} non-target, {counts.get(None, 0)} unlabelled"


def _by_languages(trials: pa.Table, models: Models, known: pa.Table | None) -> str:
    """Say how many trials are in one language, how many across two, where the manifest knows (TidyVoice's classes)."""
    if known is None or pc.count_distinct(known["language"]).as_py() < 2:
        return ""
    ids = known["utterance_id"].combine_chunks()
    languages = known["language"].combine_chunks()
    names = pc.unique(trials["enrolment_id"])
    stands_for = pa.array([models.get(name, [name])[0] for name in names.to_pylist()], pa.string())
    enrolled = stands_for.take(pc.index_in(trials["enrolment_id"], value_set=names).combine_chunks())
    first, second = (languages.take(pc.index_in(side, value_set=ids)) for side in (enrolled, trials["test_id"]))
    is_same = pc.equal(first, second)
    in_one, across = (_counted(trials["is_target"].filter(mask)) for mask in (is_same, pc.invert(is_same)))
    return f" (in one language: {in_one}; across languages: {across})"


def generate_trials(
    rows: Iterable[Utterance | Labelled], settings: TrialSettings, seed: int
) -> tuple[list[Trial], Models]:
    """Split each speaker's utterances into an enrolment and a test side and pair the sides; return the models as well.

    Where a speaker is enrolled with several utterances, the enrolment side is cut into models of so many, the rest
    left over, and the models are paired in place of the utterances.

    Every target pair and every non-target pair across the sides is a candidate; both are thinned at random,
    reproducibly for a seed.

    Raises:
        ManifestError: fewer than two speakers with two utterances.
    """
    generator = np.random.default_rng(seed)
    enrolment, test = _sides(rows, generator)
    models: Models = {}
    if settings.enrolment_utterances > 1:
        enrolment, models = _modelled(enrolment, settings.enrolment_utterances)
    if len(enrolment) < 2:
        least = 2 * settings.enrolment_utterances
        raise ManifestError(
            f"trials need two or more speakers with {'two' if least == 2 else least} or more utterances; give a "
            "trial list instead"
        )
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
    enrolled = {enrolment_id for enrolment_id, *_ in chosen}
    return chosen, {model: members for model, members in models.items() if model in enrolled}


def _modelled(enrolment: dict[str, list[str]], size: int) -> tuple[dict[str, list[str]], Models]:
    """Cut each speaker's enrolment side into models "SPEAKER#0", "SPEAKER#1", ... of `size` utterances."""
    models = {
        speaker: {
            f"{speaker}#{first // size}": ids[first : first + size] for first in range(0, len(ids) - size + 1, size)
        }
        for speaker, ids in enrolment.items()
    }
    names = {speaker: list(of_speaker) for speaker, of_speaker in models.items() if of_speaker}
    return names, {model: members for of_speaker in models.values() for model, members in of_speaker.items()}


def _sides(
    rows: Iterable[Utterance | Labelled], generator: np.random.Generator
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


def _table(trials: Iterable[Trial]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(TRIALS_SCHEMA.names, trial, strict=True)) for trial in trials], TRIALS_SCHEMA)


def _resolved(listed: ParsedTrials, ids: pa.Array, settings: TrialSettings) -> tuple[pa.Table, Models, int]:
    """Return the trials of a list with ids as in the corpus, the pooled models, and how many trials are dropped.

    Raises:
        ManifestError: a name that the corpus lacks (unless such trials are dropped), or that means several utterances.
    """
    models = {} if settings.enrolment is None else read_models(settings.enrolment)
    known = utterances_named(chain(listed.names, *models.values()), ids)
    if not settings.drop_unknown and (unknown := unknown_names(listed, models, known, settings.enrolment)):
        raise ManifestError(
            f"{settings.list}, {unknown} (missing or rejected: see rejects.parquet); correct the list or set "
            "trials.drop_unknown=true"
        )
    enrolled, tested = set(listed.enrolment_P.tolist()), set(listed.test_P.tolist())
    is_pooled = settings.pool_enrolment and any(len(recordings) > 1 for recordings in models.values())
    enrolment_N, test_N, pooled = [], [], {}
    for number, name in enumerate(listed.names):
        recordings = models.get(name, [name])
        meant = _meant(listed, number, recordings, known, settings) if number in enrolled else []
        if is_pooled and name in models and meant not in ([], [name]):
            pooled[name], meant = meant, [name]
        enrolment_N.append(meant)
        test_N.append(_meant(listed, number, [name], known, settings) if number in tested else [])
    count_P = _counts(enrolment_N)[listed.enrolment_P] * _counts(test_N)[listed.test_P]
    row_R = np.repeat(np.arange(len(count_P)), count_P)  # a trial without its utterances comes not at all
    turn_R = np.arange(len(row_R)) - np.repeat(np.cumsum(count_P) - count_P, count_P)
    label_R = listed.label_P[row_R]
    columns = [
        _taken(enrolment_N, listed.enrolment_P[row_R], turn_R),
        _taken(test_N, listed.test_P[row_R], np.zeros_like(turn_R)),
        pa.array(label_R == 1, mask=label_R == UNLABELLED),
        listed.conditions.take(pa.array(row_R)),
    ]
    return pa.table(columns, schema=TRIALS_SCHEMA), pooled, int((count_P == 0).sum())


def _meant(
    listed: ParsedTrials, number: int, recordings: list[str], known: dict[str, list[str]], settings: TrialSettings
) -> list[str]:
    """Return the utterances that one name of a list stands for; none if one of them is missing."""
    for recording in recordings:
        where = f"{settings.list}, line {listed.lines[number]}"
        of_model = "" if recording == listed.names[number] else f" of {settings.enrolment}"
        name = f"{without_suffix(recording)!r}{of_model}"
        if len(known[recording]) > 1:
            raise ManifestError(f"{where}: {name} may be {' or '.join(known[recording])}; name it in full")
    found = [utterance_id for recording in recordings for utterance_id in known[recording]]
    return found if len(found) == len(recordings) else []


def _counts(ids_N: list[list[str]]) -> NDArray[np.int64]:
    return np.array([len(ids) for ids in ids_N], np.int64)


def _taken(ids_N: list[list[str]], name_R: NDArray[np.int64], turn_R: NDArray[np.int64]) -> pa.Array:
    """Return for each row R the id that has its turn among those of its name."""
    start_N = np.cumsum(_counts(ids_N)) - _counts(ids_N)
    return pa.array(list(chain(*ids_N)), pa.string()).take(pa.array(start_N[name_R] + turn_R))
