import csv
import json
from pathlib import Path

import pytest

from reseed.stages.enhancers.folder import load_model
from reseed.stages.enhancers.regression import MseConfig
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.stages.sweep import SweepOrder, plan, sweep
from reseed.stages.train import EnhancerOrder, train
from reseed.store import ConfigError, EmbeddingStore, ModelError
from tests.stages.stores import write_store

GRID = {"lr": ["1e-4", 3e-3], "seed": [0, 5], "batch": [16, 32]}
SETTINGS = MseConfig(epochs=3, held_out=0.2)


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    return write_store(tmp_path / "store", utterances=30, crops=1)


def swept(store: EmbeddingStore, name: str, **options: object) -> str:
    given = {"enhancer": "mse", "settings": SETTINGS, "vary": GRID, "seed": 0} | options
    return sweep(SweepOrder(store=store.path, sweep=store.path.parent / name, **given))


def rows(store: EmbeddingStore, name: str) -> list[dict]:
    return json.loads((store.path.parent / name / "sweep.json").read_text())


def test_a_sweep_has_a_row_per_setting_sorted_by_eer_and_then_loss(store):
    told = swept(store, "sweep").splitlines()
    found = rows(store, "sweep")
    assert len(told) - 1 == len(found) == 8
    assert {(row["lr"], row["seed"], row["batch"]) for row in found} == {
        (lr, seed, batch) for lr in (1e-4, 3e-3) for seed in (0, 5) for batch in (16, 32)
    }
    order = [(row["validation_eer"], row["loss"]) for row in found]
    assert order == sorted(order)
    with (store.path.parent / "sweep/sweep.csv").open() as file:
        assert [float(row["validation_eer"]) for row in csv.DictReader(file)] == [eer for eer, _ in order]
    assert (store.path.parent / "sweep/sweep.svg").read_text().lstrip().startswith("<?xml")


def test_the_best_is_saved_and_is_what_its_own_training_gives(store, tmp_path):
    swept(store, "sweep")
    info = load_model(tmp_path / "sweep/model")[1]
    first = rows(store, "sweep")[0]
    assert (info.config["lr"], info.seed, info.config["batch"]) == (first["lr"], first["seed"], first["batch"])
    settings = MseConfig.model_validate(info.config)
    train(EnhancerOrder(store=store.path, model=tmp_path / "alone", enhancer="mse", settings=settings, seed=info.seed))
    assert load_model(tmp_path / "alone")[1].weights_sha256 == info.weights_sha256


def test_a_closed_form_is_swept_too_and_the_best_is_fitted_on_everything(store):
    swept(store, "sweep", enhancer="wccn", settings=WccnConfig(), vary={"shrinkage": [0.1, 1.0, 10.0]})
    found = rows(store, "sweep")
    assert {row["shrinkage"] for row in found} == {0.1, 1.0, 10.0}
    chosen, info = load_model(store.path.parent / "sweep/model")
    train(
        EnhancerOrder(
            store=store.path,
            model=store.path.parent / "alone",
            enhancer="wccn",
            settings=WccnConfig(shrinkage=found[0]["shrinkage"]),
            seed=0,
        )
    )
    alone, alone_info = load_model(store.path.parent / "alone")
    assert info.enhancer == alone_info.enhancer == "wccn"
    for name, value in alone.state_dict().items():
        assert value.equal(chosen.state_dict()[name]), name


def test_a_setting_that_diverges_comes_last_and_does_not_end_the_rest(store):
    swept(store, "sweep", vary={"lr": [1e-3, 1e30]})
    assert [row["lr"] for row in rows(store, "sweep")] == [1e-3, 1e30]
    assert rows(store, "sweep")[1]["loss"] is None


def test_a_tenth_is_held_out_where_nothing_is_said():
    paths = {"store": Path("store"), "sweep": Path("sweep")}
    order = SweepOrder(**paths, enhancer="mse", settings=MseConfig(), vary={"lr": [1.0]}, seed=0)
    assert plan(order)[0].settings.held_out == 0.1


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({"rl": [1]}, "mse has no setting 'rl'; it has seed, epochs, batch"),
        ({"lr": [-1]}, r"--vary lr: Input should be greater than 0 \(given: -1\)"),
        ({"seed": ["x"]}, "--vary seed: 'x' is not a whole number"),
        ({"held_out": [0.1, 0.2]}, "held_out cannot vary"),
    ],
)
def test_settings_that_cannot_be_varied_so_are_named(store, vary, message):
    with pytest.raises(ConfigError, match=message):
        swept(store, "sweep", vary=vary)


def test_what_is_no_sweep_is_not_replaced(store):
    with pytest.raises(ModelError, match="exists and is not a sweep"):
        swept(store, "store")


def test_a_sweep_replaces_an_older_one(store):
    for shrinkage in (1.0, 2.0):
        swept(store, "sweep", enhancer="wccn", settings=WccnConfig(), vary={"shrinkage": [shrinkage]})
    assert [row["shrinkage"] for row in rows(store, "sweep")] == [2.0]
