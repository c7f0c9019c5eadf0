import json
import math
import sys
from subprocess import run

import pytest
import torch

from reseed.stages.enhancers.centre import CentreConfig
from reseed.stages.enhancers.folder import load_model
from reseed.stages.enhancers.regression import MseConfig
from reseed.stages.enhancers.seed import SeedConfig
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.stages.train import EnhancerOrder, train
from reseed.stages.training.cache.blocks import load_vectors
from reseed.stages.training.cache.resident import ResidentPairs, pairs_at
from reseed.stages.training.loop import optimise
from reseed.stages.training.settings import TrainingSettings
from reseed.store import ConfigError, EmbeddingStore, ModelError, Reject, StoreError
from tests.stages.stores import overwrite_vector, write_store

NO_AUDIO = """
import sys
from pathlib import Path

opened = set()
sys.addaudithook(lambda event, args: opened.add(Path(str(args[0])).suffix.lower()) if event == "open" else None)

from reseed.stages.enhance import enhance
from reseed.stages.enhancers.seed import SeedConfig
from reseed.stages.train import EnhancerOrder, train

here = Path(sys.argv[1])
settings = SeedConfig(epochs=1)
train(EnhancerOrder(store=here / "store", model=here / "model", enhancer="seed", settings=settings, seed=0))
enhance(store=here / "store", model=here / "model", enhanced=here / "enhanced", seed=0)
assert ".h5" in opened, "the hook sees nothing"
assert not opened & {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".sph"}, opened
audio = {"soundfile", "torchaudio", "reseed.stages.audio", "reseed.stages.backbones"} & sys.modules.keys()
assert not audio, audio
"""


def trained_state(tmp_path, name: str, enhancer: str, settings, seed: int = 0):
    train(
        EnhancerOrder(store=tmp_path / "store", model=tmp_path / name, enhancer=enhancer, settings=settings, seed=seed)
    )
    return load_model(tmp_path / name)[0].state_dict()


def test_centring_learns_from_a_store_without_noise(tmp_path):
    write_store(tmp_path / "store", views=("clean",))
    mean_D = trained_state(tmp_path, "model", "centre", CentreConfig())["unit_mean_D"]
    vectors_MD = torch.from_numpy(EmbeddingStore(tmp_path / "store").vectors().copy())
    torch.testing.assert_close(mean_D, torch.nn.functional.normalize(vectors_MD).mean(dim=0))
    with pytest.raises(StoreError, match="extract it with a noisy view too"):
        trained_state(tmp_path, "other", "wccn", WccnConfig())


@pytest.mark.parametrize("enhancer", ENHANCERS)
def test_training_twice_gives_identical_weights_and_json(enhancer, tmp_path):
    write_store(tmp_path / "store")
    config = ENHANCERS[enhancer].Config
    settings = config(epochs=2, batch=32) if issubclass(config, TrainingSettings) else config()
    first = trained_state(tmp_path, "first", enhancer, settings)
    second = trained_state(tmp_path, "second", enhancer, settings)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_another_seed_gives_other_weights(tmp_path):
    write_store(tmp_path / "store")
    first = trained_state(tmp_path, "first", "seed", SeedConfig(epochs=1), seed=0)
    second = trained_state(tmp_path, "second", "seed", SeedConfig(epochs=1), seed=1)
    assert not torch.equal(first["network.input_proj.weight"], second["network.input_proj.weight"])


