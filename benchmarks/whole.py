"""Whole utterances against crops: error rates, cost and memory: `python -m benchmarks.whole`.

`rates` embeds a folder of real speech as whole utterances and as crops; `memory` extracts tones as whole utterances,
each size in a fresh process, which prints its own peak resident memory (VmHWM).
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.extraction_memory import write_manifest, write_tone
from benchmarks.measure import memory_kb, watch
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.stages.scoring.cosine import unit_rows, utterance_embeddings
from reseed.stages.scoring.metrics import eer
from reseed.store import EmbeddingStore
from reseed.store.atomic import sha256_file

CROPS: dict[str, Any] = {
    "whole": "whole",
    "1 of 2 s": {"count": 1, "duration_s": 2.0, "placement": "even"},
    "2 of 2 s": {"count": 2, "duration_s": 2.0, "placement": "even"},
    "3 of 2 s": {"count": 3, "duration_s": 2.0, "placement": "even"},
    "1 of 4 s": {"count": 1, "duration_s": 4.0, "placement": "even"},
}
LONG: dict[str, Any] = {
    "windows": {"duration_s": None, "placement": "even", "windows": {"length_s": 10.0, "hop_s": 10.0}},
    "max_s": {"duration_s": None, "max_s": 60},
}
console = Console(width=140)


@click.group()
def main() -> None:
    """Compare whole utterances with crops."""


@main.command()
@click.option("--speech", type=click.Path(path_type=Path), required=True, help="Folder of speakers' recordings.")
@click.option("--noise", type=click.Path(path_type=Path), required=True, help="Folder of noises.")
@click.option("--backbone", "name", default="ge2e", show_default=True)
@click.option("--weights", type=click.Path(path_type=Path), help="Weights of the backbone; its own without.")
def rates(speech: Path, noise: Path, name: str, weights: Path | None) -> None:
    """Print EER of all pairs in %, raw and centred on the view's mean, clean and at 5 dB, by thirds of duration."""
    views = {"clean": View(), "noise_5db": View(noise=5)}
    settings = {} if weights is None else {"weights": str(weights.resolve())}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        manifests = {"speech": place / "speech.parquet", "noise": place / "noise.parquet"}
        for kind, source in (("speech", speech), ("noise", noise)):
            rejects = place / "r.parquet"
            prepare(source=source, utterances=manifests[kind], rejects=rejects, settings=PrepareSettings(), kind=kind)
        for label, crops in CROPS.items():
            chosen = ExtractSettings(views=views, crops=CropSettings.model_validate(crops), batch=16)
            sources = {"noise": manifests["noise"]}
            order = ExtractOrder(manifests["speech"], name, chosen, 0, sources, backbone_settings=settings)
            started, before = time.perf_counter(), time.process_time()
            extract(order=order, store=place / label)
            spent = time.process_time() - before
            console.print(f"{name} {label}: {time.perf_counter() - started:.0f} s, {spent:.0f} s of a core")
            durations_s = _durations_s(manifests["speech"])
            for view in views:
                for what, value in _rates(EmbeddingStore(place / label), view, durations_s):
                    console.print(f"  {view}, {what}: {100 * value:.2f}")


def _durations_s(manifest: Path) -> dict[str, float]:
    table = pq.read_table(manifest, columns=["utterance_id", "duration_s"])
    return dict(zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True))


def _rates(store: EmbeddingStore, view: str, durations_s: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the EER of all pairs, then of the pairs whose recordings both lie in a third of the durations."""
    unit_UD = utterance_embeddings(store.vectors(view).reshape(-1, store.crops, store.dim))
    speakers_U = np.array(store.speaker_ids())
    durations_U = np.array([durations_s[utterance] for utterance in store.utterance_ids()])
    edges = np.quantile(durations_U, [0, 1 / 3, 2 / 3, 1])
    third_U = np.clip(np.searchsorted(edges, durations_U, side="right") - 1, 0, 2)
    for what, vectors_UD in (("raw", unit_UD), ("centred", unit_rows(unit_UD - unit_UD.mean(axis=0)))):
        yield what, all_pairs_eer(vectors_UD, speakers_U)
        for number in range(3):
            inside = third_U == number
            label = f"{what} {edges[number]:.1f} to {edges[number + 1]:.1f} s"
            yield label, all_pairs_eer(vectors_UD[inside], speakers_U[inside])


def all_pairs_eer(unit_UD: NDArray[np.float64], speakers_U: NDArray[np.str_]) -> float:
    """Return the EER of all pairs of utterances by the cosines of unit vectors."""
    first, second = np.triu_indices(len(unit_UD), 1)
    same = speakers_U[first] == speakers_U[second]
    scores = (unit_UD @ unit_UD.T)[first, second]
    return eer(scores[same], scores[~same])


@main.command()
@click.option("--rows", default="512,2048,8192", show_default=True, help="Utterances of 4 s.")
@click.option("--hours", default="0.1667,1,3", show_default=True, help="Length of one recording.")
def memory(rows: str, hours: str) -> None:
    """Print the peak memory of ge2e on whole utterances, and on one recording: all, in windows of 10 s, its middle."""
    with tempfile.TemporaryDirectory() as place:
        for task, sizes in (("rows", rows), ("hours", hours), *((task, hours) for task in LONG)):
            for size in sizes.split(","):
                peak = watch("benchmarks.whole", task, size, place).peak_rss_mb
                console.print(f"{task} {size}: {peak:,.0f} MB")


def extract_tones(task: str, size: float, place: Path) -> None:
    """Extract `size` whole utterances of 4 s, or one of `size` hours."""
    count, length_s = (int(size), 4.0) if task == "rows" else (1, size * 3600)
    tone, manifest = write_tone(place / f"{task}-{size}.flac", length_s), place / f"{task}-{size}.parquet"
    write_manifest(manifest, tone, count, length_s, sha256_file(tone))
    crops = CropSettings.model_validate(LONG.get(task, "whole"))
    order = ExtractOrder(manifest, "ge2e", ExtractSettings(views={"clean": View()}, crops=crops), 0)
    extract(order=order, store=place / f"store-{task}-{size}")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("rows", "hours", *LONG):
        extract_tones(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
        print(json.dumps({"peak_rss_kb": memory_kb()["VmHWM"]}))
    else:
        main()
