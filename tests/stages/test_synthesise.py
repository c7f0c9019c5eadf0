"""The synthetic corpus: laid out like any corpus, all or nothing, and the same bytes each time."""

import hashlib
import multiprocessing
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from reseed.stages import synthesise as module
from reseed.stages.synthesis import espeak
from reseed.stages.synthesis.music import MUSIC_STYLES
from reseed.stages.synthesis.noises import NOISE_KINDS, make_noise
from reseed.stages.synthesis.seeds import generator_for
from reseed.stages.synthesis.voices import plan_voices
from reseed.stages.synthesise import PerSplit, SynthesiseSettings, synthesise
from reseed.store import AudioError, ConfigError

SPLITS = ("train", "dev", "test")
ONE = PerSplit(train=1, dev=1, test=1)
TINY = SynthesiseSettings(
    voices=PerSplit(train=2, dev=2, test=2),
    utterances_per_voice=PerSplit(train=2, dev=1, test=1),
    noises=PerSplit(train=2, dev=2, test=2),
    noise_duration_s=1.0,
    music=ONE,
    music_duration_s=1.0,
    rooms=ONE,
    positions_per_room=2,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "corpus"
    synthesise(root=root, settings=TINY, seed=3)
    return root


def _files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _folders(root: Path, kind: str, split: str) -> set[str]:
    return {path.parent.name for path in (root / kind / split).rglob("*.flac")}


def test_the_corpus_is_laid_out_like_a_corpus_folder(corpus):
    assert sorted(path.name for path in corpus.iterdir()) == [
        "README.md",
        "music",
        "noise",
        "rir",
        "speech",
        "synthesis.json",
    ]
    for split in SPLITS:
        voices = list((corpus / "speech" / split / "espeak").iterdir())
        assert len(voices) == 2
        for voice in voices:
            expected = [f"{voice.name}-{n:02d}.flac" for n in range(getattr(TINY.utterances_per_voice, split))]
            assert sorted(path.name for path in voice.iterdir()) == expected
        assert len(list((corpus / "noise" / split).rglob("*.flac"))) == 2
        assert len(list((corpus / "music" / split).rglob("*.flac"))) == 1
        assert len(list((corpus / "rir" / split).rglob("*.flac"))) == 2


def test_the_readme_says_first_that_all_of_it_is_synthetic(corpus):
    first_line = (corpus / "README.md").read_text(encoding="utf-8").splitlines()[0]
    assert "synthetic" in first_line
    assert "seed 3" in first_line


def test_every_file_is_16_bit_mono_at_16_khz(corpus):
    for path in corpus.rglob("*.flac"):
        info = sf.info(path)
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16_000, 1), path


