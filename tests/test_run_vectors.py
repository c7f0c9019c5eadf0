"""A run without audio: vectors in, a report out, through real Snakemake."""

import json

import pytest

from reseed.store import EmbeddingStore
from tests.digits import write_digits
from tests.runs import reseed, times


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("digits")


@pytest.fixture(scope="module")
def finished(folder):
    config = write_digits(folder)
    assert len(config.read_text().splitlines()) <= 15
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        reseed("run", config, "--runs", folder / "runs", "--cores", 1)
    return folder / "runs" / "digits"


def test_vectors_and_a_short_configuration_are_enough_for_a_report(finished):
    rows = json.loads((finished / "report" / "metrics.json").read_text())
    assert {row["system"] for row in rows} == {"raw", "centre", "mse"}
    assert {row["condition"] for row in rows} == {"clean", "blurred", "grainy", "occluded"}
    assert all(row["targets"] and 0 <= row["eer"] < 0.5 for row in rows)
    assert all(0.3 < row["probe_accuracy"] <= 1 and row["mean_average_precision"] > 0.2 for row in rows)
    store = EmbeddingStore(finished / "stores" / "vectors" / "test")
    assert (store.space, store.dim, len(set(store.speaker_ids()))) == ("digits", 64, 10)
    assert (finished / "audit" / "index.html").is_file()


def test_what_a_run_has_recorded_says_nothing_of_audio_and_runs_again_without_work(folder, finished):
    recorded = (finished / "config.yaml").read_text()
    assert "backbone" not in recorded
    assert "extract" not in recorded
    before = times(finished)
    reseed("run", finished / "config.yaml", "--runs", folder / "runs", "--cores", 1)
    assert times(finished) == before


def test_stores_can_be_given_in_place_of_arrays(folder, finished, tmp_path):
    given = [f"corpus.stores.{split}={finished / 'stores' / 'vectors' / split}" for split in ("train", "test")]
    given += ["train={}", "name=linked"]
    arguments = [part for override in given for part in ("--set", override)]
    reseed("run", folder / "digits.yaml", "--runs", tmp_path, "--cores", 1, *arguments)
    linked = EmbeddingStore(tmp_path / "linked" / "stores" / "vectors" / "test")
    assert linked.fingerprint == EmbeddingStore(finished / "stores" / "vectors" / "test").fingerprint


def test_a_table_that_changes_is_read_again(folder, finished):
    table = folder / "test.csv"
    lines = table.read_text().splitlines()
    first = lines[1].split(",")[0]
    table.write_text("\n".join(line for line in lines if not line.startswith(f"{first},")) + "\n")
    assert "rows, " in reseed("run", finished / "config.yaml", "--runs", folder / "runs", "--cores", 1, ok=False)
