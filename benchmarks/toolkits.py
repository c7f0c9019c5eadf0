"""Extraction against that of WeSpeaker and SpeechBrain: `python -m benchmarks.toolkits`; see benchmarks/README.md."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
import soundfile
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.extraction import made_corpus, prepared_sources, waveform_batches
from benchmarks.measure import Rounds, speed_ratio
from reseed.stages.audio.mix import mix
from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.common.threads import compute_with, given_cores, lanes, thread_map
from reseed.stages.extraction.extraction import Extraction
from reseed.stages.extraction.order import ExtractOrder
from tests.stages.backbones import checkpoints

SAMPLES, RATE_HZ = 32_240, 16_000
VIEWS: dict[str, Any] = {
    "clean": {},
    "noise": {"noise": [0, 15]},
    "music": {"music": [5, 15]},
    "noise_0db": {"noise": 0},
    "noise_5db": {"noise": 5},
    "reverb": {"reverb": True},
    "reverb_noise": {"reverb": True, "noise": 10},
}
PRECISIONS = ("float32", "bfloat16")
TARGETS = {"forward alone": 0.95, "theirs, batched": 1.3, "theirs, file by file": 2.0}
console = Console(width=120)
Timed = tuple[float, float]  # by the clock, of all cores


class Toolkits:
    """WeSpeaker and SpeechBrain in a process of their own, loaded once; their start is never timed.

    Args:
        python: a Python that has them.
    """

    def __init__(self, python: str, listing: Path, folder: Path) -> None:
        worker = Path(__file__).with_name("toolkits_worker.py")
        command = [python, "-I", str(worker), str(listing), str(folder)]
        environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(given_cores()))}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        if self._answer() != "ready":
            raise click.ClickException(f"{python} cannot import the toolkits; benchmarks/README.md says what it needs")

    def ask(self, network: str, way: str, expected: int) -> Timed:
        """Return the seconds of one extraction of all files."""
        assert self._process.stdin is not None
        print(network, way, file=self._process.stdin, flush=True)
        answer = self._answer()
        if answer is None or answer[2] != expected:
            raise click.ClickException(f"{network}, {way}: gave no {expected} vectors; what it said stands above")
        return answer[0], answer[1]

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        """End the worker."""
        self._process.communicate()


@click.command()
@click.option("--peer-python", required=True, help="A Python that has WeSpeaker and SpeechBrain.")
@click.option("--campplus", type=click.Path(path_type=Path, exists=True), help="Weights; default: random ones.")
@click.option("--resnet34", type=click.Path(path_type=Path, exists=True), help="Weights; default: random ones.")
@click.option("--utterances", default=36, show_default=True, help="Each is embedded in seven views.")
@click.option("--rounds", default=5, show_default=True, help="How often each way is timed.")
def main(peer_python: str, campplus: Path | None, resnet34: Path | None, utterances: int, rounds: int) -> None:
    """Print the speed of extraction from FLAC, in units of the network's own and of the toolkits'."""
    compute_with(1)  # as `reseed extract` does: whole batches side by side
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = prepared_sources(made_corpus(folder / "corpus", utterances, "flac"), folder, utterances)
        table = Table(title=f"{len(VIEWS)} views of {SAMPLES / RATE_HZ:g} s from FLAC, {lanes()} cores")
        for column in ("network", "ours by", "against", "crops/s", "by the clock", "in CPU time", "asked for"):
            table.add_column(column)
        toolkits = None
        for network, ours in _networks(folder, campplus, resnet34).items():
            extractions = {label: Extraction.open(_order(sources, **chosen)) for label, chosen in ours.items()}
            toolkits = toolkits or Toolkits(peer_python, _rendered(extractions["float32"], folder), folder)
            for row in _rows(network, extractions, toolkits, folder, rounds):
                table.add_row(*row)
            console.print(table)  # as far as it is known
        if toolkits:
            toolkits.close()


def _order(sources: dict[str, Path], backbone: str, settings: dict[str, Any], precision: str) -> ExtractOrder:
    return ExtractOrder(
        utterances=sources["speech"],
        sources={kind: sources[kind] for kind in ("noise", "music", "rir")},
        backbone=backbone,
        backbone_settings=settings,
        settings=ExtractSettings(views=VIEWS, crops={"duration_s": SAMPLES / RATE_HZ}, precision=precision),
        seed=0,
        device="cpu",
    )


def _networks(folder: Path, campplus: Path | None, resnet34: Path | None) -> dict[str, dict[str, dict[str, Any]]]:
    """Return in which ways we compute each network, by a name."""
    states = {
        "campplus": checkpoints.campplus(head=32, trunk=128, growth=32, narrow=128, dim=192),
        "resnet34_wespeaker": checkpoints.resnet34_wespeaker(width=32, dim=256),
        "ecapa_speechbrain": checkpoints.ecapa_speechbrain(channels=1024, aggregated=3072),
    }
    weights = {name: checkpoints.save(state, folder / f"{name}.pt") for name, state in states.items()}
    given = {"campplus": campplus, "resnet34_wespeaker": resnet34}
    weights |= {name: path.absolute() for name, path in given.items() if path}
    ways = {
        name: {
            precision: {"backbone": name, "settings": {"weights": str(path)}, "precision": precision}
            for precision in PRECISIONS
        }
        for name, path in weights.items()
    }
    if resnet34 and resnet34.suffix == ".onnx":
        exported = {"model": str(weights["resnet34_wespeaker"])}
        ways["resnet34_wespeaker"]["onnxruntime"] = {"backbone": "onnx", "settings": exported, "precision": "float32"}
    return ways


def _rendered(extraction: Extraction, folder: Path) -> Path:
    """Write every crop in every view as a FLAC file, for the toolkits, and a list of them."""
    paths = []
    for row in extraction.rows[:]:
        draws = [found for _, found in extraction.reader.draws(row)]
        for view, wave_T in enumerate(mix(draws, RATE_HZ, torch.device("cpu")).numpy()):
            paths.append(folder / f"{row.utterance_id.replace('/', '-')}-{view}.flac")
            soundfile.write(paths[-1], wave_T.clip(-1, 1), RATE_HZ)
    listing = folder / "files.txt"
    listing.write_text("\n".join(map(str, paths)))
    return listing


def _rows(
    network: str, extractions: dict[str, Extraction], toolkits: Toolkits, folder: Path, rounds: int
) -> list[list[str]]:
    batches = list(waveform_batches(extractions["float32"]))
    crops, written = sum(map(len, batches)), iter(range(10_000))
    ways: dict[str, Callable[[], Timed]] = {
        "theirs, batched": lambda: toolkits.ask(network, "batched", crops),
        "theirs, file by file": lambda: toolkits.ask(network, "files", crops),
    }
    for label, ours in extractions.items():
        store = folder / f"{network}-{label}"
        ways[label] = partial(_timed, partial(_write, ours, store, written))
        ways[f"{label}, forward alone"] = partial(_timed, partial(_forward, ours, batches))
    seconds: list[Rounds] = [{name: [] for name in ways} for _ in range(2)]  # by the clock, of all cores
    for number in range(rounds + 1):
        first = number % len(ways)
        for name in [*ways][first:] + [*ways][:first]:
            timed = ways[name]()
            if number:  # the first round warms caches and clocks
                for kept, value_s in zip(seconds, timed, strict=True):
                    kept[name].append(value_s)
    return [_row(network, label, peer, crops, seconds) for label in extractions for peer in TARGETS]


def _row(network: str, ours: str, peer: str, crops: int, seconds: list[Rounds]) -> list[str]:
    against = f"{ours}, {peer}" if peer == "forward alone" else peer
    clock, cores = (speed_ratio(taken, ours, against) for taken in seconds)
    speeds = ", ".join(f"{crops / median(seconds[0][name]):.1f}" for name in (ours, against))
    asked = f"{TARGETS[peer]}" if clock.median >= TARGETS[peer] else f"{TARGETS[peer]} [red]MISS[/red]"
    return [network, ours, peer, speeds, str(clock), str(cores), asked]


def _timed(run: Callable[[], object]) -> Timed:
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start_s, time.process_time() - start_cpu_s


def _write(extraction: Extraction, store: Path, numbers: Iterator[int]) -> None:
    extraction.write(store, next(numbers), slice(0, len(extraction.rows)))


def _forward(extraction: Extraction, batches: list[torch.Tensor]) -> None:
    """Embed waveforms from memory as the extraction does, a batch on each core."""

    def embed(waveform_BT: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return extraction.embedder.forward(waveform_BT)

    for _ in thread_map(embed, batches, lanes(), 2 * lanes()):
        pass


if __name__ == "__main__":
    main()
