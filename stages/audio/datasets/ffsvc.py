"""The far-field speaker verification challenges of 2020 and 2022, Mandarin by telephones, tablets and arrays at home.

FFSVC 2020: Qin et al., "The INTERSPEECH 2020 Far-Field Speaker Verification Challenge", Interspeech 2020.
    wav/{train,dev}/VNNNN/POSITION/VNNNN_POSITION_..._NNNN_SPEED.wav: visit F, S or T of speaker NNNN
    The supplement of 2022 has names of that form: T0344_344I1M_1_0307_normal.
FFSVC 2022: Qin et al., arXiv 2209.05273; ffsvc.github.io, assets/ffsvc2022.
    ffsvc22_dev_NNNNNN.wav; dev_meta_list says which name of that form each has. Trials name these files
"""

import re
from collections.abc import Mapping
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, splits_of
from reseed.stages.audio.datasets.trees import Label, Tree
from reseed.stages.audio.listed import read_lines

_META = "dev_meta_list"
_ORIGINAL = re.compile(r"[FST](\d{4})_.*")


def _of_meta_list(folder: Path, split: str) -> Mapping[str, Label]:
    """Return the speakers by dev_meta_list, lines "T0344_344I1M_1_0307_normal ffsvc22_dev_000000" below a header."""
    found = next((above / _META for above in (folder, *folder.parents[:2]) if (above / _META).is_file()), None)
    labels = {}
    for _, line in read_lines(found) if found else ():
        original, _, name = line.partition(" ")
        if match := _ORIGINAL.fullmatch(original):
            labels[Path(name.strip()).stem] = Label(match[1])
    return labels


FFSVC2020 = Dataset(
    "FFSVC 2020",
    {
        "speech": {
            **splits_of(
                Tree(
                    ("wav/{split}", "ffsvc2020_data/wav/{split}", "{split}"),
                    "?{speaker:????}/*/*",
                    "{stem}",
                    speaker="{speaker}",
                ),
                *("train", "dev"),
            ),
            "supplement": Tree((".",), "**/?{speaker:????}_*_*_*", "{stem}", speaker="{speaker}", only=True),
        }
    },
)
FFSVC2022 = Dataset(
    "FFSVC 2022",
    {
        "speech": splits_of(
            Tree((".", "{split}", "*", "*/*"), "ffsvc22_{split}_*", "{stem}", labels=_of_meta_list, only=True),
            *("dev", "eval"),
        )
    },
)
