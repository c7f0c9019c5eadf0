"""Public data sets in the layouts in which they are published: name -> what it holds and how it is listed."""

from reseed.stages.audio.datasets.base import Dataset
from reseed.stages.audio.datasets.cnceleb import CN_CELEB, CN_CELEB2
from reseed.stages.audio.datasets.commonvoice import COMMON_VOICE
from reseed.stages.audio.datasets.ffsvc import FFSVC2020, FFSVC2022
from reseed.stages.audio.datasets.hub import GLOBE, PEOPLES_SPEECH
from reseed.stages.audio.datasets.libri import LIBRI_LIGHT, LIBRISPEECH, LIBRITTS, LIBRITTS_R
from reseed.stages.audio.datasets.noises import (
    BUT_REVERB,
    DEMAND,
    DNS,
    ESC50,
    FSD50K,
    MIT_IR,
    MUSAN,
    QUT_NOISE,
    RIRS_NOISES,
    WHAM,
)
from reseed.stages.audio.datasets.sitw import SITW
from reseed.stages.audio.datasets.speech_trees import (
    AISHELL1,
    AISHELL2,
    AISHELL3,
    HI_MIA,
    TIDYVOICE,
    VCTK,
    VOXBLINK,
    VOXBLINK2,
)
from reseed.stages.audio.datasets.speechocean import SPEECHOCEAN762
from reseed.stages.audio.datasets.sre import SRE16, SRE16_KALDI, SRE18, SRE21, SRE24, SRE_CTS
from reseed.stages.audio.datasets.threedspeaker import THREED_SPEAKER
from reseed.stages.audio.datasets.voices import VOICES
from reseed.stages.audio.datasets.voxceleb import VOXCELEB1, VOXCELEB2
from reseed.stages.audio.datasets.voxconverse import VC_MIX, VOXCONVERSE, VOXCONVERSE_TURNS
from reseed.stages.audio.datasets.voxsrc import VOXSRC
from reseed.stages.common.plugins import Table

DATASETS: Table[Dataset] = Table(
    "data set",
    "reseed.datasets",
    Dataset,
    {
        "libritts_r": LIBRITTS_R,
        "libri_light": LIBRI_LIGHT,
        "librispeech": LIBRISPEECH,
        "libritts": LIBRITTS,
        "voxceleb1": VOXCELEB1,
        "voxceleb2": VOXCELEB2,
        "voxsrc": VOXSRC,
        "voxconverse": VOXCONVERSE,
        "voxconverse_turns": VOXCONVERSE_TURNS,
        "vc_mix": VC_MIX,
        "voxblink": VOXBLINK,
        "voxblink2": VOXBLINK2,
        "voices": VOICES,
        "sitw": SITW,
        "cnceleb": CN_CELEB,
        "cnceleb2": CN_CELEB2,
        "3dspeaker": THREED_SPEAKER,
        "hi_mia": HI_MIA,
        "ffsvc2020": FFSVC2020,
        "ffsvc2022": FFSVC2022,
        "aishell1": AISHELL1,
        "aishell2": AISHELL2,
        "aishell3": AISHELL3,
        "speechocean762": SPEECHOCEAN762,
        "tidyvoice": TIDYVOICE,
        "common_voice": COMMON_VOICE,
        "globe": GLOBE,
        "peoples_speech": PEOPLES_SPEECH,
        "vctk": VCTK,
        "sre16": SRE16,
        "sre16_kaldi": SRE16_KALDI,
        "sre18": SRE18,
        "sre21": SRE21,
        "sre24": SRE24,
        "sre_cts": SRE_CTS,
        "musan": MUSAN,
        "rirs_noises": RIRS_NOISES,
        "dns": DNS,
        "wham": WHAM,
        "fsd50k": FSD50K,
        "esc50": ESC50,
        "demand": DEMAND,
        "qut_noise": QUT_NOISE,
        "but_reverb": BUT_REVERB,
        "mit_ir": MIT_IR,
    },
)
