"""What the VoxCeleb speaker recognition challenges add to VoxCeleb1, with ids as in their lists of trials.

Nagrani et al., "VoxSRC 2020", arXiv 2012.06867; Brown et al., "VoxSRC 2021", arXiv 2201.04583; Huh et al., "VoxSRC
2022", arXiv 2302.10248; a-nagrani/VoxSRC2020, JaesungHuh/VoxSRC2023, hyperion/data_prep/voxsrc22.py of hyperion.
    2020: voxceleb1/idNNNNN/VIDEO/NNNNN.wav, voxceleb1_cd/idNNNNN/NNNNNN.wav, named so by the trials
    2021: VoxCeleb1 alone, as the trials of Vox1-E
    2022: idNNNNN/VIDEO/NNNNN.wav of VoxCeleb1, VoxSRC2022_dev/dev_NNNNN.wav
    2023: VoxSRC2023_val/NNNNNN.wav and VoxSRC2023_test/, of which the trials name the files alone
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, Listing
from reseed.stages.audio.datasets.trees import Tree
from reseed.stages.audio.datasets.voxceleb import VOXCELEB1
from reseed.stages.audio.listed import ListedRecording

_CROSS_DOMAIN = Tree(("voxceleb1_cd",), "{speaker}/*", id="voxceleb1_cd/{path}", speaker="{speaker}")
_OF_2022 = Tree(("VoxSRC2022_dev",), "*", id="VoxSRC2022_dev/{path}")


def _beside_voxceleb1(tree: Tree, prefix: str) -> Listing:
    """Return the listing of a tree and of all that is in VoxCeleb1, whose ids get a prefix."""

    def listed(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
        yield from tree(title, root, split)
        voxceleb1 = root / "voxceleb1"
        for each in VOXCELEB1.recordings(voxceleb1 if voxceleb1.is_dir() else root, "speech", "dev+test"):
            yield replace(each, utterance_id=f"{prefix}{each.utterance_id}", split=split)

    return listed


VOXSRC = Dataset(
    "VoxSRC",
    {
        "speech": {
            "2020-val": _beside_voxceleb1(_CROSS_DOMAIN, "voxceleb1/"),
            "2022-val": _beside_voxceleb1(_OF_2022, ""),
            **{
                f"2023-{part}": Tree((f"VoxSRC2023_{part}", f"*/VoxSRC2023_{part}"), "**/*", id="{stem}")
                for part in ("val", "test")
            },
        }
    },
)
