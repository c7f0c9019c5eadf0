"""Memory of an extraction as the corpus or a recording grows: `python -m benchmarks.extraction_memory`.

Each task runs in a fresh process, which prints its own peak resident memory (VmHWM).
"""

import json
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from rich.console import Console
from rich.table import Table

from benchmarks.generated import utterance_id
from benchmarks.measure import memory_kb, watch
from reseed.stages.audio.manifest import UTTERANCES_SCHEMA
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.extraction.extraction import Extraction
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store.atomic import sha256_file

_RATE = 16_000
_BLOCK_ROWS = 16_384
_SETTINGS = ExtractSettings(
    views={"clean": View(), "music": View(music=(5, 15)), "noise": View(noise=(0, 15))},
    crops=CropSettings(count=10, duration_s=2.0, placement="even"),
)
console = Console(width=110)


@click.command()
@click.option("--rows", "sizes", default="1e3,1e5,1e6", show_default=True, help="Manifest rows.")
@click.option("--hours", "lengths", default="0.01,1,10", show_default=True, help="Length of one recording.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to work; 10 hours take 0.5 GB.")
def main(sizes: str, lengths: str, folder: Path | None) -> None:
    """Print peak memory for manifests and recordings of several sizes."""
    table = Table(title="peak resident memory of ge2e extraction, 10 crops x 3 views")
    for column in ("what", "size", "peak", "times the smallest"):
        table.add_column(column)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for what, values in (("manifest rows", sizes), ("hours in one recording", lengths)):
            peaks: list[float] = []
            for value in (float(text) for text in values.split(",") if text):
                task = "rows" if what == "manifest rows" else "hours"
                peaks.append(watch("benchmarks.extraction_memory", task, value, place).peak_rss_mb)
                table.add_row(what, f"{value:,g}", f"{peaks[-1]:,.0f} MB", f"{peaks[-1] / peaks[0]:.2f}")
    console.print(table)


def extract_of_rows(rows: int, place: Path) -> None:
    """Plan an extraction of so many utterances and write its first shard, of 64 utterances."""
    speech, noise = write_tone(place / "short.flac", 8.0), _noise(place)
    manifest = place / f"{rows}.parquet"
    write_manifest(manifest, speech, rows, 8.0, sha256_file(speech))
    extraction = _extraction(manifest, noise)
    plan = extraction.plan(None)
    extraction.names(plan)
    extraction.write(place / f"store-{rows}", 0, slice(0, 64))


def write_manifest(manifest: Path, speech: Path, rows: int, duration_s: float, digest: str) -> None:
    """Write a manifest of so many utterances, all of one recording."""
    with pq.ParquetWriter(manifest, UTTERANCES_SCHEMA) as writer:
        for first in range(0, rows, _BLOCK_ROWS):
            numbers = range(first, min(first + _BLOCK_ROWS, rows))
            ids = [utterance_id(number) for number in numbers]
            columns = [ids, [str(speech)] * len(ids), [name[:8] for name in ids]]
            fixed = [[value] * len(ids) for value in (0.0, duration_s, _RATE, 1, "train", digest, None)]
            writer.write_table(pa.table([*columns, *fixed], schema=UTTERANCES_SCHEMA))


def extract_of_hours(hours: float, place: Path) -> None:
    """Prepare and extract one recording of so many hours."""
    source = place / f"{hours}-hours"
    write_tone(source / "long.flac", hours * 3600)
    manifest = place / f"{hours}-hours.parquet"
    rejects = place / "rejects.parquet"
    prepare(source=source, utterances=manifest, rejects=rejects, settings=PrepareSettings(), kind="speech")
    extraction = _extraction(manifest, _noise(place))
    extraction.write(place / f"store-{hours}-hours", 0, slice(0, 1))


def _extraction(manifest: Path, noise: Path) -> Extraction:
    sources = {"noise": noise, "music": noise}
    return Extraction.open(ExtractOrder(manifest, "ge2e", _SETTINGS, seed=0, sources=sources))


def _noise(place: Path) -> Path:
    path = place / "noise.parquet"
    source = place / "noise"
    write_tone(source / "n.flac", 10.0)
    prepare(source=source, utterances=path, rejects=place / "r.parquet", settings=PrepareSettings(), kind="noise")
    return path


def write_tone(path: Path, duration_s: float) -> Path:
    """Write a low hum, a second at a time: it compresses well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    second_T = 0.1 * np.sin(2 * np.pi * 200 * np.arange(_RATE) / _RATE)
    with soundfile.SoundFile(path, "w", _RATE, 1) as file:
        for _ in range(max(1, round(duration_s))):
            file.write(second_T)
    return path


if __name__ == "__main__":
    if sys.argv[1:2] in (["rows"], ["hours"]):
        task, size, workplace = sys.argv[1:]
        if task == "rows":
            extract_of_rows(int(float(size)), Path(workplace))
        else:
            extract_of_hours(float(size), Path(workplace))
        print(json.dumps({"peak_rss_kb": memory_kb()["VmHWM"]}))
    else:
        main()
