"""`prepare`: recordings -> utterances.parquet and rejects.parquet."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from reseed.stages.audio.candidates import (
    CHANNELS,
    ONLY,
    Candidates,
    accept,
    choose_channels,
    inspect_listed,
    with_column,
)
from reseed.stages.audio.datasets.table import DATASETS
from reseed.stages.audio.demographics import Demographics, read_demographics
from reseed.stages.audio.known import Known
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.lists.table import list_recordings
from reseed.stages.audio.location import Location
from reseed.stages.audio.manifest import (
    CONTENT_SCHEMA,
    DEMOGRAPHICS_SCHEMA,
    LATER,
    ROW_GROUP,
    SPEECH_SCHEMA,
    UTTERANCES_SCHEMA,
    Utterance,
)
from reseed.stages.audio.overview import COLUMNS, kinds_of, overview
from reseed.stages.audio.patterns import expanded
from reseed.stages.audio.stretches import settle_stretches
from reseed.stages.audio.vad.speech import speech_lengths_s
from reseed.stages.audio.vad_settings import Vad, VadSettings, floor_conflicts
from reseed.stages.common import terminal
from reseed.stages.common.section import AbsolutePath, Conflict, OneOf, Section
from reseed.store import ManifestError, Reject, write_rejects
from reseed.store.atomic import atomic_paths
from reseed.store.format import REJECTS_SCHEMA
from reseed.store.outputs import check_apart, check_table_output
from reseed.store.sealed import table_writer
from reseed.store.url import AnyPath, Url

_OUT_OF_ORDER = 0.05  # of the recordings
_WRITTEN = pa.unify_schemas([UTTERANCES_SCHEMA, CONTENT_SCHEMA, DEMOGRAPHICS_SCHEMA])
_MEASURED = pa.unify_schemas([_WRITTEN, SPEECH_SCHEMA])


class PrepareSettings(Section):
    """How recordings are listed and accepted.

    Attributes:
        dataset: the public data set that the source of `reseed prepare` is; null: none. A run says it in
            corpus.sources.
        speakers: a table of the speakers' gender and age (.csv, .tsv, or LibriSpeech's SPEAKERS.TXT), by which reports
            break down; null: what the list says.
        min_duration_s: shorter utterances are rejected (speech only; a room response may be short).
        speaker_depth: in a folder: which part of a path names the speaker, counted from the file upwards; 1: the folder
            that holds the file; 0: speakers are unknown.
        tarred_audio_filepaths: the tar files of NeMo's tarred manifests (audio__OP_0..127_CL_.tar); null: audio_7.tar
            is shard 7, beside the manifest or above its folder.
        order: the utterances in the order of their ids, which is that of any other container of the same recordings, or
            as they lie in archives, which reads archives in another order fastest.
        channels: what is read of a recording of several channels where the list names none: their mean, the first, or
            each, which makes utterances ID-ch0, ID-ch1, ... of the same speaker. Of a room response it is the first.
        vad: energy or silero: say how much of the recordings is speech, and write it into the manifest (speech_s); what
            is cut is said by crops.vad; none or null: nothing is said.
        min_speech_s: with vad: say how many utterances hold less.
    """

    dataset: Annotated[str, OneOf(DATASETS)] | None = None
    speakers: AbsolutePath | None = None
    min_duration_s: float = Field(default=0.5, ge=0)
    speaker_depth: int = Field(default=1, ge=0)
    tarred_audio_filepaths: AbsolutePath | None = None
    order: Literal["id", "place"] = "id"
    channels: Annotated[str, OneOf(tuple(CHANNELS))] = "mean"
    vad: Vad = None
    min_speech_s: float | None = Field(default=None, gt=0, le=86_400)

    def conflicts(self) -> Iterator[Conflict]:
        yield from floor_conflicts(self.vad, self.min_speech_s)


def prepare(
    *,
    source: AnyPath,
    utterances: Path,
    rejects: Path,
    settings: PrepareSettings,
    kind: str = "speech",
    split: str | None = None,
    strict: float | None = None,
    listing: Path | None = None,
    known: Path | None = None,
) -> str:
    """List the recordings under `source`, inspect each, write manifest and rejects, and return what it saw.

    Args:
        source: a folder of audio or of archives, a list, an archive, a Kaldi directory (wav.scp, utt2spk, segments),
            a pattern of several of these (shards/*.tar, {000..099}), or where the data set of the
            settings lies; of all but the last also a URL.
        kind: "speech", "noise", "music" or "rir".
        split: of a data set: its own name of a part, or several joined by "+"; otherwise kept from lists that name
            splits, and written into the manifest.
        strict: the largest share of what is listed that may be rejected; None: any.
        listing: what a folder of a store lists is read from this file, or written to it where it is missing; of a large
            folder of this machine, what has changed since is listed again.
        known: an earlier manifest of this source, or `utterances` itself: only what it lacks or has changed is decoded.

    Returns:
        A sentence, and the lines of a table.

    Raises:
        ManifestError: nothing usable at `source`, or more rejects than `strict` allows.
        ConfigError: no such data set, or it has no such kind or split.
    """
    _check_outputs(source, utterances, rejects)
    is_speech = kind == "speech"
    demographics = read_demographics(settings.speakers) if settings.speakers and is_speech else {}
    notes: list[str] = []
    listed = _listed(source, kind, split, settings, notes, listing)
    earlier = None if known is None else Known(known)
    inspected = inspect_listed(listed if earlier is None else earlier.new(listed))
    vad = settings.vad if is_speech else None
    is_averaged = kind != "rir"  # of a room response `AudioBank` takes the first channel
    candidates = choose_channels(settle_stretches(inspected), settings.channels, is_averaged)
    accepted, rejected = accept(candidates, settings.min_duration_s if is_speech else 0.0, is_averaged)
    if settings.order == "place":
        accepted.sort()
    if not len(accepted) and not earlier:
        write_rejects(rejects, rejected)
        raise _nothing(source, rejects, rejected, notes)
    _check_share(source, strict, len(candidates.listed) + len(earlier or ()), rejects, rejected)
    with atomic_paths(utterances, rejects) as (utterances_file, rejects_file):
        written = _write(utterances_file, candidates, accepted, demographics, vad, earlier, settings.order == "id")
        write_rejects(rejects_file, rejected)
    notes += [] if earlier is None else [earlier.in_words()]
    if not len(written):
        return ", ".join([f"{source}: nothing new", f"{len(rejected)} rejected", *notes])
    if settings.order == "id" and _lie_otherwise(candidates, accepted):
        notes.append("archives are read out of order: corpus.prepare.order=place reads them as they lie")
    summary = _summary(source, written, len(rejected)) + _unknown(written, settings.speakers, demographics)
    return terminal.lines([", ".join([summary, *notes]), *overview(written, rejected, settings.min_speech_s)])


def _check_outputs(source: AnyPath, utterances: Path, rejects: Path) -> None:
    check_apart([utterances, rejects], [source] if isinstance(source, Path) and source.is_file() else [], ManifestError)
    optional = [*LATER, *CONTENT_SCHEMA.names, *DEMOGRAPHICS_SCHEMA.names, *SPEECH_SCHEMA.names]
    check_table_output(utterances, "a manifest", _MEASURED, optional, ManifestError)
    check_table_output(rejects, "a list of rejects", REJECTS_SCHEMA, error=ManifestError)


def _listed(
    source: AnyPath, kind: str, split: str | None, settings: PrepareSettings, notes: list[str], kept: Path | None
) -> Iterator[ListedRecording]:
    if settings.dataset is None:
        tars = expanded(settings.tarred_audio_filepaths) if settings.tarred_audio_filepaths else []
        return list_recordings(source, settings.speaker_depth, split, notes, tars, kept)
    if isinstance(source, Url):
        raise ManifestError(f"{source}: {settings.dataset} is read from a folder of this machine; list it, or copy it")
    return DATASETS.of(settings.dataset).recordings(source, kind, split)


def _lie_otherwise(candidates: Candidates, accepted: NDArray[np.int64]) -> bool:
    """Whether recordings lie in archives, and more than a few of them not behind the one whose id comes before."""
    if np.count_nonzero(np.diff(accepted) < 0) <= _OUT_OF_ORDER * len(accepted):
        return False
    return Location.parse(candidates.found["path"].drop_null()[0].as_py()).part is not None


def _nothing(source: AnyPath, path: Path, rejected: list[Reject], notes: list[str]) -> ManifestError:
    first = f"; the first of {len(rejected)}: {rejected[0].utterance_id}: {rejected[0].reason}" if rejected else ""
    others = f"; all in {path}: {kinds_of(rejected)}" if len(rejected) > 1 else ""
    return ManifestError(f"{source}: no usable recording{first}{others}{''.join(f'; {note}' for note in notes)}")


def _check_share(source: AnyPath, strict: float | None, of: int, path: Path, rejected: list[Reject]) -> None:
    """Refuse a share of rejects that is too large; the rejects are written, the manifest is not."""
    if strict is None or len(rejected) <= strict * of:
        return
    write_rejects(path, rejected)
    first = f"{rejected[0].utterance_id}: {rejected[0].reason}"
    share = f"{len(rejected):,} of {of:,} are rejected, and {strict:.6g} of them may be"
    raise ManifestError(f"{source}: {share} (strict); the first: {first}; all in {path}: {kinds_of(rejected)}")


def _write(
    path: Path,
    candidates: Candidates,
    accepted: NDArray[np.int64],
    demographics: Mapping[str, Demographics],
    vad: VadSettings | None,
    earlier: Known | None,
    is_by_id: bool,
) -> pa.Table:
    """Write the manifest a row group at a time and return the columns of it that the summary needs, of what is new."""
    written, tables = [], []
    columns = COLUMNS if vad is None else (*COLUMNS, *SPEECH_SCHEMA.names)
    schema = _WRITTEN if vad is None else _MEASURED
    with table_writer(path, schema) as writer:
        for start in range(0, max(1, len(accepted)), ROW_GROUP):
            rows = candidates.rows(accepted[start : start + ROW_GROUP])
            table = _manifest(rows, demographics)
            if vad is not None:
                table = _with_speech(table, vad)
            if earlier is None:
                writer.write_table(table)
            else:
                tables.append(table)
            seen = pa.table({name: (table if name in table.column_names else rows)[name] for name in columns})
            written.append(seen.append_column("choice", rows["choice"]))
        if earlier is not None:
            whole = _merged(pa.concat_tables(tables), earlier, schema, is_by_id)
            for start in range(0, len(whole), ROW_GROUP):
                writer.write_table(whole.slice(start, ROW_GROUP))
    return pa.concat_tables(written)


def _merged(new: pa.Table, earlier: Known, schema: pa.Schema, is_by_id: bool) -> pa.Table:
    """Return what is new and what is known as one manifest, in the order of the ids unless that is not wanted."""
    kept = earlier.kept(schema)
    twice = new["utterance_id"].filter(pc.is_in(new["utterance_id"], value_set=kept["utterance_id"]))
    if len(twice):
        raise ManifestError(f"{twice[0].as_py()!r} is listed twice, once as {earlier.path} does; prepare without it")
    whole = pa.concat_tables([kept, new])
    return (whole.sort_by("utterance_id") if is_by_id else whole).combine_chunks()


def _manifest(rows: pa.Table, demographics: Mapping[str, Demographics]) -> pa.Table:
    remaining_s = pc.subtract(rows["length_s"], rows["start_s"])
    duration_s = pc.min_element_wise(rows["listed_s"], remaining_s)  # skips nulls
    rows = rows.append_column("duration_s", duration_s)
    known = [demographics.get(speaker) for speaker in rows["speaker_id"].to_pylist()] if demographics else []
    for name in ("gender", "age") if known else ():
        said = pa.array([speaker and getattr(speaker, name) for speaker in known], rows[name].type)
        rows = with_column(rows, name, pc.coalesce(said, rows[name]))
    return rows.select(_WRITTEN.names).cast(_WRITTEN)


def _with_speech(rows: pa.Table, vad: VadSettings) -> pa.Table:
    listed = (Utterance(**row) for row in rows.select(UTTERANCES_SCHEMA.names).to_pylist())
    return rows.append_column(SPEECH_SCHEMA[0], pa.array(speech_lengths_s(listed, vad), pa.float64()))


def _unknown(written: pa.Table, table: Path | None, demographics: Mapping[str, Demographics]) -> str:
    """Say how many speakers a table of speakers lacks; ids in another form are the usual reason."""
    if not demographics:
        return ""
    unknown = sorted(set(pc.unique(written["speaker_id"]).to_pylist()) - {None} - demographics.keys())
    return f", {len(unknown)} speakers not in {table}, e.g. {unknown[0]}" if unknown else ""


def _summary(source: AnyPath, written: pa.Table, rejected: int) -> str:
    return ", ".join(
        [
            f"{source}: {len(written)} recordings",
            _said_of_speakers(written["speaker_id"]),
            f"{pc.sum(written['duration_s']).as_py() / 60:.1f} min",
            f"{rejected} rejected",
            *_conversions(written),
        ]
    )


def _said_of_speakers(ids: pa.ChunkedArray) -> str:
    speakers = pc.count_distinct(ids).as_py()
    if speakers == 1 and ids.null_count == 0 and len(ids) > 1:
        return f"1 speakers (all are {ids[0].as_py()})"
    return f"{speakers} speakers" if speakers else "speakers unknown"


def _conversions(written: pa.Table) -> Iterable[str]:
    counted = pc.value_counts(written["sample_rate_hz"]).to_pylist()
    rates = {pair["values"]: pair["counts"] for pair in counted}
    if len(rates) > 1:
        yield "mixed rates " + ", ".join(f"{rate} Hz x {count}" for rate, count in sorted(rates.items()))
    choices = {pair["values"]: pair["counts"] for pair in pc.value_counts(written["choice"].drop_null()).to_pylist()}
    if only := choices.pop(ONLY, 0):
        yield f"{only} of another channel than the only one of their files, which is taken"
    yield from (f"{count} with several channels ({choice})" for choice, count in sorted(choices.items()))
