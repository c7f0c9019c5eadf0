"""`replay`: render the audio behind a stored vector again, embed it, and compare."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from reseed.stages.audio.encode import check_writable
from reseed.stages.extraction.replayer import Replayed, Replayer
from reseed.store import ConfigError
from reseed.store.outputs import check_apart
from reseed.store.url import AnyPath, Url


def replay(
    *,
    store: AnyPath,
    utterance: str,
    view: str,
    crop: int = 0,
    out: Path | None = None,
    moved: Mapping[str, Path] | None = None,
    recordings: Sequence[Path | Url] = (),
    device: str = "cpu",
) -> Replayed:
    """Make one stored vector again from its recording.

    Args:
        out: write the rendered audio here, a .wav in float32, which clips nothing.
        moved: role ("utterances", "noise", ..., "backbone") -> manifest or weights, where they no longer lie where the
            store says.
        recordings: folders in which manifests and recordings may be opened, beside that of the store's run.

    Raises:
        StoreError: no such vector, or a store that was not extracted from audio.
        ManifestError: a manifest is gone, or is another one than the store was made from.
        AudioError: the recording is gone or has changed.
    """
    if out is not None and out.suffix.lower() != ".wav":
        raise ConfigError(f"{out} is not a .wav, which alone holds what is louder than full scale; name one")
    if out is not None:
        check_apart([out], [store])
        check_writable(out)
    return Replayer(store, moved=moved, recordings=recordings, device=device).replay(utterance, view, crop, out)