def test_no_recording_is_silent_or_clipped_anywhere(corpus):
    for path in corpus.rglob("*.flac"):
        waveform, _ = sf.read(path)
        assert 0.01 < np.abs(waveform).max() < 1.0, path
        if "rir" not in path.parts:
            tenths = waveform[: len(waveform) // 1600 * 1600].reshape(-1, 1600)
            assert np.sqrt((tenths**2).mean(axis=1)).min() > 1e-4, path


def test_utterances_last_seconds_at_the_level_of_speech(corpus):
    for path in (corpus / "speech").rglob("*.flac"):
        waveform, _ = sf.read(path)
        assert 2 < len(waveform) / 16_000 < 7, path
        assert -27 < 20 * np.log10(np.sqrt((waveform**2).mean())) < -19, path


def test_responses_begin_just_before_the_direct_path_and_last_at_most_a_second(corpus):
    for path in (corpus / "rir").rglob("*.flac"):
        response, _ = sf.read(path)
        assert len(response) <= 16_000
        assert np.abs(response).max() == pytest.approx(0.98, abs=1e-3)
        assert np.abs(response[:20]).max() < 0.2 < np.abs(response[:60]).max(), path


@pytest.mark.parametrize("kind", ["speech", "noise", "music", "rir"])
def test_splits_share_no_voice_noise_kind_style_or_room(corpus, kind):
    train, dev, test = (_folders(corpus, kind, split) for split in SPLITS)
    assert not train & dev
    assert not train & test
    assert not dev & test


def test_the_same_seed_gives_the_same_bytes_even_into_an_empty_folder(corpus, tmp_path):
    (tmp_path / "again").mkdir()
    synthesise(root=tmp_path / "again", settings=TINY, seed=3)
    assert _files(tmp_path / "again") == _files(corpus)


def test_a_second_call_does_nothing(corpus):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    synthesise(root=corpus, settings=TINY, seed=3)
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_a_corpus_without_its_record_and_the_rest_of_a_killed_build_make_way_for_a_new_one(tmp_path, corpus):
    dead = f".corpus.tmp-{socket.gethostname()}-{2**22 + 1}"  # above every process number
    for name in ("corpus", dead):
        shutil.copytree(corpus, tmp_path / name)
        (tmp_path / name / "synthesis.json").unlink()
    synthesise(root=tmp_path / "corpus", settings=TINY, seed=3)
    assert _files(tmp_path) == {f"corpus/{name}": digest for name, digest in _files(corpus).items()}


def test_a_corpus_of_another_seed_is_replaced(tmp_path, corpus):
    shutil.copytree(corpus, tmp_path / "corpus")
    synthesise(root=tmp_path / "corpus", settings=TINY, seed=4)
    assert "seed 4;" in (tmp_path / "corpus" / "README.md").read_text(encoding="utf-8")
    assert not _files(tmp_path / "corpus").items() & _files(corpus).items()


def test_a_corpus_with_a_file_of_ones_own_is_left_alone(tmp_path, corpus):
    shutil.copytree(corpus, tmp_path / "corpus")
    (tmp_path / "corpus" / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"choose another path, or move 'notes.txt' out of it"):
        synthesise(root=tmp_path / "corpus", settings=TINY, seed=4)
    assert (tmp_path / "corpus" / "notes.txt").exists()


def test_a_folder_that_is_no_synthetic_corpus_is_left_alone(tmp_path):
    (tmp_path / "mine.flac").touch()
    with pytest.raises(
        ConfigError, match=r"is not a synthetic corpus, so it is not replaced; choose another path, or move 'mine.flac'"
    ):
        synthesise(root=tmp_path, settings=TINY, seed=3)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.flac"]


def test_an_interrupted_build_leaves_nothing(tmp_path, monkeypatch):
    plan = plan_voices(TINY.voices.model_dump(), 3)
    plan["dev"] = [replace(voice, variant="nobody") for voice in plan["dev"]]
    monkeypatch.setattr(module, "plan_voices", lambda counts, seed: plan)
    with pytest.raises(AudioError, match=r"espeak-ng has no voice .*\+nobody in .*; reinstall espeakng-loader"):
        synthesise(root=tmp_path / "corpus", settings=TINY, seed=3)
    assert list(tmp_path.iterdir()) == []


def test_no_two_voices_are_alike_and_no_variant_speaks_in_two_splits():
    plan = plan_voices({"train": 40, "dev": 12, "test": 20}, 0)
    voices = [replace(voice, voice_id="") for split in SPLITS for voice in plan[split]]
    assert len(set(voices)) == 72
    variants = {split: {voice.variant for voice in plan[split]} for split in SPLITS}
    assert not variants["train"] & variants["dev"] | variants["train"] & variants["test"]
    assert not variants["dev"] & variants["test"]


@pytest.mark.parametrize("counts", [(1, 1, 1), (1, 1, 500), (500, 1, 1), (300, 300, 300)])
def test_any_number_of_voices_can_be_drawn(counts):
    plan = plan_voices(dict(zip(SPLITS, counts, strict=True)), 0)
    assert tuple(len(plan[split]) for split in SPLITS) == counts
    assert len({voice.voice_id for voices in plan.values() for voice in voices}) == sum(counts)


@pytest.mark.parametrize("kind", [kind for kinds in NOISE_KINDS.values() for kind in kinds])
def test_each_kind_of_noise_has_the_level_of_noise(kind):
    noise = make_noise(kind, 2.0, generator_for(0, kind))
    assert len(noise) == 32_000
    assert np.abs(noise).max() < 1.0
    assert -40 < 20 * np.log10(np.sqrt((noise**2).mean())) < -19


@pytest.mark.parametrize("kinds", [NOISE_KINDS, MUSIC_STYLES], ids=["noise", "music"])
def test_no_kind_is_listed_for_two_splits(kinds):
    listed = [kind for split in SPLITS for kind in kinds[split]]
    assert len(listed) == len(set(listed))


def test_a_crash_of_espeak_is_an_audio_error_not_a_hang():
    receiver, sender = multiprocessing.Pipe(duplex=False)
    sender.close()
    with pytest.raises(AudioError, match=r"espeak-ng crashed or was killed"):
        espeak._received(receiver)
    receiver.close()