def test_history_has_a_row_per_epoch_and_the_loss_falls(tmp_path):
    store = write_store(tmp_path / "store")
    settings = MseConfig(epochs=12, batch=20, lr=2e-3, schedule="cosine")
    train(EnhancerOrder(store=store.path, model=tmp_path / "model", enhancer="mse", settings=settings, seed=0))
    rows = [json.loads(line) for line in (tmp_path / "model/train.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert [row["step"] for row in rows[:2]] == [4, 8]  # 12 utterances x 2 crops x 3 views = 72 pairs
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert all(row["pairs_per_s"] > 0 for row in rows)
    assert rows[0]["lr"] == 2e-3
    assert rows[6]["lr"] == pytest.approx(1e-3)


def test_model_json_says_what_it_was_trained_on(tmp_path):
    store = write_store(tmp_path / "store", rejects=(Reject("utt-x", "extract", "empty"),))
    settings = WccnConfig(shrinkage=0.5)
    train(EnhancerOrder(store=store.path, model=tmp_path / "model", enhancer="wccn", settings=settings, seed=3))
    info = load_model(tmp_path / "model")[1]
    assert info.config == {"shrinkage": 0.5}
    assert (info.dim, info.space, info.store_fingerprint) == (store.dim, store.space, store.fingerprint)
    assert (info.views, info.utterances, info.seed) == (["clean", "noise", "reverb"], 12, 3)


def test_every_row_is_paired_with_the_clean_view_of_its_own_crop():
    vectors_NVD = torch.arange(12).reshape(2, 3, 2)
    pairs = pairs_at(vectors_NVD, clean_view=1, index_B=torch.tensor([0, 1, 5]))
    assert pairs.noisy_BD.tolist() == [[0, 1], [2, 3], [10, 11]]
    assert pairs.clean_BD.tolist() == [[2, 3], [2, 3], [8, 9]]


def test_clean_view_is_found_by_name_wherever_it_stands(tmp_path, monkeypatch):
    write_store(tmp_path / "store", views=("noise", "reverb", "clean"))
    targets = []
    monkeypatch.setattr(
        "reseed.stages.train.optimise", lambda network, pairs, seed, **_: targets.append(pairs.clean_view)
    )
    monkeypatch.setattr("reseed.stages.train.save_model", lambda *_: None)
    train(
        EnhancerOrder(store=tmp_path / "store", model=tmp_path / "model", enhancer="mse", settings=MseConfig(), seed=0)
    )
    assert targets == [2]


def test_several_shards_are_loaded_in_order_as_float32(tmp_path):
    store = write_store(tmp_path / "store", utterances=10, shards=3, dtype="float16")
    vectors = load_vectors(store)
    assert vectors.shape == (20, 3, 16)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.flatten(0, 1).numpy(), store.vectors().astype("float32"))


def test_vector_that_is_not_finite_names_its_utterance(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEED_CHECK_VECTORS", "0")  # or it is found to be damaged first
    overwrite_vector(write_store(tmp_path / "store"), row=4 * 6 + 2, value=math.nan)
    with pytest.raises(
        StoreError, match=r"shard 00000-\w+: 1 vectors are not finite, first utterance 'utt-004', view 'reverb'"
    ):
        trained_state(tmp_path, "model", "mse", MseConfig())


def test_store_with_the_clean_view_alone_cannot_be_trained_on(tmp_path):
    write_store(tmp_path / "store", views=("clean",))
    with pytest.raises(StoreError, match="has the view clean alone; extract it with a noisy view too"):
        trained_state(tmp_path, "model", "mse", MseConfig())


def test_store_without_a_clean_view_names_its_views(tmp_path):
    write_store(tmp_path / "store", views=("noise", "reverb"))
    with pytest.raises(StoreError, match="has no view 'clean' to train towards, only noise, reverb"):
        trained_state(tmp_path, "model", "mse", MseConfig())


def test_store_of_one_utterance_states_its_coverage(tmp_path):
    write_store(tmp_path / "store", utterances=1, rejects=(Reject("utt-x", "extract", "empty"),))
    with pytest.raises(StoreError, match="1 of 2 utterances stored, 1 rejected, training needs 2 or more"):
        trained_state(tmp_path, "model", "mse", MseConfig())


def test_settings_of_another_enhancer_are_refused(tmp_path):
    write_store(tmp_path / "store")
    with pytest.raises(ConfigError, match="'seed' takes a SeedConfig, not a MseConfig"):
        trained_state(tmp_path, "model", "seed", MseConfig())


def test_directory_that_is_no_model_is_refused_before_training(tmp_path, monkeypatch):
    write_store(tmp_path / "store")
    monkeypatch.setattr("reseed.stages.train.open_data", lambda *_, **__: pytest.fail("too late"))
    with pytest.raises(ModelError, match="exists and is not a model"):
        trained_state(tmp_path, "store", "mse", MseConfig())


def test_a_folder_for_tensorboard_inside_the_model_is_refused_before_training(tmp_path):
    arguments = {"store": tmp_path / "store", "model": tmp_path / "m", "enhancer": "mse", "settings": MseConfig()}
    with pytest.raises(ConfigError, match="m/logs lies in the model .*m, which is written as a whole"):
        EnhancerOrder(**arguments, seed=0, tensorboard=tmp_path / "m" / "logs")


def test_diverging_training_names_the_epoch_and_the_rate():
    network = ENHANCERS["mse"](MseConfig(epochs=3, lr=7.0), 4)
    with pytest.raises(ModelError, match=r"diverged in epoch 1 \(loss nan\); lower lr, which is 7\.0"):
        optimise(network, ResidentPairs(torch.full((2, 2, 4), math.inf), clean_view=0, batch=4, seed=0), seed=0)


def test_progress_is_a_few_lines_where_stderr_is_no_terminal(tmp_path, capsys):
    write_store(tmp_path / "store")
    trained_state(tmp_path, "model", "mse", MseConfig(epochs=40))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("12 of 12 utterances stored, 0 rejected, 72 pairs")
    assert len(lines) == 11
    assert lines[-1].startswith("epoch 40/40: loss ")


def test_training_and_enhancing_open_no_audio_and_import_no_audio_library(tmp_path):
    write_store(tmp_path / "store")
    done = run([sys.executable, "-c", NO_AUDIO, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
