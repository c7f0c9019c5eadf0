"""3D-Speaker, Mandarin and its dialects by several devices at several distances.

Zheng et al., "3D-Speaker: A Large-Scale Multi-Device, Multi-Distance, and Multi-Dialect Corpus", arXiv 2306.15354;
layout as in modelscope/3D-Speaker, egs/3dspeaker/sv-eres2net/local/prepare_data.sh.
    files/{train,test}_wav.scp, lines "ID PATH", the path counting from above files; files/{train,test}_utt2spk
    files/trials_cross_{device,distance,dialect}
Ids are such as 3D_SPK_06154_001_Device03_Distance00_Dialect00.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, folder_of, splits_of
from reseed.stages.audio.kaldi import read_kaldi_table
from reseed.stages.audio.listed import ListedRecording

_DIALECT = re.compile(r"Dialect\d+")


def _listed(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield what a wav.scp lists; the dialect stands for the language."""
    folder = folder_of(title, root, "files", "3dspeaker/files", holding=f"{split}_wav.scp")
    speakers = read_kaldi_table(folder / f"{split}_utt2spk")
    for utterance_id, path in read_kaldi_table(folder / f"{split}_wav.scp").items():
        dialect = _DIALECT.search(utterance_id)
        yield ListedRecording(
            utterance_id,
            folder.parent / path,
            speakers.get(utterance_id),
            split=split,
            language=dialect and dialect[0],
        )


THREED_SPEAKER = Dataset("3D-Speaker", {"speech": splits_of(_listed, "train", "test")})
