"""What speech is mixed and convolved with: noises, music and responses of rooms.

MUSAN: Snyder, Chen, Povey, "MUSAN: A Music, Speech, and Noise Corpus", arXiv 1510.08484 (OpenSLR 17).
    musan/{noise,music,speech}/SOURCE/KIND-SOURCE-NNNN.wav; nobody says who speaks in its speech
RIRS_NOISES: Ko et al., "A study on data augmentation of reverberant speech", ICASSP 2017 (OpenSLR 28).
    RIRS_NOISES/simulated_rirs/{small,medium,large}room/RoomNNN/RoomNNN-NNNNN.wav
    RIRS_NOISES/real_rirs_isotropic_noises/*.wav, of which rir_list and noise_list say which is which
    RIRS_NOISES/pointsource_noises/noise-free-sound-NNNN.wav
DNS challenge: Reddy et al., Interspeech 2021; microsoft/DNS-Challenge, datasets_fullband/README.md and the archives of
download-dns-challenge-4.sh.
    datasets_fullband/noise_fullband/*.wav; datasets/noise/*.wav of the wide-band release
    datasets_fullband/impulse_responses/SLR26/simulated_rirs_48k/smallroom/RoomNNN/RoomNNN-NNNNN.wav, beside it SLR28
    with a copy of RIRS_NOISES
WHAM!: Wichern et al., Interspeech 2019. wham_noise/{tr,cv,tt}/*.wav, two channels
FSD50K: Fonseca et al., TASLP 2022. FSD50K.{dev,eval}_audio/NNN.wav; voices and music are among its sounds
ESC-50: Piczak, ACM Multimedia 2015. ESC-50-master/audio/FOLD-CLIP-TAKE-TARGET.wav
DEMAND: Thiemann, Ito, Vincent, 2013. PLACE/chNN.wav, one place by 16 microphones
QUT-NOISE: Dean et al., Interspeech 2010. QUT-NOISE/SCENE-PLACE-SESSION.wav
BUT ReverbDB: Szöke et al., JSTSP 2019; layout as in lhotse/recipes/but_reverb_db.py.
    ROOM/MICROPHONE/LOUDSPEAKER/POSITION/{RIR,silence}/*.wav
MIT IR Survey: Traer and McDermott, PNAS 2016. Audio/hNNN_PLACE_NNtxts.wav, a place each

Where a speaker would stand, an entry names its room or place: those of one belong on one side of a split.
"""

from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import WHOLE, Dataset, folder_of, splits_of
from reseed.stages.audio.datasets.trees import Tree
from reseed.stages.audio.listed import ListedRecording, read_lines

_RIRS_NOISES = "RIRS_NOISES"
_REAL = "real_rirs_isotropic_noises"
_LIST_OF = {"real": "rir_list", "isotropic": "noise_list"}


def _measured(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield what a list names: "--rir-id ID --room-id ROOM ... PATH", the path beginning above RIRS_NOISES."""
    list_name = _LIST_OF[split]
    folder = folder_of(title, root, _REAL, f"{_RIRS_NOISES}/{_REAL}", holding=list_name)
    for _, line in read_lines(folder / list_name):
        fields = line.split()
        options = dict(zip(fields[:-1:2], fields[1:-1:2], strict=False))
        path = folder / Path(fields[-1]).name
        room = options.get("--room-id") or options.get("--room-linkage")
        yield ListedRecording(f"{_REAL}/{path.stem}", path, room, split=split)


def _whole(kind: str, title: str, *places: str, inside: str = "**/*", id: str = "{path}") -> Dataset:
    return Dataset(title, {kind: {WHOLE: Tree(places, inside, id)}})


MUSAN = Dataset(
    "MUSAN",
    {
        kind: {WHOLE: Tree((kind, f"musan/{kind}"), "*/*", id=f"{kind}/{{path}}")}
        for kind in ("noise", "music", "speech")
    },
)
RIRS_NOISES = Dataset(
    _RIRS_NOISES,
    {
        "rir": {
            **splits_of(
                Tree(
                    ("simulated_rirs/{split}", f"{_RIRS_NOISES}/simulated_rirs/{{split}}", "{split}"),
                    "{room}/*",
                    id="simulated_rirs/{split}/{path}",
                    speaker="{split}/{room}",
                ),
                *("smallroom", "mediumroom", "largeroom"),
            ),
            "real": _measured,
        },
        "noise": {
            "pointsource": Tree(
                ("pointsource_noises", f"{_RIRS_NOISES}/pointsource_noises"), "*", id="pointsource_noises/{path}"
            ),
            "isotropic": _measured,
        },
    },
)
_FULLBAND, _ROOMS = "datasets_fullband", "impulse_responses/SLR26"
DNS = Dataset(
    "DNS challenge",
    {
        "noise": {
            "fullband": Tree((f"{_FULLBAND}/noise_fullband", "noise_fullband"), "**/*"),
            "wideband": Tree(("datasets/noise", "noise"), "**/*"),
        },
        "rir": {
            "slr26": Tree(
                (f"{_FULLBAND}/{_ROOMS}", f"datasets/{_ROOMS}", _ROOMS, "SLR26"),
                "simulated_rirs_*/{size}/{room}/*",
                speaker="{size}/{room}",
            )
        },
    },
)
WHAM = Dataset("WHAM!", {"noise": splits_of(Tree(("{split}", "wham_noise/{split}"), "*"), "tr", "cv", "tt")})
FSD50K = Dataset(
    "FSD50K", {"noise": splits_of(Tree(("FSD50K.{split}_audio", "FSD50K/FSD50K.{split}_audio"), "*"), "dev", "eval")}
)
ESC50 = _whole("noise", "ESC-50", "audio", "ESC-50-master/audio", "ESC-50/audio", inside="*-*-*-*")
DEMAND = Dataset(
    "DEMAND",
    {
        "noise": {
            "ch01": Tree((".", "DEMAND", "demand"), "{room}/ch01", speaker="{room}", only=True),
            WHOLE: Tree((".", "DEMAND", "demand"), "{room}/ch*", speaker="{room}", only=True),
        }
    },
)
QUT_NOISE = _whole("noise", "QUT-NOISE", "QUT-NOISE/QUT-NOISE", "QUT-NOISE", ".", inside="*-*-*")
BUT_REVERB = Dataset(
    "BUT ReverbDB",
    {
        kind: {WHOLE: Tree((".", "BUT_ReverbDB", "*"), f"{{room}}/*/*/*/{part}/*", speaker="{room}", only=True)}
        for kind, part in (("rir", "RIR"), ("noise", "silence"))
    },
)
MIT_IR = Dataset("MIT IR Survey", {"rir": {WHOLE: Tree(("Audio", "."), "{room}_*txts", "{stem}", speaker="{room}")}})
