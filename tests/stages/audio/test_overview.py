"""What `prepare` says of rejects: each is of a kind, with what to do."""

import numpy as np
import pyarrow as pa
import pytest

from reseed.stages.audio.overview import overview
from reseed.store import Reject
from tests.stages.audio.files import encoded, id3, looked_at, tone, with_fields, written

WRITTEN = pa.table(
    {"container": ["RIFF"], "codec": ["PCM_16"], "sample_rate_hz": [16_000], "channels": [1], "duration_s": [1.0],
     "speaker_id": ["s"]}
)  # fmt: skip
WAV, FLAC, OGG, MP3, SPH = (written(tone(9_600), format=each) for each in ("WAV", "FLAC", "OGG", "MP3", "NIST"))
FILES = {  # what is wrong with a file, and the kind that it is of
    "cut WAV": (WAV[:5_000], "cut or damaged"),
    "cut FLAC": (FLAC[:5_000], "cut or damaged"),
    "cut Ogg": (OGG[:5_000], "cut or damaged"),
    "cut MP3": (MP3[: len(MP3) // 2], "cut or damaged"),
    "cut M4A": (encoded(tone(9_600), "aac", "ipod")[:3_000], "cut or damaged"),
    "empty": (b"", "cut or damaged"),
    "no samples": (WAV[:40] + bytes(4), "cut or damaged"),
    "other MD5": (FLAC[:26] + b"x" * 16 + FLAC[42:], "cut or damaged"),
    "no end of chunks": (b"RIFF\0\0\0\0WAVE" + 10_001 * b"JUNK\0\0\0\0", "cut or damaged"),
    "two FLACs": (2 * FLAC, "joined recordings"),
    "two WAVs": (2 * WAV, "joined recordings"),
    "two MP3s": (2 * MP3 + written(tone(96_000, 48_000), 48_000, format="MP3"), "joined recordings"),
    "two rates": (OGG + written(tone(9_600, 8_000), 8_000, format="OGG"), "joined recordings"),
    "bits": (with_fields(WAV, (22, "<H", 127)), "headers that contradict their audio"),
    "frames": (FLAC[:25] + b"\1" + FLAC[26:], "headers that contradict their audio"),
    "sphere": (SPH.replace(b"pcm", b"foo")[:1024].replace(b"foo", b"pcm,embedded-x") + SPH[1024:], "compressed SPHERE"),
    "text": (b"text " * 999, "not readable as audio"),
    "page": (b"<html>" + bytes(99), "no recordings"),
    "silence": (written(np.zeros(9_600)), "silent or cancelling channels"),
    "NaN": (written(np.full(9_600, np.nan), subtype="FLOAT"), "samples out of range"),
    "loud": (written(tone(9_600) * 9_999, subtype="FLOAT"), "samples out of range"),
    "tag": (id3(99), "not readable as audio"),
}
REASONS = {  # of rows, as they are found elsewhere in these tests
    "l.csv line 3 has 4 fields, and the header 3: quote a text that holds a comma": "rows that cannot be divided",
    "l.csv line 3 holds a NUL: the list is damaged": "rows that cannot be divided",
    "x.wav lies elsewhere than {speaker}/*/* in /d, where LibriSpeech has its recordings": "recordings elsewhere",
    "x.wav is a command in wav.scp: sox has the effect vol 2, which changes the sound": "commands in wav.scp",
    "names the recording r, which wav.scp does not list": "recordings that are not listed",
    "line 3 (lost) is of the recording z, which is not listed": "recordings that are not listed",
    "line 3 names no recording": "rows without a recording",
    "x.wav has a start, duration or channel that is no number (line 2: '0,5' is not written like 62.5)":
        "stretches of unknown unit",
    "x.wav ends at 12.00 s, before the stretch 9.00 + 5.00 s": "stretches outside the file",
    "x.wav begins with DATA, which is not set: export DATA=FOLDER": "paths with a placeholder",
    "C:/x.wav is a path of Windows: list it as it is on this machine": "paths of another machine",
    "x.wav does not exist": "missing files",
    "has a name that is not UTF-8; rename it": "names that are no text",
    "line 9 (both) has several speakers (s, t): trim the cuts to supervisions first":
        "cuts that are no stretch of a file",
    "x.wav has the utterance id of y.wav": "ids that come twice",
    "x.wav is too short: 0.100 s, at least 0.5 s are wanted": "too short",
    "x.wav has 2 channels, counted from 0, and no channel 2": "channels that are not there",
    "x.wav has one channel, and the list names several of it": "channels that are not there",
    "x.wav is all but silent once its 2 channels are averaged, 300 dB below them: their phases cancel":
        "silent or cancelling channels",
}  # fmt: skip
PATHS = "/a/damaged MD5/cancel/NaN/is too short/bytes/command in wav_scp/no channel"


def kind_of(reason: str) -> str:
    (line,) = (line for line in overview(WRITTEN, [Reject("u", "prepare", reason)]) if line.startswith("  rejected"))
    return line.removeprefix("  rejected").strip().split(" x 1: ")[0]


@pytest.mark.parametrize("name", FILES)
def test_each_fault_of_a_file_is_of_a_kind_whatever_its_path(tmp_path, name):
    data, kind = FILES[name]
    found = looked_at(tmp_path / "a", data)
    assert kind_of(f"/data/a.wav {found}") == kind_of(f"{PATHS}/a.wav {found}") == kind, found


@pytest.mark.parametrize("reason", REASONS)
def test_each_fault_of_a_row_is_of_a_kind(reason):
    assert kind_of(reason) == REASONS[reason]


def test_of_each_kind_there_are_three_examples_and_the_commonest_comes_first():
    reasons = ["x.wav does not exist"] * 5 + ["is empty (0 bytes)"] * 2 + ["something new"]
    lines = overview(WRITTEN, [Reject(f"u{number}", "prepare", reason) for number, reason in enumerate(reasons)])[5:]
    assert [line for line in lines if "rejected" in line] == [
        "  rejected   missing files x 5: paths count from the list's folder, then from the working directory",
        "  rejected   cut or damaged x 2: fetch or copy these files again",
        "  rejected   other x 1: the reason says what is wrong",
    ]
    assert len(lines) == 3 + 3 + 2 + 1
