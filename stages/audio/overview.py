"""What `prepare` saw, as a table of a few lines: what can be used, and each kind of reject with what to do."""

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from reseed.store import Reject

COLUMNS = ("container", "codec", "sample_rate_hz", "channels", "duration_s", "speaker_id")  # those that are described
_MOST = 6  # values of a line
_EXAMPLES = 3
# What a reason says, the kind it is of, what to do: the first that fits. Whole phrases: a reason begins with a path.
_REMEDIES = (
    (r"line \d+ (?:has \d+ fields|has a quotation mark|holds a NUL|is the header)", "rows that cannot be divided",
     "mend these lines of the list"),
    (r"lies elsewhere than", "recordings elsewhere", "move those that are of the data set to where they belong"),
    (r"command in wav\.scp", "commands in wav.scp", "write what they give to files, and name these in wav.scp"),
    (r" is at byte \d+ of ", "recordings in arks", "write the archive, or its wav.scp, again"),
    (r"compressed as a whole|holds no recordings|is a link to|as a sparse file|is encrypted|compressed by method",
     "archives of another kind", "unpack them and give the folder, or write them again as plain tar"),
    (r"which wav\.scp does not list|which is not listed", "recordings that are not listed",
     "add them to wav.scp or to the recordings, or drop these stretches"),
    (r"names no recording|has the path|has an id or speaker that|is not as lhotse", "rows without a recording",
     "fill in what is missing, or drop these lines"),
    (r"is inside a tar", "rows of tar files", "give the tar files as the source"),
    (r"unit: start_s|that is no number", "stretches of unknown unit",
     "name the columns by their unit, or mend the numbers"),
    (r"is no stretch of time|before the stretch|by its command", "stretches outside the file",
     "correct start and end in the list"),
    (r"which is not set", "paths with a placeholder", "export the variable that they name"),
    (r"is a path of Windows", "paths of another machine", "list them as they are on this one"),
    (r" is an address ", "addresses that are not fetched", "give them as docs/datasets.md says"),
    (r"does not exist|is not a file", "missing files",
     "paths count from the list's folder, then from the working directory"),
    (r"\(HTTP \d+|, \d times\)|access is denied|needs a package for|while it was read|its server (?:sends|does not)",
     "not to be had from their server", "look at it and at your credentials, and prepare again"),
    (r"is not UTF-8; rename", "names that are no text", "rename these files"),
    (r"by transforms when|several speakers \(|without a recording of its own|channels in \d+ files|which is no file:|"
     r"takes the channels \[", "cuts that are no stretch of a file", "save their audio first, or trim them"),
    (r"has the utterance id of", "ids that come twice", "give each row an id of its own"),
    (r"is too short:", "too short", "lower corpus.prepare.min_duration_s if they are wanted"),
    (r"and no channel \d|to be counted from 1|names several of it|may be any of", "channels that are not there",
     "name those that are, counted from 0, or A and B"),
    (r"is silent|phases cancel", "silent or cancelling channels", "choose another channel, or leave them out"),
    (r"has NaN or|should lie in", "samples out of range", "write them again as they were recorded"),
    (r"take (?:them )?apart", "joined recordings", "take apart what was joined"),
    (r"mend its header|encode it anew", "headers that contradict their audio", "write these files again"),
    (r"convert it with sph2pipe", "compressed SPHERE", "convert them with sph2pipe -f wav"),
    (r"is no audio, but", "no recordings", "fetch the recordings themselves"),
    (r"is cut short|(?:is|or|a) damaged|lost sync|is empty \(|has no samples|announces \d+|lacks pa|pages are missing|"
     r"has no MD5|MD5 differs|more than \d+ \w+$", "cut or damaged", "fetch or copy these files again"),
    (r"cannot be (?:decoded|read)|holds no|of a codec", "not readable as audio",
     "look at these files, or leave them out"),
)  # fmt: skip


