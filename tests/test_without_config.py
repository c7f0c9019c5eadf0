"""Stage commands on a store, without a YAML and without a manifest."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.stages.enhancers.library import Enhancer
from reseed.store import EmbeddingStore
from tests.corpus import write_corpus
from tests.digits import views_of


def reseed(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    label_N = np.arange(40) % 4
    generator = np.random.default_rng(0)
    classes = generator.normal(size=(4, 64)).astype(np.float32)
    views = views_of(classes[label_N] + 0.3 * generator.normal(size=(40, 64)).astype(np.float32))
    np.save(folder / "a.npy", np.concatenate([*views.values()]))
    rows = [f"i{number},c{label},{view}" for view in views for number, label in enumerate(label_N)]
    (folder / "a.csv").write_text("\n".join(["utterance_id,speaker_id,view", *rows]) + "\n")
    reseed("import", folder / "a.npy", "--store", folder / "store", "--set", "space=toy:1")
    return folder / "store"


def test_a_store_alone_goes_through_every_stage(store, tmp_path):
    settings = ("--set", "train.mse.epochs=2", "--seed", 3, "--device", "cpu")
    reseed("train", "--system", "mse", "--store", store, "--model", tmp_path / "model", *settings)
    assert Enhancer.load(tmp_path / "model").info.config["epochs"] == 2
    enhanced = tmp_path / "enhanced"
    reseed("enhance", "--store", store, "--model", tmp_path / "model", "--enhanced", enhanced, "--device", "cpu")
    trials, found = tmp_path / "trials.parquet", {}
    reseed("trials", "--utterances", store, "--trials", trials, "--seed", 1)
    for name, scored in (("raw", store), ("mse", enhanced)):
        found[name] = scores = tmp_path / f"{name}.parquet"
        reseed("score", "--system", name, "--store", scored, "--trials", trials, "--scores", scores, "--device", "cpu")
    given = [f"--scores={path}" for path in found.values()] + [f"--store={path}" for path in (store, enhanced)]
    reseed("report", *given, "--out", tmp_path / "report", "--set", "report.bootstrap_replicates=20")
    rows = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert {row["system"] for row in rows} == {"raw", "mse"}
    assert not (tmp_path / "report" / "config.yaml").exists()
    reseed("audit", store, "--against", enhanced, "--out", tmp_path / "audit.html")


def test_recordings_are_listed_and_embedded(tmp_path):
    audio, utterances, noise = write_corpus(tmp_path / "audio"), tmp_path / "u.parquet", tmp_path / "n.parquet"
    for source, kind, manifest in (("speech/train", "speech", utterances), ("noise/train", "noise", noise)):
        files = ("--utterances", manifest, "--rejects", tmp_path / f"{kind}-rejects.parquet")
        reseed("prepare", "--source", audio / source, "--kind", kind, *files)
    extract = ("extract", "--utterances", utterances, "--noise", noise, "--device", "cpu", "--seed", 3)
    reseed(*extract, "--store", tmp_path / "store", "--set", "extract.train.views={clean: {}, loud: {noise: 0}}")
    assert EmbeddingStore(tmp_path / "store").views == ["clean", "loud"]
    reseed(*extract, "--store", tmp_path / "clean")
    assert EmbeddingStore(tmp_path / "clean").views == ["clean"]
    said = reseed(*extract, "--store", tmp_path / "no", "--set", "extract.train.view={}", code=1)
    assert "extract.train.view: unknown key; did you mean 'views'?" in said


def test_without_a_configuration_what_is_wrong_is_said_of_the_override(store, tmp_path):
    command = ("train", "--system", "mse", "--store", store, "--model", tmp_path / "model")
    assert "train.mse.epoch: unknown key; did you mean 'epochs'?" in reseed(
        *command, "--set", "train.mse.epoch=2", code=1
    )
    assert "device: must be auto, cpu, cuda" in reseed(*command, "--device", "tpu", code=1)
    said = reseed("train", "--system", "nothing", *command[3:], code=1)
    assert "nothing" in said
