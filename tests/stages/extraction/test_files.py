import numpy as np
import pytest
import soundfile

from reseed import EmbeddingStore, embed
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.store import AudioError, ConfigError
from tests.corpus import prepared, voice, write_corpus


def test_the_vectors_are_those_that_extract_stores_of_whole_utterances(tmp_path):
    corpus = write_corpus(tmp_path / "audio", splits=("train",), speakers=1)
    loud = voice(3, 0, 1.3, 44_100)
    soundfile.write(corpus / "speech/train/toy/s0/stereo.wav", np.stack([loud, 0.5 * loud], axis=1), 44_100)
    crops = CropSettings(duration_s=None, placement="even")
    order = ExtractOrder(
        utterances=prepared(corpus, tmp_path, ["speech"])["speech"],
        backbone="ge2e",
        settings=ExtractSettings(views={"clean": View()}, crops=crops),
        seed=0,
    )
    extract(order=order, store=tmp_path / "store")
    store = EmbeddingStore(tmp_path / "store")
    names = sorted(store.utterance_ids(), reverse=True)
    paths = [next((corpus / "speech/train").glob(f"{name}.*")) for name in names]
    vectors = embed([paths[0], *map(str, paths[1:])])
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, [store.get(name, view="clean") for name in names])


def test_no_paths_give_no_vectors():
    assert embed([]).shape == (0, 256)


def _missing(path):
    pass


def _damaged(path):
    path.write_bytes(b"RIFF but no more")


def _silent(path):
    soundfile.write(path, np.zeros(16_000), 16_000)


def _cancelled(path):
    soundfile.write(path, np.stack([voice(0, 0), -voice(0, 0)], axis=1), 16_000)


@pytest.mark.parametrize("make", [_missing, _damaged, _silent, _cancelled])
def test_a_recording_that_cannot_be_used_is_named(tmp_path, make):
    make(tmp_path / "bad.wav")
    with pytest.raises(AudioError, match=r"bad\.wav \S+"):
        embed([tmp_path / "bad.wav"])


def test_wrong_arguments_are_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"paths are several in a list; give \['a.wav'\]"):
        embed("a.wav")
    with pytest.raises(ConfigError, match="ge3e"):
        embed([], "ge3e")
    with pytest.raises(ConfigError, match="ecapa_tdnn has no setting 'weigths'; it has .*weights"):
        embed([], "ecapa_tdnn", settings={"weigths": "x.pt"})
    with pytest.raises(ConfigError, match="backbone ecapa_tdnn: weights: .*; see docs/settings.md"):
        embed([], "ecapa_tdnn")
