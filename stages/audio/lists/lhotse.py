"""Manifests of lhotse: recordings, cuts, and supervisions, which need the recordings beside them. Times are seconds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from reseed.stages.audio.lists.row import Row
from reseed.stages.audio.lists.tarred import TarNames, recordings_of
from reseed.store import ManifestError
from reseed.store.url import AnyPath

Json = Mapping[str, Any]


def flattened(source: AnyPath, rows: Iterator[Row], read: Callable[[AnyPath], Iterator[Row]]) -> Iterator[Row]:
    """Turn rows of lhotse's manifests into rows with a path; others stay as they are.

    Args:
        read: reads another manifest.

    Raises:
        ManifestError: supervisions without the manifest of their recordings.
    """
    recordings: dict[str, Json] | None = None
    shar: TarNames | None = None
    for row in rows:
        values = row.values
        try:
            if isinstance(values.get("sources"), list):
                row = _recording(row, values)
            elif isinstance(values.get("recording"), dict) or values.get("type") in _CUTS:
                row = _cut(row, values)
                if _is_in_shar(values.get("recording")) and row.problem is None:
                    shar = shar or recordings_of(source)
                    row = shar.row(row, str(values.get("id")))
            elif {"recording_id", "start", "duration"} <= values.keys() and "recording" not in values:
                if recordings is None:
                    recordings = _recordings_beside(source, read)
                row = _supervision(row, values, recordings)
        except (TypeError, AttributeError) as error:
            row = Row(row.place, problem=_of(values, f"is not as lhotse writes it ({error})"))
        yield row


_CUTS = ("MonoCut", "MultiCut", "MixedCut", "PaddingCut", "Cut")


def _recordings_beside(source: AnyPath, read: Callable[[AnyPath], Iterator[Row]]) -> dict[str, Json]:
    """Return id -> recording of the manifest that belongs to one of supervisions."""
    beside = source.with_name(source.name.replace("supervisions", "recordings"))
    if "supervisions" not in source.name or not beside.is_file():
        named = source.name.replace("supervisions", "recordings") if beside != source else "*_recordings_*.jsonl.gz"
        raise ManifestError(
            f"{source} lists supervisions, and {source.parent / named} is not there: put the recordings beside"
        )
    return {str(row.values.get("id")): row.values for row in read(beside)}


def _recording(row: Row, recording: Json) -> Row:
    path, problem = _file_of(recording)
    return Row(row.place, {"path": path, "utterance_id": recording.get("id")}, problem and _of(recording, problem))


def _supervision(row: Row, values: Json, recordings: Mapping[str, Json]) -> Row:
    recording = recordings.get(str(values["recording_id"]))
    if recording is None:
        return Row(row.place, problem=_of(values, f"is of the recording {values['recording_id']}, which is not listed"))
    return _stretch(row, values, recording, [values])


def _cut(row: Row, cut: Json) -> Row:
    recording = cut.get("recording")
    if not isinstance(recording, dict):
        kind = cut.get("type", "cut")
        return Row(row.place, problem=_of(cut, f"is a {kind} without a recording of its own: save its audio first"))
    supervisions = [each for each in cut.get("supervisions") or () if isinstance(each, dict)]
    speakers = {each["speaker"]: None for each in supervisions if each.get("speaker") is not None}
    if len(speakers) > 1:
        named = ", ".join(map(str, speakers))
        return Row(row.place, problem=_of(cut, f"has several speakers ({named}): trim the cuts to supervisions first"))
    return _stretch(row, cut, recording, supervisions)


def _stretch(row: Row, values: Json, recording: Json, supervisions: Sequence[Json]) -> Row:
    in_shar = _is_in_shar(recording)  # which holds what a cut was when it was written, and says for how long
    path, problem = (None, None) if in_shar else _file_of(recording)
    is_whole = in_shar and not values.get("start") and values.get("duration") == recording.get("duration")
    channel = values.get("channel")
    if isinstance(channel, list):
        if len(channel) > 1 and set(channel) != set(recording.get("channel_ids") or channel):
            problem = problem or f"takes the channels {channel} together: cut them one by one"
        channel = channel[0] if len(channel) == 1 else None
    found = {
        "path": path,
        "utterance_id": values.get("id"),
        "speaker_id": _said(supervisions, "speaker"),
        "language": _said(supervisions, "language"),
        "gender": _said(supervisions, "gender"),
        "start_s": None if is_whole else values.get("start"),
        "duration_s": values.get("duration"),
        "channel": channel,
    }
    return Row(row.place, found, problem and _of(values, problem), is_whole=is_whole)


def _said(supervisions: Sequence[Json], key: str) -> object:
    """Return what supervisions say; None: nothing, or they differ."""
    values = [each[key] for each in supervisions if each.get(key) is not None]
    return values[0] if values and all(value == values[0] for value in values) else None


def _is_in_shar(recording: object) -> bool:
    sources = recording.get("sources") if isinstance(recording, dict) else None
    return isinstance(sources, list) and len(sources) == 1 and sources[0].get("type") == "shar"


def _file_of(recording: Json) -> tuple[str | None, str | None]:
    """Return the file of a recording, or why there is not one alone."""
    sources = recording.get("sources") or []
    if len(sources) != 1 or not isinstance(sources[0], dict):
        return None, f"has its channels in {len(sources)} files, which is not read: list these"
    if recording.get("transforms"):
        return None, "is changed by transforms when lhotse reads it: save its audio first"
    kind, source = sources[0].get("type"), sources[0].get("source")
    if kind not in ("file", "url") or not isinstance(source, str):
        return None, f"has a source of the type {kind}, which is no file: save its audio first"
    return source, None


def _of(values: Json, problem: str) -> str:
    return f"({values.get('id')}) {problem}"
