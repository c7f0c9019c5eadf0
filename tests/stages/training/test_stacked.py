import pytest
import torch

from stages.cache import ResidentPairs
from stages.enhancers import ENHANCERS, TrainedEnhancer, make_enhancer
from stages.training import HeldOut, optimise
from stages.training.stacked import optimise_stacked, stack_key, stackable
from tests.stages.stores import clustered_vectors

DIM = 8
VECTORS = torch.from_numpy(clustered_vectors(30, 3, DIM))
TRAINED = [name for name, kind in ENHANCERS.items() if issubclass(kind, TrainedEnhancer)]
OWN = [{"lr": 1e-2, "weight_decay": 0.0}, {"lr": 3e-3, "weight_decay": 0.5}, {"lr": 1e-3, "weight_decay": 0.1}]
SEEDS = [0, 0, 7]


def networks(name: str, **settings: object) -> list[TrainedEnhancer]:
    chosen = {"epochs": 4, "batch": 25} | settings
    made = [
        make_enhancer(name, ENHANCERS[name].Config.model_validate(chosen | own), DIM, seed)
        for own, seed in zip(OWN, SEEDS, strict=True)
    ]
    for network in made:
        network.fit([VECTORS], ["clean", "noise", "reverb"])
    return made


def reader(seed: int = 0) -> ResidentPairs:
    return ResidentPairs(VECTORS, clean_view=0, batch=25, seed=seed)


def judge() -> HeldOut:
    return HeldOut.of(torch.from_numpy(clustered_vectors(12, 3, DIM, seed=5)), 1, clean_view=0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"grad_clip": 0.05, "schedule": "cosine", "warmup_steps": 4},
        {"ema": 0.8, "held_out": 0.2},
        {"held_out": 0.2, "patience": 1},
    ],
    ids=lambda settings: " ".join(settings) or "plain",
)
def test_a_stack_gives_each_network_what_it_would_have_got_alone(settings):
    held_out = judge() if "held_out" in settings else None
    stacked, alone = networks("mse", **settings), networks("mse", **settings)
    histories = optimise_stacked(stacked, reader(), SEEDS, held_out)
    for network, single, history, seed in zip(stacked, alone, histories, SEEDS, strict=True):
        expected = optimise(single, reader(seed), seed, held_out=held_out)
        torch.testing.assert_close(network.state_dict(), single.state_dict(), rtol=1e-3, atol=1e-4)
        for row, wanted in zip(history, expected, strict=False):
            assert {**row, "pairs_per_s": 0} == pytest.approx({**wanted, "pairs_per_s": 0}, rel=1e-3)


@pytest.mark.parametrize("name", TRAINED)
def test_every_trained_enhancer_of_the_table_can_be_stacked(name):
    made = networks(name, held_out=0.2)
    histories = optimise_stacked(made, reader(), SEEDS, judge())
    assert all(row["loss"] == row["loss"] for history in histories for row in history)
    for network, history in zip(made, histories, strict=True):
        best = min(row["validation_eer"] for row in history)
        assert judge().eer(network) == pytest.approx(best, abs=0.02)


def test_settings_that_belong_to_one_network_alone_are_not_stacked():
    config = ENHANCERS["mse"].Config
    assert stackable(config())
    assert not stackable(config(precision="float16"))
    assert not stackable(config(compile=True))
    assert stack_key(config(lr=1)) == stack_key(config(weight_decay=1)) != stack_key(config(batch=7))


def test_a_history_ends_where_its_own_patience_did_though_the_stack_went_on():
    made = networks("mse", held_out=0.2, patience=1, epochs=12)
    histories = optimise_stacked(made, reader(), SEEDS, judge())
    for network, history in zip(made, histories, strict=True):
        best = min(reversed(history), key=lambda row: row["validation_eer"])
        assert judge().eer(network.eval()) == pytest.approx(best["validation_eer"], abs=1e-9)
        assert len(history) <= best["epoch"] + 1
