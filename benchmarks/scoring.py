"""Scoring against the loop it replaces and the matrix products it needs: `python -m benchmarks.scoring`.

Shapes: U utterances, C crops, D embedding dimension, M cohort vectors, P trials.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.generated import VIEWS, declare, random_vectors, write_rows
from benchmarks.measure import Ratio, memory_kb, speed_ratio, take_turns, watch
from reseed.stages.scoring.cosine import unit_rows
from reseed.stages.scoring.crops import crop_distance_scores, unit_crops
from reseed.stages.scoring.normalise import cohort_statistics
from reseed.store import finalise

UTTERANCES, CROPS, TRIALS = 4708, 10, 37_611  # VoxCeleb1-O cleaned, as SEED and voxceleb_trainer score it
COHORT, TOP = 6000, 300
LOOP_LIMIT, CROPS_LIMIT_S, COHORT_LIMIT_S, PAIRS_LIMIT_MB = 200.0, 2.0, 10.0, 1000.0
console = Console(width=120)


@click.command()
@click.option("--dim", default=512, show_default=True, help="Dimension of crops and cohort.")
@click.option("--sample", default=300, show_default=True, help="Trials that the loop scores; its time is scaled.")
@click.option("--pairs", default=100_000, show_default=True, help="Utterances of 256 dimensions to pair; 0: none.")
@click.option("--rounds", default=5, show_default=True, help="How often each way is timed.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to work; 100,000 pairs take 0.2 GB.")
def main(dim: int, sample: int, pairs: int, rounds: int, device: str, folder: Path | None) -> None:
    """Print each way of scoring beside its peer and its limit."""
    table = Table(title=f"scoring, {device}, {torch.get_num_threads()} threads")
    for column in ("what", "time", "asked for", "against", "ratio (quartiles)"):
        table.add_column(column)
    table.add_row(*_crops(dim, sample, rounds, device))
    table.add_row(*_cohort(dim, rounds, device))
    if pairs:
        table.add_row(*_pairs(pairs, device, folder))
    console.print(table)


def _crops(dim: int, sample: int, rounds: int, device: str) -> list[str]:
    """All trials at once against a loop over some of them, one by one, as the published code has it."""
    vectors_UCD = random_vectors(UTTERANCES * CROPS, dim, seed=0).reshape(UTTERANCES, CROPS, dim)
    pairs_P2 = np.random.default_rng(0).integers(0, UTTERANCES, (TRIALS, 2))
    features = dict(enumerate(torch.from_numpy(vectors_UCD).to(device)))

    def ours() -> float:
        unit_UCD = unit_crops(vectors_UCD)
        return float(crop_distance_scores(unit_UCD, unit_UCD, pairs_P2, device)[:sample].sum())

    def loop() -> float:
        total = 0.0
        for first, second in pairs_P2[:sample].tolist():
            reference = torch.nn.functional.normalize(features[first], p=2, dim=1)
            compared = torch.nn.functional.normalize(features[second], p=2, dim=1)
            total -= float(np.mean(torch.cdist(reference, compared).cpu().numpy()))
        return total

    seconds = take_turns({"ours": ours, "loop": loop}, rounds)
    scale, ratio = TRIALS / sample, speed_ratio(seconds, "ours", "loop")
    scaled = Ratio(scale * ratio.median, scale * ratio.low, scale * ratio.high)
    return [
        f"{TRIALS:,} trials of {CROPS} x {CROPS} crops x {dim}",
        f"{median(seconds['ours']):.2f} s",
        f"{CROPS_LIMIT_S:g} s, ratio {LOOP_LIMIT:g}",
        f"loop over {sample} trials, scaled: {scale * median(seconds['loop']):.1f} s",
        _judged(str(scaled), scaled.median < LOOP_LIMIT or median(seconds["ours"]) >= CROPS_LIMIT_S),
    ]


def _cohort(dim: int, rounds: int, device: str) -> list[str]:
    """Statistics of every utterance for AS-norm against the bare product with the cohort, in the same precision."""
    vectors_UD, cohort_MD = (unit_rows(random_vectors(rows, dim, seed=rows)) for rows in (UTTERANCES, COHORT))

    def ours() -> float:
        cohort_statistics(vectors_UD, cohort_MD, TOP, device)
        return 0.0

    def product() -> float:
        left, right = (torch.from_numpy(unit_RD).to(device) for unit_RD in (vectors_UD, cohort_MD))
        (left @ right.T).amax(dim=1).cpu()
        return 0.0

    seconds = take_turns({"ours": ours, "product": product}, rounds)
    return [
        f"AS-norm: {UTTERANCES:,} utterances, cohort {COHORT:,}, top {TOP}",
        f"{median(seconds['ours']):.2f} s",
        f"{COHORT_LIMIT_S:g} s",
        f"the product alone: {median(seconds['product']):.2f} s",
        _judged(str(speed_ratio(seconds, "ours", "product")), median(seconds["ours"]) >= COHORT_LIMIT_S),
    ]


def _pairs(utterances: int, device: str, folder: Path | None) -> list[str]:
    """`all_pairs` from the store to the last file, in a fresh process, against the products of its blocks alone."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        store, declaration = Path(name) / "store", declare(256, "hdf5")
        rows = utterances * len(VIEWS)
        finalise(store, declaration, write_rows(store, declaration, 0, rows), utterances)
        watched = watch("benchmarks.scoring", "pairs", store, device)
    taken_s, product_s = watched.answer["seconds"], watched.answer["product_s"]
    ratio = product_s / taken_s
    memory = f"peak {watched.peak_rss_mb:,.0f} MB, of it anonymous {watched.peak_anonymous_mb:,.0f}"
    return [
        f"all {watched.answer['pairs']:,} pairs of {utterances:,} x 256, top 10; EER {watched.answer['eer']}",
        f"{taken_s:.0f} s, {memory}",
        f"peak {PAIRS_LIMIT_MB:g} MB",
        f"the products alone: {product_s:.0f} s",
        _judged(f"{ratio:.2f}", watched.peak_rss_mb >= PAIRS_LIMIT_MB),
    ]


def pair_up(store: Path, device: str) -> dict[str, object]:
    """Time all pairs of a store, then the products of as many blocks, from a sample of 50."""
    from reseed.stages.all_pairs import all_pairs

    start_s = time.perf_counter()
    found = all_pairs(store=store, view=VIEWS[0], top=10, neighbours=store.parent / "neighbours.parquet", device=device)
    seconds = time.perf_counter() - start_s
    peak_kb = memory_kb()["VmHWM"]
    left, right = torch.randn(2, 1024, 256, device=device)
    start_s = time.perf_counter()
    for _ in range(50):
        float((left @ right.T)[0, 0])
    product_s = (time.perf_counter() - start_s) / 50 * found.pairs / 1024**2
    eer = "none" if found.eer is None else f"{found.eer:.2%} (to {found.eer_resolution:.2%})"
    return {"seconds": seconds, "product_s": product_s, "pairs": found.pairs, "eer": eer, "peak_rss_kb": peak_kb}


def _judged(text: str, missed: bool) -> str:
    return f"[red]{text} MISS[/red]" if missed else text


if __name__ == "__main__":
    if sys.argv[1:2] == ["pairs"]:
        print(json.dumps(pair_up(Path(sys.argv[2]), sys.argv[3])))
    else:
        main()
