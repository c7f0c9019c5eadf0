"""Public data sets in the layouts in which they are published: name -> what it holds and how it is listed."""

from reseed.stages.audio.datasets.base import Dataset
from reseed.stages.audio.datasets.cnceleb import CN_CELEB, CN_CELEB2
from reseed.stages.audio.datasets.libri import LIBRI_LIGHT, LIBRITTS_R
from reseed.stages.audio.datasets.noises import MUSAN, RIRS_NOISES
from reseed.stages.audio.datasets.speechocean import SPEECHOCEAN762
from reseed.stages.audio.datasets.voices import VOICES
from reseed.stages.audio.datasets.voxceleb import VOXCELEB1, VOXCELEB2
from reseed.stages.audio.datasets.voxconverse import VC_MIX, VOXCONVERSE, VOXCONVERSE_TURNS

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
