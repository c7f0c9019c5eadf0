import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_curve

from reseed.stages.enhancers.folder import load_model
from reseed.stages.enhancers.regression import MseConfig
from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.stages.train import EnhancerOrder, train
from reseed.stages.training.cache.blocks import Part, load_vectors
from reseed.stages.training.data import open_data
from reseed.stages.training.validation import HeldOutUtterances, equal_error_rate
from reseed.store import StoreError
from tests.stages.stores import write_store

CROPS, VIEWS, DIM = 3, 4, 8
CPU = torch.device("cpu")


def vectors(utterances: int = 10) -> torch.Tensor:
    """Every utterance around a point of its own."""
    generator = torch.Generator().manual_seed(1)
    centre = torch.randn(utterances, 1, DIM, generator=generator).repeat_interleave(CROPS, dim=0)
    return centre + 0.9 * torch.randn(utterances * CROPS, VIEWS, DIM, generator=generator)


def raw() -> torch.nn.Module:
    return make_enhancer("wccn", WccnConfig(), DIM)  # the identity on unit vectors, before it is fitted


def test_eer_is_that_of_every_clean_first_crop_against_other_views_of_other_crops():
    target, nontarget = [], []
    x = F.normalize(vectors(), dim=-1).reshape(10, CROPS, VIEWS, DIM).numpy()
    for enrolled in range(10):
        for tested in range(10):
            for place, view in enumerate([0, 1, 3]):
                score = x[enrolled, 0, 2] @ x[tested, 1 + place % 2, view]
                (target if enrolled == tested else nontarget).append(score)
    assert HeldOutUtterances.of(vectors(), CROPS, clean_view=2).eer(raw()) == pytest.approx(
        nearest(target, nontarget), abs=1e-6
    )


def nearest(target: list[float], nontarget: list[float]) -> float:
    labels = [1] * len(target) + [0] * len(nontarget)
    false_alarm, hit, _ = roc_curve(labels, [*target, *nontarget], drop_intermediate=False)
    place = np.argmin(np.abs(false_alarm - (1 - hit)))
    return (false_alarm[place] + 1 - hit[place]) / 2


@pytest.mark.parametrize("decimals", [1, 6])
def test_the_eer_is_where_misses_and_false_alarms_come_nearest_ties_or_not(decimals):
    scores = torch.randn(9, 9, 2, generator=torch.Generator().manual_seed(0))
    scores = (scores + torch.eye(9)[:, :, None]).round(decimals=decimals)
    same = torch.eye(9, dtype=torch.bool)
    expected = nearest(scores[same].flatten().tolist(), scores[~same].flatten().tolist())
    assert equal_error_rate(scores) == pytest.approx(expected, abs=1e-6)


def test_single_crops_are_compared_across_views():
    held_out = HeldOutUtterances.of(vectors(), 1, clean_view=0)
    assert held_out.enrolment_UD.shape == (30, DIM)
    assert torch.equal(held_out.test_UWD, vectors()[:, 1:])


def test_many_utterances_are_thinned_out_evenly():
    held_out = HeldOutUtterances.of(vectors(600), CROPS, clean_view=0)
    assert torch.equal(held_out.enrolment_UD, vectors(600)[:: 3 * CROPS, 0])


def test_a_network_that_gives_no_numbers_is_a_coin():
    enhancer = make_enhancer("mse", MseConfig(), DIM)
    torch.nn.init.constant_(enhancer.network.input_proj.weight, torch.nan)
    assert HeldOutUtterances.of(vectors(), CROPS, clean_view=0).eer(enhancer) == 0.5


@pytest.mark.parametrize("limit", [None, 0])
def test_held_out_utterances_are_the_last_of_every_shard_and_never_trained_on(tmp_path, limit):
    store = write_store(tmp_path / "store", utterances=20, shards=2, crops=2)
    data = open_data(store, 0.2, CPU, limit)
    everything = load_vectors(store)
    held = load_vectors(store, part=Part(0.2, last=True))
    assert torch.equal(held, torch.cat([everything[16:20], everything[36:40]]))
    trained = torch.cat([batch.noisy_BD for batch in data.pairs.reordered(batch=7, seed=0).batches(1)])
    assert len(trained) == data.pairs.rows_per_epoch == 16 * 2 * 3
    assert sorted(trained.tolist()) == sorted(torch.cat([everything[:16], everything[20:36]]).flatten(0, 1).tolist())
    assert torch.equal(torch.cat(list(data.pairs.blocks())), torch.cat([everything[:16], everything[20:36]]))


def test_too_few_utterances_to_hold_out_are_counted(tmp_path):
    store = write_store(tmp_path / "store")
    with pytest.raises(StoreError, match=r"held_out=0.1 keeps 11 utterances to train on and 1 to validate with"):
        open_data(store, 0.1, CPU)


def test_validated_training_lowers_the_eer_and_logs_it(tmp_path, capsys):
    store = write_store(tmp_path / "store", utterances=60, crops=1)
    settings = MseConfig(epochs=6, batch=32, lr=2e-3, held_out=0.25)
    train(EnhancerOrder(store=store.path, model=tmp_path / "model", enhancer="mse", settings=settings, seed=0))
    rows = [json.loads(line) for line in (tmp_path / "model/train.jsonl").read_text().splitlines()]
    assert min(row["validation_eer"] for row in rows) < rows[0]["validation_eer"]
    assert "% on held-out utterances" in capsys.readouterr().err
    kept = load_model(tmp_path / "model")[0]
    eer = open_data(store, 0.25, CPU).held_out.eer(kept)
    assert eer == min(row["validation_eer"] for row in rows)
