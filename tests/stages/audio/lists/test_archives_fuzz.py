"""Archives damaged at random: what is listed is what was put in, the rest is a reject, and nothing hangs or is lost."""

import os
import zipfile

import numpy as np
import pytest

from reseed.stages.audio.lists.table import list_recordings
from reseed.stages.audio.location import Location
from reseed.stages.audio.opener import opened_bytes
from reseed.store import AudioError, ManifestError
from tests.stages.audio.lists.test_archives import CORPUS, ark, parquet, shar, tar, zipped

ROUNDS = 6 * int(os.environ.get("RESEED_KILLS", "1"))
SMALL = {name: data[:3000] for name, data in CORPUS.items()}  # what they hold is not decoded here
MAKERS = {
    "tar": lambda folder: tar(folder / "a.tar", SMALL),
    "stored zip": lambda folder: zipped(folder / "a.zip", SMALL),
    "deflated zip": lambda folder: zipped(folder / "a.zip", SMALL, zipfile.ZIP_DEFLATED),
    "ark": lambda folder: (ark(folder / "a.ark", SMALL), folder / "a.ark")[1],
    "Shar": lambda folder: shar(folder / "shar", SMALL, shards=1) / "recording.000000.tar",
    "Parquet": lambda folder: parquet(folder / "tables", SMALL) / "train-00000-of-00002.parquet",
}


@pytest.mark.parametrize("kind", MAKERS)
def test_of_damaged_archives_nothing_else_is_read_than_was_put_in(kind, tmp_path):
    path = MAKERS[kind](tmp_path)
    whole, draw = path.read_bytes(), np.random.default_rng(len(kind))
    counts = {"same": 0, "changed": 0, "refused": 0, "rejected": 0}
    for number in range(ROUNDS):
        damaged = bytearray(whole)
        if number % 3 == 0:
            del damaged[int(draw.integers(len(whole))) :]
        else:
            for place in draw.integers(len(whole), size=1 if number % 3 == 1 else 40):
                damaged[place] = int(draw.integers(256))
        path.write_bytes(damaged)
        source = path.parent if kind == "Shar" else path
        try:
            rows = list(list_recordings(source, 1, None, []))
        except ManifestError:
            counts["refused"] += 1
            continue
        found = [_held(Location.of(row.path)) if row.problem is None else "rejected" for row in rows]
        for each in found:
            counts[each] += 1
        if kind != "Parquet":  # whose names are not those of members
            lost = {name.removesuffix(".flac") for name in SMALL} - {row.utterance_id for row in rows}
            is_renamed = kind == "ark" and len(rows) == len(SMALL)  # which has no checksum of its keys
            assert not lost or "rejected" in found or is_renamed, (number, lost)
    assert counts["same"] >= ROUNDS
    assert counts["rejected"] + counts["refused"] + counts["changed"] > 0


def _held(location: Location) -> str:
    """Whether a recording is as it was put in, other than that, or cannot be opened."""
    try:
        with opened_bytes(location) as file:
            return "same" if file.read() in SMALL.values() else "changed"
    except (AudioError, OSError):
        return "rejected"
