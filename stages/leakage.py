"""`leakage`: the manifests of training and evaluation -> what they share, by content."""

from collections.abc import Mapping
from pathlib import Path

from reseed.stages.audio.manifest import Manifest
from reseed.stages.audio.shared import shared, write_shared


def leakage(*, training: Mapping[str, Path], evaluation: Mapping[str, Path], found: Path | None = None) -> list[str]:
    """Return what both sides hear, a sentence each; nothing where they are apart.

    Args:
        training, evaluation: what recordings are ("utterances", "babble", "noise", "music", "rir") -> their manifest.
        found: the same as JSON, to write.

    Raises:
        ManifestError: a manifest cannot be read.
    """
    sides = ({role: Manifest(path) for role, path in side.items()} for side in (training, evaluation))
    every = shared(*sides)
    if found is not None:
        write_shared(found, every)
    return [str(each) for each in every]