def overview(written: pa.Table, rejected: Sequence[Reject], min_speech_s: float | None = None) -> list[str]:
    """Return the lines of the table: of the rows of a manifest, with COLUMNS and perhaps speech, and of the rejects."""
    speakers, lengths = written["speaker_id"], written["duration_s"]
    codecs = pc.binary_join_element_wise(written["container"], written["codec"], " ")
    rates = pc.binary_join_element_wise(written["sample_rate_hz"].cast(pa.string()), "Hz", " ")
    found = [
        ("container", _counted(codecs)),
        ("rate", _counted(rates)),
        ("channels", _counted(written["channels"].cast(pa.string()))),
        ("length", _range(lengths, " s", 2)),
        ("speakers", _of_speakers(speakers)),
    ]
    if "speech_s" in written.column_names:
        found.append(("speech", _of_speech(written["speech_s"], pc.sum(lengths).as_py(), min_speech_s)))
    return [f"  {name:<10} {text}" for name, text in found] + [f"  {line}" for line in _of_rejects(rejected)]


def _counted(values: pa.ChunkedArray) -> str:
    counts = sorted(((each["counts"], each["values"]) for each in pc.value_counts(values).to_pylist()), reverse=True)
    rest = f", {len(counts) - _MOST} more" if len(counts) > _MOST else ""
    return ", ".join(f"{value or 'unknown'} x {count:,}" for count, value in counts[:_MOST]) + rest


def _range(values: pa.ChunkedArray, unit: str, digits: int) -> str:
    least, most = pc.min_max(values).as_py().values()
    middle = pc.quantile(values, 0.5)[0].as_py()
    return f"{least:.{digits}f} to {most:.{digits}f}{unit}, median {middle:.{digits}f}{unit}"


def _of_speech(speech: pa.ChunkedArray, recorded_s: float, least_s: float | None) -> str:
    total_s = pc.sum(speech).as_py() or 0.0
    share = f"{total_s / 60:.1f} of {recorded_s / 60:.1f} min ({total_s / recorded_s:.0%})"
    if least_s is None:
        few = f"{pc.sum(pc.equal(speech, 0.0)).as_py() or 0:,} utterances without any"
    else:
        few = f"{pc.sum(pc.less(speech, least_s)).as_py() or 0:,} utterances below {least_s:g} s"
    each = f"; {_range(speech, ' s', 2)}" if speech.null_count < len(speech) else ""
    return f"{share}{each}; {few}"


def _of_speakers(speakers: pa.ChunkedArray) -> str:
    counts = pc.value_counts(speakers.drop_null())
    if not len(counts):
        return "unknown"
    each = pc.struct_field(counts, "counts")
    unknown = f"; {speakers.null_count:,} recordings of unknown speakers" if speakers.null_count else ""
    return f"{len(counts):,}; recordings of each: {_range(each, '', 0)}{unknown}"


def kinds_of(rejected: Sequence[Reject]) -> str:
    """Return how many rejects there are of each kind, the commonest first."""
    return ", ".join(f"{kind[0]} x {len(each):,}" for kind, each in _kinds(rejected))


def _of_rejects(rejected: Sequence[Reject]) -> Iterator[str]:
    for (name, remedy), each in _kinds(rejected):
        yield f"rejected   {name} x {len(each):,}: {remedy}"
        yield from (f"             {reject.utterance_id}: {reject.reason}" for reject in each[:_EXAMPLES])


def _kinds(rejected: Sequence[Reject]) -> list[tuple[tuple[str, str], list[Reject]]]:
    """Return the rejects of each kind, and what to do about these."""
    kinds: dict[tuple[str, str], list[Reject]] = {}
    for reject in rejected:
        fitting = ((name, remedy) for pattern, name, remedy in _REMEDIES if re.search(pattern, reject.reason))
        kinds.setdefault(next(fitting, _OTHER), []).append(reject)
    return sorted(kinds.items(), key=lambda item: -len(item[1]))


_OTHER = ("other", "the reason says what is wrong")
