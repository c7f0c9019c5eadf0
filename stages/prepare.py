"""`prepare`: recordings -> utterances.parquet and rejects.parquet. Every file is decoded once, from end to end.

Listing (what is there?) is apart from inspecting (can it be used?): a source yields entries, `prepare` inspects them.
"""

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import Field

from stages.audio.decode import Inspection, inspect
from stages.audio.manifest import Utterance, write_manifest
from stages.audio.sources import Entry, list_entries
from stages.section import Section
from store import AudioError, ManifestError, Reject, write_rejects
from store.atomic import sha256_file


class PrepareSettings(Section):
    """How recordings are accepted.

    Attributes:
        min_duration_s: shorter utterances are rejected (speech only; a room response may be short).
        speaker_depth: for a folder: which part of the path names the speaker, counted from the file upwards
            (1 = the folder that holds the file); 0 = speakers unknown.
    """

    min_duration_s: float = Field(default=0.5, ge=0)
    speaker_depth: int = Field(default=1, ge=0)


def prepare(
    *,
    source: Path,
    utterances: Path,
    rejects: Path,
    settings: PrepareSettings,
    kind: str = "speech",
    split: str | None = None,
) -> str:
    """List the recordings under `source`, inspect each, and write the manifest and its rejects.

    Args:
        source: a folder of audio, a .csv or .jsonl list, or a Kaldi directory (wav.scp, utt2spk, segments).
        kind: "speech", "noise", "music" or "rir".
        split: kept from lists that name splits; written into the manifest.

    Returns:
        One sentence on what was found.

    Raises:
        ManifestError: nothing usable at `source`.
    """
    if kind != "speech":
        settings = settings.model_copy(update={"min_duration_s": 0.0})
    entries = list(list_entries(source, settings.speaker_depth, split))
    accepted, rejected = _sort_out(entries, settings)
    write_rejects(rejects, rejected)
    if not accepted:
        found = f"; the first of {len(rejected)}: {rejected[0].utterance_id}: {rejected[0].reason}" if rejected else ""
        raise ManifestError(f"{source}: no usable recording{found}")
    write_manifest(utterances, accepted)
    return _summary(source, accepted, rejected)


def _sort_out(entries: list[Entry], settings: PrepareSettings) -> tuple[list[Utterance], list[Reject]]:
    accepted: list[Utterance] = []
    rejected: list[Reject] = []
    first_path: dict[str, str] = {}
    for entry, outcome in zip(entries, _inspected(entries, settings), strict=True):
        if isinstance(outcome, str):
            rejected.append(Reject(entry.utterance_id, "prepare", f"{entry.path} {outcome}"))
        elif entry.utterance_id in first_path:
            reason = f"{entry.path} has the utterance id of {first_path[entry.utterance_id]}"
            rejected.append(Reject(entry.utterance_id, "prepare", reason))
        else:
            first_path[entry.utterance_id] = str(entry.path)
            accepted.append(outcome)
    return accepted, rejected


def _inspected(entries: list[Entry], settings: PrepareSettings) -> Iterable[Utterance | str]:
    """Yield each entry as a manifest row, or the reason why it cannot be one; each file is decoded once."""
    paths = sorted({entry.path for entry in entries if entry.problem is None})
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = dict(zip(paths, pool.map(_inspected_file, paths), strict=True))
    for entry in entries:
        outcome = found.get(entry.path, ("", entry.problem or ""))
        yield entry.problem or _row(entry, outcome, settings)


def _inspected_file(path: Path) -> tuple[str, Inspection | str]:
    try:
        return sha256_file(path) if path.is_file() else "", inspect(path)
    except AudioError as error:
        return "", str(error)
    except OSError as error:
        return "", f"cannot be read ({error.strerror})"


def _row(entry: Entry, outcome: tuple[str, Inspection | str], settings: PrepareSettings) -> Utterance | str:
    sha256, found = outcome
    if isinstance(found, str):
        return found
    remaining_s = found.duration_s - entry.start_s
    if not (0 <= entry.start_s < math.inf and 0 <= (entry.duration_s or 0) < math.inf):
        return f"is listed from {entry.start_s} s for {entry.duration_s} s, which is no stretch of time"
    duration_s = remaining_s if entry.duration_s is None else entry.duration_s
    if duration_s > remaining_s + 0.01:
        return f"ends at {found.duration_s:.2f} s, before the stretch {entry.start_s:.2f} + {duration_s:.2f} s"
    if duration_s < settings.min_duration_s:
        return f"is too short: {duration_s:.3f} s, at least {settings.min_duration_s} s are wanted"
    return Utterance(
        utterance_id=entry.utterance_id,
        path=str(entry.path.resolve()),
        speaker_id=entry.speaker_id,
        start_s=entry.start_s,
        duration_s=min(duration_s, remaining_s),
        sample_rate_hz=found.sample_rate_hz,
        channels=found.channels,
        split=entry.split,
        sha256=sha256,
    )


def _summary(source: Path, accepted: list[Utterance], rejected: list[Reject]) -> str:
    speakers = {utterance.speaker_id for utterance in accepted} - {None}
    return ", ".join(
        [
            f"{source}: {len(accepted)} recordings",
            f"{len(speakers)} speakers" if speakers else "speakers unknown",
            f"{sum(utterance.duration_s for utterance in accepted) / 60:.1f} min",
            f"{len(rejected)} rejected",
            *_conversions(accepted),
        ]
    )


def _conversions(accepted: list[Utterance]) -> Iterator[str]:
    rates = Counter(utterance.sample_rate_hz for utterance in accepted)
    if len(rates) > 1:
        yield "mixed rates " + ", ".join(f"{rate} Hz x {count}" for rate, count in sorted(rates.items()))
    several = sum(utterance.channels > 1 for utterance in accepted)
    if several:
        yield f"{several} with several channels (averaged)"
