import json
from pathlib import Path

import pytest
import torch

from reseed.stages.enhancers.folder import load_model
from reseed.stages.enhancers.regression import MseConfig
from reseed.stages.train import EnhancerOrder, train
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.order import TrainingOrder
from reseed.stages.training.process_group import ONE_PROCESS, ProcessGroup, run_in_processes
from reseed.store import ConfigError, ModelError
from tests.stages.stores import write_store


def pairs(rows: int) -> Pairs:
    rows_BD = torch.arange(rows).float()[:, None]
    return Pairs(clean_BD=rows_BD, noisy_BD=-rows_BD)


def test_shares_make_up_the_batch():
    shares = [ProcessGroup(rank, 3).share(pairs(7)) for rank in range(3)]
    assert torch.equal(torch.cat([share.noisy_BD for share, _ in shares]), pairs(7).noisy_BD)
    assert torch.equal(torch.cat([share.clean_BD for share, _ in shares]), pairs(7).clean_BD)
    assert [rows for _, rows in shares] == [3, 2, 2]


def test_fewer_rows_than_processes_are_shared_by_all_and_count_once():
    shares = [ProcessGroup(rank, 4).share(pairs(3)) for rank in range(4)]
    assert all(len(share.noisy_BD) == 3 for share, _ in shares)
    assert sum(rows for _, rows in shares) == 3


def test_alone_the_batch_is_ones_own():
    batch = pairs(5)
    share, rows = ONE_PROCESS.share(batch)
    assert share is batch
    assert rows == 5


def test_two_processes_give_the_weights_of_one(tmp_path):
    # 12 utterances x 2 crops x 3 views in batches of 25: shares of 13 and 12, and a last batch of 22
    write_store(tmp_path / "store")
    settings = MseConfig(epochs=3, batch=25, lr=1e-3, held_out=0.25)
    for name, processes in (("one", 1), ("two", 2)):
        train(
            EnhancerOrder(
                store=tmp_path / "store",
                model=tmp_path / name,
                enhancer="mse",
                settings=settings,
                seed=0,
                processes=processes,
                checkpoint_every_s=0,
            )
        )
    one, two = (load_model(tmp_path / name)[0].state_dict() for name in ("one", "two"))
    torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "train.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert not list(tmp_path.glob(".*checkpoint"))


def fail(order: TrainingOrder, group: ProcessGroup) -> None:
    raise ModelError(f"{order.model} diverged on {order.device}, {group.rank} of {group.size}")


def test_an_error_in_a_process_is_raised_where_it_was_started():
    order = TrainingOrder(model=Path("mse"), seed=0)
    with pytest.raises(ModelError, match="^mse diverged on cpu, 0 of 1$"):
        run_in_processes(fail, order, processes=1)


def test_more_processes_than_gpus_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="processes=2, but there are 1 GPUs"):
        train(
            EnhancerOrder(
                store=tmp_path / "store",
                model=tmp_path / "model",
                enhancer="mse",
                settings=MseConfig(),
                seed=0,
                device="cuda",
                processes=2,
            )
        )
