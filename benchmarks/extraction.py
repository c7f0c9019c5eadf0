"""Extraction against its backbone alone: `python -m benchmarks.extraction`; see benchmarks/README.md."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import soundfile
import torch
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Ratio
from reseed.stages.audio.manifest import Manifest
from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.extraction.extraction import Extraction
from reseed.stages.extraction.order import ExtractOrder
from tests.corpus import prepared, write_manifest
from tests.stages.backbones import checkpoints

TARGETS = {"ge2e": 0.7, "resnet_se34v2": 0.9, "ecapa_tdnn": 0.9}
TARGET_ON_GPU = 0.8
_RATE = 16_000
console = Console(width=110)


@click.command()
@click.option("--backbones", default=",".join(TARGETS), show_default=True, help="Those to time.")
@click.option("--corpus", type=click.Path(path_type=Path, exists=True), help="Corpus folder; default: made.")
@click.option("--format", "container", default="flac", show_default=True, help="Of the corpus that is made: flac, wav.")
@click.option("--utterances", default=96, show_default=True, help="How many are extracted per round.")
@click.option("--rounds", default=5, show_default=True, help="How often each way is timed.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--recipe", default="seed", show_default=True, help="Recipe of the views.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Further settings, e.g. decoders=2.")
def main(
    backbones: str,
    corpus: Path | None,
    container: str,
    utterances: int,
    rounds: int,
    device: str,
    recipe: str,
    settings: tuple[str, ...],
) -> None:
    """Print the speed of extraction from files in units of the backbone's on waveforms in memory."""
    given = {key: yaml.safe_load(value) for key, value in (text.split("=") for text in settings)}
    chosen = ExtractSettings(recipe=recipe, **given)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = prepared_sources(corpus or made_corpus(folder / "corpus", utterances, container), folder, utterances)
        table = Table(title=f"{recipe} recipe, {len(chosen.views)} views, {device}, {torch.get_num_threads()} threads")
        for column in ("backbone", "forward alone", "extraction", "ratio (quartiles)", "asked for"):
            table.add_column(column)
        for backbone in backbones.split(","):
            order = ExtractOrder(
                utterances=sources["speech"],
                sources={kind: sources[kind] for kind in ("noise", "music", "rir")},
                backbone=backbone,
                backbone_settings=_settings(backbone, folder),
                settings=chosen,
                seed=0,
                device=device,
            )
            target = TARGET_ON_GPU if device == "cuda" else TARGETS.get(backbone)
            table.add_row(backbone, *_row(order, folder, rounds, target))
        console.print(table)


def _row(order: ExtractOrder, folder: Path, rounds: int, target: float | None) -> list[str]:
    extraction = Extraction.open(order)
    rows = extraction.rows[:]
    waveforms = list(waveform_batches(extraction))
    forward_s, extract_s, ratios = [], [], []
    for number in range(rounds + 1):
        start_s = time.perf_counter()
        _forward(extraction, waveforms)
        middle_s = time.perf_counter()
        extraction.write(folder / f"store-{order.backbone}", number, slice(0, len(rows)))
        end_s = time.perf_counter()
        if number:  # the first round warms caches and clocks
            forward_s.append(middle_s - start_s)
            extract_s.append(end_s - middle_s)
            ratios.append((middle_s - start_s) / (end_s - middle_s))
    count = sum(len(batch) for batch in waveforms)
    low, _, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    ratio = Ratio(median(ratios), low, high)
    met = "" if target is None else f"{target}" if ratio.median >= target else f"{target} [red]MISS[/red]"
    return [f"{count / median(forward_s):.0f}/s", f"{count / median(extract_s):.0f}/s", str(ratio), met]


def waveform_batches(extraction: Extraction) -> Iterator[torch.Tensor]:
    """Yield as many batches of rendered length as the extraction will embed, in memory on its device."""
    settings, rate = extraction.order.settings, extraction.embedder.backbone.sample_rate_hz
    samples = round(settings.crops.duration_s * rate)
    generator = torch.Generator().manual_seed(0)
    left = len(extraction.rows) * extraction.declaration.rows_per_utterance
    while left > 0:
        size = min(left, settings.batch)
        yield (0.1 * torch.randn(size, samples, generator=generator)).to(extraction.embedder.device)
        left -= size


def _forward(extraction: Extraction, waveforms: list[torch.Tensor]) -> None:
    with torch.inference_mode():
        for waveform_BT in waveforms:
            extraction.embedder.forward(waveform_BT)
    if extraction.embedder.device.type == "cuda":
        torch.cuda.synchronize()


def _settings(backbone: str, folder: Path) -> dict[str, Any]:
    """Give networks of the published sizes random weights, of which speed does not depend."""
    published = {
        "resnet_se34v2": checkpoints.resnet_se34v2,
        "ecapa_tdnn": lambda: checkpoints.ecapa_tdnn(channels=1024),
        "campplus": lambda: checkpoints.campplus(head=32, trunk=128, growth=32, narrow=128, dim=512),
        "resnet34_wespeaker": lambda: checkpoints.resnet34_wespeaker(width=32, dim=256),
    }
    if backbone not in published:
        return {}
    return {"weights": str(checkpoints.save(published[backbone](), folder / f"{backbone}.pt"))}


def prepared_sources(corpus: Path, folder: Path, utterances: int) -> dict[str, Path]:
    found = prepared(corpus, folder, ("speech", "noise", "music", "rir"))
    write_manifest(found["speech"], Manifest(found["speech"])[:utterances])
    return found


def made_corpus(folder: Path, utterances: int, container: str) -> Path:
    """Write a corpus of noise: utterances of 8 s, noises of 10 s, responses of 1 s."""
    generator = np.random.default_rng(0)
    for kind, count, seconds in (("speech", utterances, 8), ("noise", 40, 10), ("music", 40, 10), ("rir", 20, 1)):
        for number in range(count):
            path = folder / kind / "train" / f"s{number // 4}" / f"{number}.{container}"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * generator.standard_normal(seconds * _RATE).clip(-5, 5), _RATE)
    return folder


if __name__ == "__main__":
    main()
