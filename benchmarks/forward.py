"""A network alone on a CPU: how much per pass, in which precision: `python -m benchmarks.forward`."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from rich.console import Console
from rich.table import Table

from benchmarks.measure import take_turns
from benchmarks.whole import all_pairs_eer
from reseed.stages.audio.manifest import Manifest, Utterance
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.onnx import Onnx
from reseed.stages.backbones.table import load_backbone
from reseed.stages.common.threads import compute_with, lanes, thread_map
from reseed.stages.extract import extract
from reseed.stages.extraction.embedder import Embedder
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.stages.scoring.cosine import unit_rows
from reseed.store import EmbeddingStore
from tests.corpus import write_manifest

CROP_S, CROPS = 2.0, 40
SAMPLES = int(CROP_S * 16_000)
VIEWS = {"clean": View(), "noise_5db": View(noise=5)}
CALIBRATION = 16  # waveforms
console = Console(width=140)
given_backbone = click.option("--backbone", "name", default="ge2e", show_default=True)
given_weights = click.option("--weights", type=click.Path(path_type=Path), help="Its weights; its own without.")


@click.group()
def main() -> None:
    """Time a network alone on the cores given, each of which computes a batch."""
    compute_with(1)


@main.command()
@given_backbone
@given_weights
@click.option("--seconds", default="4,10,20,40,80", show_default=True, help="Of waveforms of 2 s in one pass.")
@click.option("--rounds", default=3, show_default=True)
def passes(name: str, weights: Path | None, seconds: str, rounds: int) -> None:
    """Print milliseconds of a core per waveform, by how much is computed in one pass."""
    backbone = load_backbone(name, _settings(name, weights)).frozen()
    sizes = {f"{value} s": max(1, int(float(value) / CROP_S)) for value in seconds.split(",")}
    ways = {label: partial(_embed, backbone, size) for label, size in sizes.items()}
    _print_costs(name, ways, rounds)


@main.command()
@given_backbone
@given_weights
@click.option("--speech", type=click.Path(path_type=Path), required=True, help="Folder of speakers' recordings.")
@click.option("--noise", type=click.Path(path_type=Path), required=True, help="Folder of noises.")
@click.option("--calibration", type=click.Path(path_type=Path), help="Speech by which an .onnx is quantised to int8.")
@click.option("--speakers", default=60, show_default=True)
@click.option("--utterances", default=4, show_default=True, help="Of each speaker.")
@click.option("--rounds", default=3, show_default=True)
def precisions(
    name: str,
    weights: Path | None,
    speech: Path,
    noise: Path,
    calibration: Path | None,
    speakers: int,
    utterances: int,
    rounds: int,
) -> None:
    """Print how precisions move vectors and EER of all pairs, on one crop of 2 s, and what they cost."""
    ways = {precision: (name, _settings(name, weights), precision) for precision in ("float32", "bfloat16")}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        manifests = {kind: _prepared(path, kind, place) for kind, path in (("speech", speech), ("noise", noise))}
        if weights and weights.suffix == ".onnx":
            exports = {"onnxruntime": weights.resolve(), **_quantised(weights.resolve(), calibration, place)}
            ways |= {label: ("onnx", {"model": str(path)}, "float32") for label, path in exports.items()}
        chosen = _first_of_each(Manifest(manifests["speech"])[:], speakers, utterances)
        write_manifest(manifests["speech"], chosen)
        for label, (network, settings, precision) in ways.items():
            crops = CropSettings(count=1, duration_s=CROP_S, placement="even")
            how = ExtractSettings(views=VIEWS, crops=crops, precision=precision)
            sources = {"noise": manifests["noise"]}
            extract(
                order=ExtractOrder(manifests["speech"], network, how, 0, sources, backbone_settings=settings),
                store=place / label,
            )
        _print_changes(name, {label: EmbeddingStore(place / label) for label in ways})
        embedders = {
            label: Embedder(load_backbone(network, settings), "cpu", precision)
            for label, (network, settings, precision) in ways.items()
        }
        _print_costs(name, {label: partial(_embed, embedder) for label, embedder in embedders.items()}, rounds)


def _settings(name: str, weights: Path | None) -> dict[str, Any]:
    return {} if weights is None else {"model" if name == "onnx" else "weights": str(weights.resolve())}


def _embed(network: Backbone | Embedder, size: int | None = None) -> float:
    """Embed the same waveforms on each core, `size` at a time, or as extraction does; returns how many."""
    waveform_BT = 0.1 * torch.randn(CROPS, SAMPLES, generator=torch.Generator().manual_seed(0))
    forward: Callable[[torch.Tensor], torch.Tensor] = network.forward if isinstance(network, Embedder) else network

    def embed(batch_BT: torch.Tensor) -> int:
        with torch.inference_mode():
            return sum(len(forward(part_BT)) for part_BT in batch_BT.split(size or CROPS))

    return sum(thread_map(embed, [waveform_BT] * lanes(), lanes(), lanes()))


def _print_costs(name: str, ways: dict[str, Callable[[], float]], rounds: int) -> None:
    seconds = take_turns(ways, rounds, time.process_time)
    table = Table(title=f"{name}: milliseconds of a core per waveform of {CROP_S:g} s")
    for label in ways:
        table.add_column(label)
    table.add_row(*(f"{1e3 * median(taken) / CROPS / lanes():.1f}" for taken in seconds.values()))
    console.print(table)


def _print_changes(name: str, stores: dict[str, EmbeddingStore]) -> None:
    table = Table(title=name)
    for column in ("precision", "view", "1 - cosine: mean", "largest", "EER %", "centred"):
        table.add_column(column)
    for view in VIEWS:
        reference_UD = unit_rows(stores["float32"].vectors(view).astype(np.float64))
        for label, store in stores.items():
            unit_UD = unit_rows(store.vectors(view).astype(np.float64))
            change_U = 1 - (unit_UD * reference_UD).sum(axis=1)
            rates = (_eer(store, units_UD) for units_UD in (unit_UD, unit_rows(unit_UD - unit_UD.mean(axis=0))))
            figures = [f"{change_U.mean():.1e}", f"{change_U.max():.1e}", *(f"{100 * rate:.2f}" for rate in rates)]
            table.add_row(label, view, *figures)
    console.print(table)


def _eer(store: EmbeddingStore, unit_UD: NDArray[np.float64]) -> float:
    return all_pairs_eer(unit_UD, np.array(store.speaker_ids()))


def _prepared(source: Path, kind: str, place: Path) -> Path:
    manifest = place / f"{kind}.parquet"
    prepare(source=source, utterances=manifest, rejects=place / "r.parquet", settings=PrepareSettings(), kind=kind)
    return manifest


def _first_of_each(rows: list[Utterance], speakers: int, utterances: int) -> list[Utterance]:
    taken: Counter[str | None] = Counter()
    chosen = []
    for row in rows:
        if taken[row.speaker_id] < utterances and (row.speaker_id in taken or len(taken) < speakers):
            taken[row.speaker_id] += 1
            chosen.append(row)
    return chosen


def _quantised(model: Path, calibration: Path | None, place: Path) -> dict[str, Path]:
    """Quantise weights (dynamic), and activations too by their ranges on some speech (static)."""
    dynamic, static, shaped = (place / f"{what}.onnx" for what in ("dynamic", "static", "shaped"))
    quantize_dynamic(model, dynamic, weight_type=QuantType.QUInt8)
    if calibration is None:
        return {"int8, dynamic": dynamic}
    quant_pre_process(model, shaped, skip_symbolic_shape=True)
    reader = _Calibration(load_backbone("onnx", {"model": str(model)}), calibration)
    unsigned, signed = QuantType.QUInt8, QuantType.QInt8  # the pair that CPUs have instructions for
    quantize_static(
        shaped,
        static,
        reader,
        per_channel=True,
        activation_type=unsigned,
        weight_type=signed,
        op_types_to_quantize=["Conv", "Add", "Relu"],
    )
    return {"int8, dynamic": dynamic, "int8, static": static}


class _Calibration(CalibrationDataReader):
    """What a network is fed for the first two seconds of some recordings."""

    def __init__(self, network: Backbone, speech: Path) -> None:
        assert isinstance(network, Onnx)
        paths = sorted(path for path in speech.rglob("*") if path.suffix in (".flac", ".wav"))
        spread = paths[:: max(1, len(paths) // CALIBRATION)][:CALIBRATION]
        self._fed = iter([{network.input.name: _features(network, path)} for path in spread])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._fed, None)


def _features(network: Onnx, path: Path) -> NDArray[np.float32]:
    wave_T, _ = soundfile.read(path, dtype="float32")
    fed: NDArray[np.float32] = network.features(torch.from_numpy(np.resize(wave_T, (1, SAMPLES)))).numpy()
    return fed


if __name__ == "__main__":
    main()
