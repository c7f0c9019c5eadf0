"""Recordings of every odd kind in one corpus: each is embedded or rejected with a reason, and nothing ends the whole.

RESEED_KILLS=100 and more takes all of them, otherwise every eighth.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from reseed.store import EmbeddingStore
from tests.corpus import voice, write_corpus

EVERY = 1 if int(os.environ.get("RESEED_KILLS", "0")) >= 100 else 8
RATES = (1, 3, 50, 999, 7999, 8000, 11025, 16000, 16001, 22050, 44099, 44100, 48000, 96001, 192000, 767999, 768000)
LENGTHS_S = (0.0, 0.01, 0.3, 2.0)
CHANNELS = (1, 2, 3, 8, 17, 64)
CODINGS = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")),
    *(("FLAC", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24")),
    *(("WAV", subtype) for subtype in ("IMA_ADPCM", "MS_ADPCM", "GSM610")),
    *(
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("W64", "PCM_16"),
        ("NIST", "PCM_16"),
        ("RF64", "PCM_16"),
    ),
    *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
]
SUFFIXES = {"AIFF": "aiff", "NIST": "sph", "RF64": "wav"}
MOST_BYTES = 1.5e9

Write = Callable[[Path], object]


def wave(length_s: float = 2.0, rate_hz: int = 16_000) -> np.ndarray:
    return voice(1, 1, length_s, rate_hz)


def sound(samples: np.ndarray, rate_hz: int = 16_000, **options: str) -> Write:
    return lambda path: soundfile.write(path, samples, rate_hz, **options)


def spoilt(where: slice, by: float) -> np.ndarray:
    samples = wave()
    samples[where] = by
    return samples


def damaged(change: Callable[[bytes], bytes], suffix: str = "wav") -> Write:
    """Write a recording whose bytes are then changed."""

    def write(path: Path) -> None:
        soundfile.write(path, wave(), 16_000, format=suffix.upper())
        path.write_bytes(change(path.read_bytes()))

    return write


def header(at: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + value + data[at + len(value) :]


def odd() -> Iterator[tuple[bytes, Write]]:
    """Yield the name of each file, and what writes it."""
    for rate, length in product(RATES, LENGTHS_S):
        yield f"rate{rate}-{length}.wav".encode(), sound(wave(length, rate), rate)
    for rate in RATES:
        yield f"float-rate{rate}.wav".encode(), sound(wave(1.0, rate), rate, subtype="FLOAT")
        yield f"one-sample-rate{rate}.wav".encode(), sound(wave(1.0, rate)[:1], rate)
    for channels, rate in product(CHANNELS, (8000, 16_000, 22_050, 44_099, 48_000)):
        yield f"channels{channels}-{rate}.wav".encode(), sound(np.stack([wave(2.0, rate)] * channels, 1), rate)
    for (kind, subtype), (rate, length) in product(CODINGS, ((8000, 2.0), (16_000, 2.0), (48_000, 0.6), (16_000, 0.0))):
        name = f"{kind}-{subtype}-{rate}-{length}.{SUFFIXES.get(kind, kind.lower())}"
        yield name.encode(), sound(wave(length, rate), rate, format=kind, subtype=subtype)
    for name, samples in {
        "silent": np.zeros(32_000),
        "dc": np.full(32_000, 0.5),
        "quiet": 1e-6 * wave(),
        "clipped": np.clip(40 * wave(), -1, 1),
        "loud": 100 * wave(),
        "nan": spoilt(slice(100, 101), np.nan),
        "all-nan": spoilt(slice(None), np.nan),
        "inf": spoilt(slice(100, 101), np.inf),
        "huge": spoilt(slice(100, 101), 3e38),
        "tiny": np.full(32_000, 1e-40),
        "opposite": np.stack([wave(), -wave()], 1),
        "silent-half": spoilt(slice(16_000, None), 0.0),
    }.items():
        yield f"{name}.wav".encode(), sound(samples, subtype="DOUBLE")
    for cut, suffix in product((0, 1, 4, 20, 43, 44, 45, 1000, 30_001), ("wav", "flac", "ogg", "mp3")):
        yield f"cut{cut}-{suffix}.{suffix}".encode(), damaged(lambda data, cut=cut: data[:cut], suffix)
    for place, suffix in product((10, 20, 30, 60, 500, 5000), ("wav", "flac", "ogg", "mp3")):
        change = lambda data, place=place: data[:place] + bytes(64) + data[place + 64 :]  # noqa: E731
        yield f"zeros-at{place}-{suffix}.{suffix}".encode(), damaged(change, suffix)
    for name, (at, value) in {
        "riff-size-0": (4, bytes(4)),
        "riff-size-most": (4, b"\xff\xff\xff\xff"),
        "riff-size-large": (4, b"\xf0\xff\xff\x7f"),
        "data-size-0": (40, bytes(4)),
        "data-size-most": (40, b"\xff\xff\xff\xff"),
        "data-size-large": (40, b"\xf0\xff\xff\x7f"),
        "rate-0": (24, bytes(4)),
        "rate-most": (24, b"\xff\xff\xff\xff"),
        "rate-2-31": (24, b"\xff\xff\xff\x7f"),
        "channels-0": (22, bytes(2)),
        "channels-most": (22, b"\xff\xff"),
        "channels-1024": (22, b"\x00\x04"),
        "bits-0": (34, bytes(2)),
        "bits-most": (34, b"\xff\xff"),
        "coding-unknown": (20, b"\x77\x77"),
        "fmt-size-most": (16, b"\xff\xff\xff\xff"),
    }.items():
        yield f"{name}.wav".encode(), damaged(header(at, value))
    yield b"text.wav", lambda path: path.write_text("this is no recording\n" * 100)
    yield b"empty.wav", lambda path: path.touch()
    yield b"folder.wav", lambda path: path.mkdir()
    yield b"nowhere.wav", lambda path: path.symlink_to("/nowhere/at/all.wav")
    yield b"itself.wav", lambda path: path.symlink_to(path)
    yield b"pipe.wav", os.mkfifo
    yield b"wav-in-flac.flac", sound(wave(), format="WAV")
    yield b"flac-in.wav", sound(wave(), format="FLAC")
    yield b"ogg-in.mp3", sound(wave(), format="OGG")
    yield b"UPPER.WAV", sound(wave(), format="WAV")
    for name in (
        b"new\nline.wav",
        b"tab\t.wav",
        b"bell\x07.wav",
        b"quote'\".wav",
        b"back\\slash.wav",
        b" .wav",
        b"\xff\xfe.wav",
    ):
        yield name, sound(wave(), format="WAV")
    yield "日本語 ünï ‮.wav".encode(), sound(wave(), format="WAV")
    yield b"x" * 240 + b".wav", sound(wave(), format="WAV")
    yield b"hours.wav", sound(np.tile(wave(1.0, 50), 4 * 3600), 50)
    yield b"hours.flac", sound(np.tile(wave(1.0, 8000), 2 * 3600), 8000)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    write_corpus(folder / "audio", splits=("train",))
    speech = folder / "audio" / "speech" / "train" / "odd"
    speech.mkdir()
    for name, write in [*odd()][::EVERY]:
        path = Path(os.fsdecode(os.fsencode(speech) + b"/" + name))
        try:
            write(path)
        except (soundfile.LibsndfileError, ValueError):  # what cannot be written is no recording
            path.unlink(missing_ok=True)
    config = {
        "name": "odd",
        "corpus": {"root": str(folder / "audio"), "prepare": {"min_duration_s": 0}},
        "extract": {"train": {"views": {"clean": {}, "noise": {"noise": 5}}}, "evaluation": {"views": {"clean": {}}}},
        "train": {},
    }
    (folder / "odd.yaml").write_text(yaml.safe_dump(config))
    return folder


def command(folder: Path, line: str) -> None:
    """Run a command in a process of its own, and check that it took little memory."""
    child = [sys.executable, "-m", "reseed.cli", *line.split()]
    measured = (
        "import resource, subprocess, sys; status = subprocess.call(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(status)"
    )  # by a process without other children: those of these tests may have been larger
    command = [sys.executable, "-c", measured, *child]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    most = 1024 * int(done.stdout.split()[-1])
    print(line.split()[0], done.stdout, most // 2**20, "MB at most")
    assert most < MOST_BYTES


def test_every_odd_recording_is_embedded_or_rejected_for_a_reason_in_bounded_memory(corpus):
    for kind in ("speech", "noise"):
        paths = (
            f"--source audio/{kind}/train --kind {kind} --utterances {kind}.parquet --rejects {kind}.rejects.parquet"
        )
        command(corpus, f"prepare --config odd.yaml {paths}")
    command(corpus, "extract --config odd.yaml --utterances speech.parquet --noise noise.parquet --store store")
    store = EmbeddingStore(corpus / "store")
    refused = pq.read_table(corpus / "speech.rejects.parquet").to_pylist()
    rejected = [(row["utterance_id"], row["reason"]) for row in refused]
    rejected += [(reject.utterance_id, reject.reason) for reject in store.rejects()]
    listed = [*(corpus / "audio" / "speech" / "train").rglob("*.*")]
    print(f"{len(listed)} files: {len(store.utterance_ids())} embedded, {len(rejected)} rejected")
    print(*sorted(rejected), sep="\n")
    assert len(store.utterance_ids()) + len(rejected) == len(listed)
    assert all(reason for _, reason in rejected)
