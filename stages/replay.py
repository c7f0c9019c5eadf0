"""`replay`: render the audio behind a stored vector again, embed it, and compare."""

from collections.abc import Mapping
from pathlib import Path

from reseed.stages.extraction.replayer import Replayed, Replayer
from reseed.store import ConfigError


def replay(
    *,
    store: Path,
    utterance: str,
    view: str,
    crop: int = 0,
    out: Path | None = None,
    moved: Mapping[str, Path] | None = None,
    device: str = "cpu",
) -> Replayed:
    """Make one stored vector again from its recording.

    Args:
        out: write the rendered audio here, a .wav in float32, which clips nothing.
        moved: role ("utterances", "noise", ..., "backbone") -> manifest or weights, where they no longer lie where the
            store says.

    Raises:
        StoreError: no such vector, or a store that was not extracted from audio.
        ManifestError: a manifest is gone, or is another one than the store was made from.
        AudioError: the recording is gone or has changed.
    """
    if out is not None and out.suffix.lower() != ".wav":
        raise ConfigError(f"{out} is not a .wav, which alone holds what is louder than full scale; name one")
    return Replayer(store, moved=moved, device=device).replay(utterance, view, crop, out)
