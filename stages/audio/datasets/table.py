"""Public data sets in the layouts in which they are published: name -> what it holds and how it is listed."""

from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset
from reseed.stages.audio.datasets.cnceleb import CN_CELEB, CN_CELEB2
from reseed.stages.audio.datasets.libri import LIBRI_LIGHT, LIBRITTS_R
from reseed.stages.audio.datasets.noises import MUSAN, RIRS_NOISES
from reseed.stages.audio.datasets.speechocean import SPEECHOCEAN762
from reseed.stages.audio.datasets.voices import VOICES
from reseed.stages.audio.datasets.voxceleb import VOXCELEB1, VOXCELEB2
from reseed.stages.audio.datasets.voxconverse import VC_MIX, VOXCONVERSE, VOXCONVERSE_TURNS
from reseed.stages.audio.sources import Entry
from reseed.store import ConfigError

DATASETS: dict[str, Dataset] = {
    "libritts_r": LIBRITTS_R,
    "libri_light": LIBRI_LIGHT,
    "voxceleb1": VOXCELEB1,
    "voxceleb2": VOXCELEB2,
    "voxconverse": VOXCONVERSE,
    "voxconverse_turns": VOXCONVERSE_TURNS,
    "vc_mix": VC_MIX,
    "voices": VOICES,
    "cnceleb": CN_CELEB,
    "cnceleb2": CN_CELEB2,
    "speechocean762": SPEECHOCEAN762,
    "musan": MUSAN,
    "rirs_noises": RIRS_NOISES,
}


def dataset_entries(name: str, root: Path, kind: str, split: str | None) -> Iterator[Entry]:
    """Yield what a public data set holds, unpacked at `root`.

    Args:
        name: one of DATASETS.
        root: the folder it was unpacked into, or the one that its archive makes there.
        kind: "speech", "noise", "music" or "rir".
        split: the data set's own name of a part, or several joined by "+"; may be left out where there is but one.

    Raises:
        ConfigError: no such data set, kind or split; names those there are.
        ManifestError: `root` is not that data set; names the folder that was looked for.
    """
    if name not in DATASETS:
        raise ConfigError(f"no data set {name!r}; choose one of {', '.join(DATASETS)}, or none for folders and lists")
    return DATASETS[name].entries(root, kind, split)
