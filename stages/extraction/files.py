"""For use from Python: recordings to vectors, read and embedded as `reseed extract` does, without a store.

Shapes: N recordings, D embedding dimension.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from reseed.stages.audio.bank import AudioBank
from reseed.stages.audio.decode import inspect
from reseed.stages.audio.location import Location
from reseed.stages.audio.manifest import Utterance
from reseed.stages.audio.opener import sha256_of
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.table import backbone_class, load_backbone
from reseed.stages.common.device import claimed
from reseed.stages.extraction.embedder import Embedder
from reseed.stages.extraction.utterance import UtteranceReader
from reseed.store import AudioError, ConfigError

_WHOLE = ExtractSettings(views={"clean": View()}, crops=CropSettings(duration_s=None, placement="even"))


def embed(
    paths: Iterable[str | Path],
    backbone: str = "ge2e",
    *,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Return the vectors of a few recordings, each taken whole: [N, D], float32, in the order of the paths.

    They are what `reseed extract` stores of whole utterances, view `clean`: channels averaged, resampled to the
    backbone's rate, as the network gives them, not of unit length. The backbone is loaded anew by every call, so give
    all paths at once. What needs parts of recordings, noise, or to be kept is a store's.

    Args:
        paths: files in any format that reseed reads, or URLs.
        backbone: its name in docs/backbones.md.
        settings: of the backbone, by name, e.g. {"weights": "model.pt"}; docs/settings.md lists them.
        device: cpu, cuda or auto.

    Raises:
        AudioError: a recording is missing, damaged or silent; names it. Nothing is returned of the others.
        ConfigError: no such backbone, setting or device.
        ModelError: the backbone's weights cannot be loaded.

    Example:
        >>> import numpy as np
        >>> from reseed import embed
        >>> vectors = embed(["speech/ada/1.flac", "speech/ada/2.flac", "speech/bob/1.flac"])
        >>> unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        >>> vectors.shape, bool(unit[0] @ unit[1] > unit[0] @ unit[2])
        ((3, 256), True)
    """
    if isinstance(paths, str | Path):
        raise ConfigError(f"paths are several in a list; give [{str(paths)!r}]")
    network = _loaded(backbone, settings or {})
    reader = UtteranceReader(_WHOLE, 0, AudioBank({}, network.sample_rate_hz), network.sample_rate_hz)
    embedder = Embedder(network, claimed(device))
    vectors = [_embedded(path, reader, embedder) for path in paths]
    return np.stack(vectors) if vectors else np.empty((0, network.embedding_dim), np.float32)


def _loaded(backbone: str, settings: Mapping[str, Any]) -> Backbone:
    known = backbone_class(backbone).Config.model_fields
    if unknown := [name for name in settings if name not in known]:
        raise ConfigError(f"backbone {backbone} has no setting {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    try:
        return load_backbone(backbone, settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "settings"
        raise ConfigError(f"backbone {backbone}: {key}: {first['msg']}; see docs/settings.md") from error


def _embedded(path: str | Path, reader: UtteranceReader, embedder: Embedder) -> NDArray[np.float32]:
    try:
        ((_, draw),) = reader.draws(_whole(path))
    except AudioError as error:
        raise AudioError(f"{path} {error}") from error
    vector_D: NDArray[np.float32] = embedder([draw])[0].cpu().numpy()
    if not np.isfinite(vector_D).all():
        raise AudioError(f"{path} gives a vector that is not finite; listen to it")
    return vector_D


def _whole(path: str | Path) -> Utterance:
    """Return a recording as the row of a manifest, decoded once from end to end as `reseed prepare` does."""
    where = Location.parse(str(path))
    try:
        found, sha256 = inspect(where), sha256_of(where)
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror})") from error
    if found.fault_of_mean:
        raise AudioError(f"{found.fault_of_mean}; write the channel that is wanted to a file")
    about = found.sample_rate_hz, found.channels, None, sha256
    return Utterance(str(path), str(where.resolved()), None, 0.0, found.duration_s, *about)
