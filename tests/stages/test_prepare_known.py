"""A corpus that has grown: what an earlier manifest lists is not decoded once more."""

import os
from pathlib import Path

import numpy as np
import pytest

from reseed.stages.audio import candidates
from reseed.stages.audio.manifest import read_manifest
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import ManifestError
from tests.corpus import voice, write_corpus, write_wave


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "audio", splits=("train",), speakers=2, takes=2) / "speech" / "train"


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of what is decoded from now on."""
    names: list[str] = []
    inspect = candidates.inspect
    monkeypatch.setattr(candidates, "inspect", lambda place: names.append(Path(place.file).name) or inspect(place))
    return names


def run(speech: Path, name: str, known: str | None = None, **settings) -> str:
    folder = speech.parents[2]
    return prepare(
        source=speech,
        utterances=folder / name,
        rejects=folder / f"{name}.rejects",
        settings=PrepareSettings(**settings),
        known=known and folder / known,
    )


def same(speech: Path, first: str, second: str) -> bool:
    folder = speech.parents[2]
    return (folder / first).read_bytes() == (folder / second).read_bytes()


def test_only_what_is_new_or_changed_is_decoded_and_the_manifest_is_that_of_all(speech, decoded):
    run(speech, "old")
    write_wave(speech / "toy" / "s7" / "s7-0.flac", voice(3, 7))
    write_wave(speech / "toy" / "s7" / "silent.flac", np.zeros(16_000))
    write_wave(speech / "toy" / "s1" / "s1-0.flac", voice(4, 7))
    os.utime(speech / "toy" / "s1" / "s1-0.flac", ns=(0, 0))  # a copy may keep an old time
    (speech / "toy" / "s0" / "s0-0.flac").unlink()
    decoded.clear()
    said = run(speech, "new", known="old")
    assert sorted(decoded) == ["s1-0.flac", "s7-0.flac", "silent.flac"]
    assert "2 recordings" in said
    assert "beside 2 known by" in said
    assert "1 of those it lists are others now" in said
    run(speech, "fresh")
    assert same(speech, "new", "fresh")
    assert same(speech, "new.rejects", "fresh.rejects")


def test_what_is_touched_and_the_same_is_hashed_alone_and_a_manifest_may_be_brought_up_to_date(speech, decoded):
    run(speech, "old")
    before = (speech.parents[2] / "old").read_bytes()
    for path in speech.rglob("*.flac"):
        path.touch()
    decoded.clear()
    assert "nothing new, 0 rejected, beside" in run(speech, "old", known="old")
    assert decoded == []
    assert (speech.parents[2] / "old").read_bytes() == before


def test_another_speaker_or_channel_is_not_what_is_known(speech, decoded):
    stereo = np.stack([voice(1, 8), voice(2, 8)], axis=1)
    write_wave(speech / "toy" / "s8" / "s8-0.wav", stereo)
    run(speech, "each", channels="each")
    decoded.clear()
    assert "nothing new, 0 rejected, beside" in run(speech, "again", known="each", channels="each")
    assert same(speech, "again", "each")
    assert decoded == []
    run(speech, "deep", known="each", channels="each", speaker_depth=2)
    assert len(decoded) == 5
    assert {row.speaker_id for row in read_manifest(speech.parents[2] / "deep")} == {"toy"}


def test_a_manifest_that_does_not_say_all_that_is_asked_for_is_refused(speech):
    run(speech, "old")
    with pytest.raises(ManifestError, match="old says nothing of speech_s; prepare without it once"):
        run(speech, "new", known="old", vad="energy")
    with pytest.raises(ManifestError, match="does not exist"):
        run(speech, "new", known="nowhere")
