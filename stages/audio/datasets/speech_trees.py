"""Speech whose folders name the speakers.

AISHELL-1: Bu et al., O-COCOSDA 2017 (OpenSLR 33). data_aishell/wav/{train,dev,test}/SPEAKER/*.wav
AISHELL-2: Du et al., arXiv 1808.10583. AISHELL-2/iOS/{data,dev,test}/wav/SPEAKER/*.wav
AISHELL-3: Shi et al., Interspeech 2021 (OpenSLR 93). {train,test}/wav/SPEAKER/*.wav
VCTK: Yamagishi et al., 2019. wav48_silence_trimmed/pNNN/pNNN_NNN_mic1.flac, each sentence by two microphones; until
0.80 wav48/pNNN/pNNN_NNN.wav
    (these four as in the recipes of lhotse)
VoxBlink: Lin et al., ICASSP 2024; VoxBlink/ScriptsForVoxBlink, cropper.py.
    data/audio/idNNNNN/VIDEO/NNNNN.wav; resource/data/utt_clean lists idNNNNN-VIDEO-NNNNN
VoxBlink2: Lin et al., Interspeech 2024; VoxBlink2/ScriptsForVoxBlink2, cropper_audio.py. idNNNNNN/VIDEO/NNNNN.wav
TidyVoice: Farhadipour et al., "TidyVoice 2026 Challenge Evaluation Plan", arXiv 2601.21960, from Mozilla Common Voice;
tidyvoice2026.github.io, "Data Structure". TidyVoiceX_{Train,Dev}/SPEAKER/LANGUAGE/*.wav
HI-MIA: Qin, Bu, Li, ICASSP 2020 (OpenSLR 85), and its confusable words (OpenSLR 120); layout as in lhotse.
    {train,dev}/SPEECHDATA/wav/SPEAKER/SPEAKER_DEVICE_MICROPHONE_NNNNN.wav; test/wav/*.wav; cw_test/16k_wav_file/*.wav
"""

from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import WHOLE, Dataset, Listing, folder_of, splits_of
from reseed.stages.audio.datasets.trees import Tree
from reseed.stages.audio.listed import ListedRecording, read_lines


def _tree(*places: str, inside: str = "{speaker}/*", id: str = "{stem}") -> Tree:
    return Tree(places, inside, id, speaker="{speaker}")


def _voxblink_clean(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield what utt_clean lists; the ids of videos have hyphens of their own."""
    listed = folder_of(title, root, "resource/data", "data", ".", holding="utt_clean") / "utt_clean"
    audio = folder_of(title, root, *_VOXBLINK_AUDIO, holding="id*/*/*.*")
    for _, name in read_lines(listed):
        speaker, _, rest = name.partition("-")
        video, _, number = rest.rpartition("-")
        utterance_id = f"{speaker}/{video}/{number}"
        yield ListedRecording(utterance_id, audio / f"{utterance_id}.wav", speaker, split=split)


_VOXBLINK_AUDIO = ("data/audio", "audio", ".")
_TIDY = "TidyVoiceX_"
_TIDY_PLACES: dict[str, Listing] = {
    split: Tree((f"{_TIDY}{folder}", f"*/{_TIDY}{folder}"), "{speaker}/{language}/*", speaker="{speaker}")
    for split, folder in (("train", "Train"), ("dev", "Dev"))
}

AISHELL1 = Dataset(
    "AISHELL-1", {"speech": splits_of(_tree("data_aishell/wav/{split}", "wav/{split}"), "train", "dev", "test")}
)
AISHELL2 = Dataset(
    "AISHELL-2",
    {
        "speech": {
            split: _tree(f"AISHELL-2/iOS/{folder}/wav", f"iOS/{folder}/wav")
            for split, folder in (("train", "data"), ("dev", "dev"), ("test", "test"))
        }
    },
)
AISHELL3 = Dataset(
    "AISHELL-3",
    {"speech": splits_of(_tree("{split}/wav", "data_aishell3/{split}/wav", "AISHELL-3/{split}/wav"), "train", "test")},
)
VCTK = Dataset(
    "VCTK",
    {
        "speech": {
            **splits_of(
                Tree(
                    ("wav48_silence_trimmed", "*/wav48_silence_trimmed"),
                    "{speaker}/*_{split}",
                    "{stem}",
                    "{speaker}",
                    only=True,
                ),
                *("mic1", "mic2"),
            ),
            "wav48": _tree("wav48", "*/wav48"),
        }
    },
)
VOXBLINK = Dataset(
    "VoxBlink",
    {"speech": {WHOLE: _tree(*_VOXBLINK_AUDIO, inside="{speaker:id*}/*/*", id="{path}"), "clean": _voxblink_clean}},
)
VOXBLINK2 = Dataset("VoxBlink2", {"speech": {WHOLE: _tree("audio", ".", inside="{speaker:id*}/*/*", id="{path}")}})
TIDYVOICE = Dataset(
    "TidyVoice",
    {"speech": {**_TIDY_PLACES, "eval": Tree((f"{_TIDY}Eval*", f"{_TIDY}eval*", f"*/{_TIDY}Eval*"), "**/*", "{stem}")}},
)
HI_MIA = Dataset(
    "HI-MIA",
    {
        "speech": {
            **splits_of(_tree("{split}/SPEECHDATA/wav"), "train", "dev"),
            "test": _tree("test/wav", "test_v2/wav", inside="{speaker:SV*}_*"),
            "cw": _tree("cw_test/16k_wav_file", "16k_wav_file", inside="{speaker}_*"),
        }
    },
)
