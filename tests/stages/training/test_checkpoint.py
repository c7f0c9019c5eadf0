import json
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from reseed.stages.enhancers.seed import SeedConfig
from reseed.stages.train import EnhancerOrder, train
from reseed.stages.training.checkpoint import TrainingCheckpoint
from reseed.stages.training.order import TrainingOrder
from tests.stages.stores import write_store

SETTINGS = {"epochs": 12, "batch": 16, "ema": 0.9, "schedule": "cosine", "held_out": 0.25, "grad_clip": 1.0}
CHILD = """
import json
import os
import signal
import sys
from pathlib import Path

import torch

import reseed.stages.training.checkpoint as module
from reseed.stages.enhancers.seed import SeedConfig
from reseed.stages.train import EnhancerOrder, train

here, threads, settings = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
torch.set_num_threads(threads)
save = module.TrainingCheckpoint.save

def save_and_die(self, state):
    save(self, state)
    if (state["place"]["epoch"], state["place"]["position"]) == (7, 2):
        os.kill(os.getpid(), signal.SIGKILL)

module.TrainingCheckpoint.save = save_and_die
settings = SeedConfig(**settings)
train(EnhancerOrder(store=here / "store", model=here / "killed", enhancer="seed", settings=settings, seed=0,
                    checkpoint_every_s=0))
"""


def train_here(here: Path, name: str, seed: int = 0, **settings: object) -> None:
    chosen = SeedConfig.model_validate(SETTINGS | settings)
    train(
        EnhancerOrder(
            store=here / "store", model=here / name, enhancer="seed", settings=chosen, seed=seed, checkpoint_every_s=1e9
        )
    )


def rows(model: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (model / "train.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "pairs_per_s"} for row in lines]


@pytest.fixture
def killed(tmp_path) -> Path:
    """A folder with a store and what a training left that was killed in the middle of an epoch."""
    write_store(tmp_path / "store", utterances=16)
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(torch.get_num_threads()), json.dumps(SETTINGS)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    return tmp_path


def test_a_killed_training_goes_on_to_bit_identical_weights(killed, capsys):
    train_here(killed, "killed")
    assert "resuming from" in capsys.readouterr().err
    train_here(killed, "whole")
    assert (killed / "killed/model.safetensors").read_bytes() == (killed / "whole/model.safetensors").read_bytes()
    assert rows(killed / "killed") == rows(killed / "whole")
    assert sorted(path.name for path in killed.iterdir()) == ["killed", "store", "whole"]


def left_over(tmp_path: Path) -> Path:
    """Train one epoch and put back the checkpoint that it would leave if it were killed at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingOrder, "remove_checkpoint", lambda self: None)
        patch.setattr(TrainingCheckpoint, "due", True)
        train_here(tmp_path, "model", epochs=1)
    return tmp_path / ".model.checkpoint"


def test_another_seed_or_setting_starts_over_and_says_so(tmp_path, capsys):
    write_store(tmp_path / "store", utterances=16)
    left_over(tmp_path)
    train_here(tmp_path, "model", epochs=1, seed=1)
    assert "of a training with another store or other settings; training starts over" in capsys.readouterr().err
    train_here(tmp_path, "fresh", epochs=1, seed=1)
    assert (tmp_path / "model/model.safetensors").read_bytes() == (tmp_path / "fresh/model.safetensors").read_bytes()


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("trapped"),)


@pytest.mark.parametrize("content", [b"", b"half of it", pickle.dumps(Trap())])
def test_a_checkpoint_that_is_damaged_or_holds_code_is_not_used(tmp_path, monkeypatch, capsys, content):
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "store", utterances=16)
    left_over(tmp_path).write_bytes(content)
    train_here(tmp_path, "model", epochs=1)
    assert "cannot be used (" in capsys.readouterr().err
    assert not (tmp_path / "trapped").exists()
    assert (tmp_path / "model/model.json").exists()


def test_saves_are_spaced_in_time(tmp_path, monkeypatch):
    clock_s = 0.0
    clock = SimpleNamespace(monotonic=lambda: clock_s)
    monkeypatch.setattr("reseed.stages.training.checkpoint.time", clock)
    checkpoint = TrainingCheckpoint(tmp_path / "c", {}, every_s=30.0)
    clock_s = 29.0
    assert not checkpoint.due
    clock_s = 30.0
    assert checkpoint.due
    checkpoint.save({"a": torch.ones(2)})
    assert not checkpoint.due
    assert torch.equal(checkpoint.load()["a"], torch.ones(2))
