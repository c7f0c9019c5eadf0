"""`reseed check-backbone`: whether a backbone gives what its published weights are known to give."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from reseed.stages.backbones.golden import NUMBERS, TOLERANCE, Golden, golden_vector, known
from reseed.stages.backbones.table import load_backbone
from reseed.store import ModelError


def check_backbone(*, backbone: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Embed a generated waveform and compare the vector's first eight numbers with those known of the weights.

    Yields:
        What the backbone is, its numbers, and whether they agree or nothing is known of these weights.

    Raises:
        ConfigError: no such backbone or settings.
        ModelError: its weights cannot be loaded, or the numbers are others.
    """
    network = load_backbone(backbone, settings).frozen()
    vector_D, expected = golden_vector(network), known(network)
    if not np.isfinite(vector_D).all():
        raise ModelError(
            f"{backbone} gives a vector that is not finite for the generated waveform; choose other weights"
        )
    found = [float(number) for number in vector_D[:NUMBERS]]
    yield f"{network.space}: {network.embedding_dim} dimensions, {network.sample_rate_hz} Hz"
    yield from (f"{key}: {value}" for key, value in network.identity().items() if key != "backbone")
    yield f"generated waveform: {_text(found)} ..."
    if expected is None:
        yield "these weights are none that a vector is known of"
        return
    _compare(backbone, found, float(np.linalg.norm(vector_D)), expected)
    yield f"agrees with {expected.name}"


def _compare(backbone: str, found: Sequence[float], length: float, expected: Golden) -> None:
    difference = max(abs(a - b) for a, b in zip(found, expected.numbers, strict=True)) / length
    if difference > TOLERANCE:
        raise ModelError(
            f"{backbone} gives {_text(found)} for the generated waveform, where the weights of {expected.name} give "
            f"{_text(expected.numbers)}: features or settings are others than those the network was trained with"
        )


def _text(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.4f}" for number in numbers)
