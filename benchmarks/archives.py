"""Recordings in archives and behind a server against the same files in a folder: `python -m benchmarks.archives`.

Each source takes its turn to be prepared, and to be read as `extract` reads it: each recording hashed, and a crop of it
decoded, in threads. Peak memory is that of fresh processes, for a corpus and for one of ten times its size. The server
is a process of this machine, in Python: what it takes of the cores is taken from the reader. Each turn begins with
nothing held in memory but what the system keeps of the disk.
"""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from fsspec.config import conf, set_conf_env
from rich.console import Console
from rich.table import Table

from benchmarks.measure import memory_kb, speed_ratio, take_turns, watch
from reseed.stages.audio.decode import read
from reseed.stages.audio.location import Location
from reseed.stages.audio.manifest import Manifest, Utterance, check_unchanged
from reseed.stages.common.threads import default_decoders, thread_map
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store.remote import REQUESTS
from reseed.store.url import AnyPath, Url, is_url, path_or_url
from tests.object_server import ObjectServer, forget, serving

_RATE = 16_000
_LENGTH_S, _CROP_S = 4.0, 2.0
_PER_SHARD = 200
console = Console(width=110)


@click.command()
@click.option("--recordings", default=400, show_default=True, help="Recordings of the corpus.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where to work; 400 recordings take 3 GB at most.")
@click.option("--cpu", is_flag=True, help="Compare CPU seconds of the reader, where others work on the machine.")
def main(recordings: int, rounds: int, folder: Path | None, cpu: bool) -> None:
    """Print the speed of each kind of source in units of that of loose files, and its memory."""
    with tempfile.TemporaryDirectory(dir=folder) as place, server_in(Path(place)) as server:
        small = Path(place) / "small"
        loose = _write_corpus(small / "loose", recordings)
        written = {name: write(loose, small / name.replace(" ", "_")) for name, write in _WRITERS.items()}
        sources = {"loose": loose, **written, **_at_urls(server, loose, written["tar"])}
        clock = time.process_time if cpu else time.perf_counter
        prepares = {name: partial(_prepare, source, small) for name, source in sources.items()}
        preparing = take_turns(prepares, rounds, clock)
        reading = {}
        for name, source in sources.items():
            _prepare(source, small / f"{name}.manifest")
            reading[name] = partial(_read, small / f"{name}.manifest" / "u.parquet")
        seconds = take_turns(reading, rounds, clock)
        peaks = {name: [watch("benchmarks.archives", source, small / "probe")] for name, source in sources.items()}
        large = _write_corpus(Path(place) / "large" / "loose", 10 * recordings)
        for name in sources:
            packed = _WRITERS["tar" if name not in _WRITERS else name](large, large.parent / "packed")
            source = {"loose": large, **_at_urls(server, large, packed)}.get(name, packed)
            peaks[name].append(watch("benchmarks.archives", source, large.parent / "probe"))
            shutil.rmtree(large.parent / "packed", ignore_errors=True)
    table = Table(title=f"{recordings} recordings of {_LENGTH_S:g} s, FLAC; speed in units of that of loose files")
    for column in ("source", "prepare", "hash and decode a crop", "peak memory", "of ten times as many"):
        table.add_column(column)
    for name in sources:
        memory = [f"{peak.peak_rss_mb:,.0f} MB" for peak in peaks[name]]
        table.add_row(
            name, str(speed_ratio(preparing, name, "loose")), str(speed_ratio(seconds, name, "loose")), *memory
        )
    console.print(table)
    rate = recordings * rounds / sum(seconds["loose"]), recordings * rounds / sum(preparing["loose"])
    unit = "CPU second" if cpu else "second"
    console.print(f"loose files: {rate[0]:,.0f} read, {rate[1]:,.0f} prepared a {unit}")


def _at_urls(server: ObjectServer, loose: Path, tars: Path) -> dict[str, AnyPath]:
    """Return the URLs of the loose files and of the tars: of the server's folders each is a bucket."""
    near = {"files": loose.relative_to(server.root), "tar": tars.relative_to(server.root)}
    by_s3 = {f"{what} by S3": Url(f"s3://{path}") for what, path in near.items()}
    return {**by_s3, **{f"{what} by HTTP": Url(f"{server.url}/{path}/") for what, path in near.items()}}


