"""The commands around training, from the command line to the files they leave."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from reseed.cli import main
from reseed.stages.enhancers.library import Enhancer
from reseed.stages.enhancers.mlp import RdmMlp
from reseed.store import EmbeddingStore
from tests.stages.stores import write_store

RUN = """
name: small
corpus: {root: nowhere}
device: cpu
extract:
  train: {views: {clean: {}, noise: {noise: [0, 15]}}}
  evaluation: {views: {clean: {}}}
train:
  mse: {epochs: 2, batch: 32}
  cosine: {epochs: 2, batch: 32, patience: 3}
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    write_store(tmp_path / "store", utterances=30, crops=1)
    (tmp_path / "run.yaml").write_text(RUN)
    return tmp_path


def reseed(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_train_adopt_sweep_and_export_from_the_command_line(folder):
    store, model = folder / "store", folder / "model"
    reseed("train", "--config", folder / "run.yaml", "--system", "mse", "--store", store, "--model", model)
    assert "differs by" in reseed("export-model", model, "--out", folder / "m.onnx")
    assert (folder / "m.onnx").stat().st_size > 0

    grid = ["--vary", "lr=1e-4,0.003", "--vary", "seed=0,1"]
    given = ["--config", folder / "run.yaml", "--system", "mse", "--store", store, "--out", folder / "sweep"]
    assert len(reseed("sweep", *given, *grid, "--set", "train.mse.epochs=1").split("EER %")[1].splitlines()) == 5
    assert {row["lr"] for row in json.loads((folder / "sweep/sweep.json").read_text())} == {1e-4, 0.003}

    torch.save(RdmMlp(16).state_dict(), folder / "seed.pth")
    reseed("adopt", folder / "seed.pth", "--store", store, "--model", folder / "adopted", "--set", "noise_draws=0")
    config = Enhancer.load(folder / "adopted").info.config
    assert (config["mode"], config["noise_draws"], config["sampling_timestep"]) == ("compat", 0, 50)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--system", "mse", "--set", "train.mse.ema=1.5"],
            "mse.ema: must be a number of at least 0 and below 1, not 1.5",
        ),
        (["--system", "mse", "--set", "train.mse.grad_clp=1"], "did you mean 'grad_clip'?"),
        (["--system", "cosine"], "train.cosine.patience: waits for a better validation EER; set held_out too"),
    ],
)
def test_bad_settings_are_one_line(folder, arguments, line):
    told = reseed(
        "train",
        "--config",
        folder / "run.yaml",
        "--store",
        folder / "store",
        "--model",
        folder / "m",
        *arguments,
        code=1,
    )
    assert line in told
    assert len(told.splitlines()) == 1


def test_enhance_takes_seed_and_device_from_a_configuration_or_by_themselves(folder):
    (folder / "noisy.yaml").write_text(
        RUN.replace("train:\n  mse", "train:\n  seed: {epochs: 1, noise_draws: 1}\n  mse")
    )
    given = ["--store", folder / "store", "--model", folder / "model"]
    config = ["--config", folder / "noisy.yaml"]
    reseed("train", *config, "--system", "seed", *given)
    ways = {
        "alone": ["--seed", 3, "--device", "cpu"],
        "overridden": [*config, "--set", "seed=3"],
        "both": [*config, "--set", "seed=4", "--seed", 3],
        "other": config,
    }
    for name, options in ways.items():
        reseed("enhance", *options, *given, "--enhanced", folder / name)
    alone, overridden, both, other = (EmbeddingStore(folder / name).header.declaration.inputs.seed for name in ways)
    assert (alone, overridden, both, other) == (3, 3, 3, 0)
    assert "--set changes a setting of --config" in reseed(
        "enhance", "--set", "seed=3", *given, "--enhanced", folder / "x", code=2
    )


def test_values_to_vary_need_a_name(folder):
    given = ["--config", folder / "run.yaml", "--system", "mse", "--store", folder / "store", "--out", folder / "s"]
    assert "'lr' is not KEY=A,B" in reseed("sweep", *given, "--vary", "lr", code=2)
