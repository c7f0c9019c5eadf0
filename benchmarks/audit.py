"""Time, memory and what hashing finds, of an audit as the store grows: `python -m benchmarks.audit`.

Each size is audited in a fresh process. Beside it the same process verifies the store (hashes every file, looks at
every vector): the least that an audit could take.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.generated import ROWS_PER_SHARD, utterance_id
from benchmarks.measure import memory_kb, watch
from reseed.stages.audit import audit
from reseed.stages.auditing.duplicates import EXACT
from reseed.stages.verify import verify
from reseed.store import Declaration, finalise, write_shard
from reseed.store.format import CATALOGUE_SCHEMA
from reseed.store.inputs import DeclaredInputs

_DIM = 256
_VIEWS = {"clean": {}, "noise": {"noise": 5.0}}
_SPEAKERS = 6_000  # as many as VoxCeleb2 has, where there are utterances enough
_SOUNDS = 500
_TWIN_EVERY = 5_000  # utterances, of which one is stored again, all but the same
console = Console(width=110)


@click.command()
@click.option("--rows", "sizes", default="1e5,1e6,1e7", show_default=True, help="Vectors of each store.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to work; 1e7 rows take 11 GB.")
def main(sizes: str, folder: Path | None) -> None:
    """Print time, memory and the share of planted duplicates found."""
    table = Table(title=f"audit of N x {_DIM} float32, two views, in one process")
    for column in (
        "rows",
        "audit",
        "times verify",
        "peak memory",
        "of it anonymous",
        "bytes a row",
        "duplicates found",
    ):
        table.add_column(column)
    for size in (round(float(text)) for text in sizes.split(",")):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            store = Path(place) / "store"
            planted = write(store, size)
            seen = watch("benchmarks.audit", store)
            answer = seen.answer
            table.add_row(
                f"{size:,}",
                f"{answer['audit_s']:,.0f} s",
                f"{answer['audit_s'] / answer['verify_s']:.1f}",
                f"{seen.peak_rss_mb:,.0f} MB",
                f"{seen.peak_anonymous_mb:,.0f} MB",
                f"{1e6 * seen.peak_anonymous_mb / size:,.0f}",
                f"{answer['duplicates']} of {planted}, {'by hashing' if size // len(_VIEWS) > EXACT else 'all pairs'}",
            )
    console.print(table)


def write(store: Path, rows: int) -> int:
    """Write a store of speakers, a shard in memory at a time; returns how many utterances are stored twice."""
    declaration = Declaration(
        _DIM, "float32", _VIEWS, crops=1, space="generated:0", inputs=DeclaredInputs(further={"seed": 0})
    )
    names, planted = [], 0
    for index, first in enumerate(range(0, rows, ROWS_PER_SHARD)):
        utterances = min(ROWS_PER_SHARD, rows - first) // len(_VIEWS)
        rng = np.random.default_rng([0, index])
        numbers = first // len(_VIEWS) + np.arange(utterances)
        of_speaker = numbers // max(20, rows // len(_VIEWS) // _SPEAKERS)
        speakers, code = np.unique(of_speaker, return_inverse=True)
        voices = np.stack([np.random.default_rng([1, speaker]).standard_normal(_DIM) for speaker in speakers.tolist()])
        clean = (0.7 * voices[code] + 0.5 * rng.standard_normal((utterances, _DIM))).astype(np.float32)
        twins = np.arange(1, utterances, _TWIN_EVERY)
        clean[twins] = clean[twins - 1] + 0.02 * rng.standard_normal((len(twins), _DIM))
        planted += len(twins)
        noisy = clean + 0.4 * rng.standard_normal((utterances, _DIM), np.float32)
        vectors = np.stack([clean, noisy], axis=1).reshape(-1, _DIM)
        table = _catalogue(numbers, of_speaker, rng.integers(_SOUNDS, size=utterances))
        names.append(write_shard(store, index, vectors, table, declaration))
    finalise(store, declaration, names, rows // len(_VIEWS))
    return planted


def _catalogue(numbers: NDArray[np.int64], speakers: NDArray[np.int64], sounds: NDArray[np.int64]) -> pa.Table:
    rows = [
        {
            "utterance_id": utterance_id(number),
            "speaker_id": f"id{speaker:06d}",
            "view": view,
            "crop": 0,
            "noise_ids": [f"noise/{sound}"] if recipe else [],
            "snr_db": recipe.get("noise"),
        }
        for number, speaker, sound in zip(numbers.tolist(), speakers.tolist(), sounds.tolist(), strict=True)
        for view, recipe in _VIEWS.items()
    ]
    return pa.Table.from_pylist(rows, CATALOGUE_SCHEMA)


def _audited(store: Path) -> dict[str, float | int | str]:
    start_s = time.perf_counter()
    verify(store=store)
    verified_s = time.perf_counter()
    found = audit(store=store, page=store.parent / "audit.html")
    print(found.summary(), file=sys.stderr)
    return {
        "verify_s": verified_s - start_s,
        "audit_s": time.perf_counter() - verified_s,
        "duplicates": found.findings["duplicates"].says.partition(" pair")[0],
        "peak_rss_kb": memory_kb()["VmHWM"],
    }


if __name__ == "__main__":
    if len(sys.argv) == 2 and Path(sys.argv[1]).is_dir():
        print(json.dumps(_audited(Path(sys.argv[1]))))
    else:
        main()