@contextmanager
def server_in(root: Path) -> Iterator[ObjectServer]:
    """Serve a folder from another process, and let this one and those that it starts ask it."""
    command = [sys.executable, "-m", "benchmarks.archives", "serve", str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        server = ObjectServer(root, int(process.stdout.readline()))
        os.environ.update(server.environment)
        set_conf_env(conf)
        try:
            yield server
        finally:
            process.terminate()


def _prepare(source: AnyPath, out: Path) -> float:
    forget()
    paths = {"utterances": out / "u.parquet", "rejects": out / "r.parquet"}
    prepare(source=source, settings=PrepareSettings(), **paths)
    return float(len(Manifest(paths["utterances"])))


def _read(manifest: Path) -> float:
    forget()
    rows = Manifest(manifest)
    threads = REQUESTS if is_url(rows[:1][0].path) else default_decoders("cpu")
    return float(sum(map(len, thread_map(_crop, rows, threads, 4 * threads))))


def _crop(row: Utterance) -> np.ndarray:
    check_unchanged(row.path, row.sha256)
    return read(Location.parse(row.path), _RATE, 1.0, _CROP_S)


def _write_corpus(folder: Path, recordings: int) -> Path:
    time_s = np.arange(round(_LENGTH_S * _RATE)) / _RATE
    for number in range(recordings):
        path = folder / f"s{number // 20:04}" / f"u{number:06}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).standard_normal(len(time_s))
        soundfile.write(path, 0.1 * np.sin(2 * np.pi * (100 + number % 200) * time_s) + 0.02 * noise, _RATE)
    return folder


def _shards(loose: Path) -> list[list[Path]]:
    files = sorted(loose.rglob("*.flac"))
    return [files[start : start + _PER_SHARD] for start in range(0, len(files), _PER_SHARD)]


def _write_tars(loose: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, shard in enumerate(_shards(loose)):
        with tarfile.open(folder / f"s-{number:06}.tar", "w") as archive:
            for path in shard:
                archive.add(path, path.relative_to(loose).as_posix())
    return folder


def _write_shar(loose: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, shard in enumerate(_shards(loose)):
        cuts = []
        with tarfile.open(folder / f"recording.{number:06}.tar", "w") as archive:
            for path in shard:
                name = path.relative_to(loose).with_suffix("").as_posix()
                recording = {"id": name, "duration": _LENGTH_S, "sources": [{"type": "shar", "source": ""}]}
                archive.add(path, f"{name}.flac")
                beside = tarfile.TarInfo(f"{name}.json")
                beside.size = len(json.dumps(recording))
                archive.addfile(beside, io.BytesIO(json.dumps(recording).encode()))
                supervisions = [{"speaker": path.parent.name}]
                cuts.append({"id": name, "start": 0, "duration": _LENGTH_S, "channel": 0, "type": "MonoCut",
                             "recording": recording, "supervisions": supervisions})  # fmt: skip
        text = "".join(f"{json.dumps(cut)}\n" for cut in cuts)
        (folder / f"cuts.{number:06}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def _write_arks(loose: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    scp, speakers = [], []
    for number, shard in enumerate(_shards(loose)):
        with (folder / f"w.{number}.ark").open("wb") as ark:
            for path in shard:
                key, held = path.relative_to(loose).with_suffix("").as_posix(), path.read_bytes()
                ark.write(f"{key} ".encode())
                scp.append(f"{key} {folder}/w.{number}.ark:{ark.tell()}\n")
                speakers.append(f"{key} {path.parent.name}\n")
                ark.write(b"AUDIO\4" + len(held).to_bytes(4, "little") + held)
    (folder / "wav.scp").write_text("".join(scp))
    (folder / "utt2spk").write_text("".join(speakers))
    return folder


def _write_zip(loose: Path, folder: Path, method: int) -> Path:
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "all.zip", "w", method) as archive:
        for path in sorted(loose.rglob("*.flac")):
            archive.write(path, path.relative_to(loose))
    return folder / "all.zip"


def _write_parquet(loose: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, shard in enumerate(_shards(loose)):
        audio = [{"bytes": path.read_bytes(), "path": path.relative_to(loose).as_posix()} for path in shard]
        table = pa.table({"audio": audio, "speaker_id": [path.parent.name for path in shard]})
        pq.write_table(table, folder / f"train-{number:05}.parquet", row_group_size=100)
    return folder


_WRITERS: dict[str, Callable[[Path, Path], Path]] = {
    "tar": _write_tars,
    "lhotse Shar": _write_shar,
    "audio ark": _write_arks,
    "zip, stored": partial(_write_zip, method=zipfile.ZIP_STORED),
    "zip, deflated": partial(_write_zip, method=zipfile.ZIP_DEFLATED),
    "Parquet": _write_parquet,
}


def _probe(source: AnyPath, out: Path) -> None:
    """Prepare and read a source, and print the peak memory of this process."""
    _prepare(source, out)
    read_samples = _read(out / "u.parquet")
    print(json.dumps({"samples": read_samples, "peak_rss_kb": memory_kb()["VmHWM"]}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        with serving(Path(sys.argv[2])) as server:
            print(server.port, flush=True)
            sys.stdin.read()
    elif len(sys.argv) == 3 and not sys.argv[1].startswith("-"):
        _probe(path_or_url(sys.argv[1]), Path(sys.argv[2]))
    else:
        main()
