"""A run without audio: vectors in, a report out, through real Snakemake."""

import html
import json
import re
from base64 import b64decode
from pathlib import Path

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
    raw = [row for row in rows if row["system"] == "raw"]
    assert all(0.3 < row["probe_accuracy"] <= 1 and 0.2 < row["mean_average_precision"] <= 1 for row in raw)
    assert all(row["recall_at_1"] <= row["recall_at_10"] for row in rows)
    store = EmbeddingStore(finished / "stores" / "vectors" / "test")
    assert (store.space, store.dim, len(set(store.speaker_ids()))) == ("digits", 64, 10)
    assert (finished / "audit" / "index.html").is_file()


def visible(page: Path) -> str:
    """Return all that a reader of a page sees, the text of its figures too."""
    text = re.sub(r"<(style|script).*?</\1>", "", page.read_text(), flags=re.DOTALL)
    figures = [b64decode(found).decode() for found in re.findall(r"data:image/svg\+xml;base64,([^\"']*)", text)]
    bare = re.sub(r"data:image[^\"']*", "", text)
    return html.unescape(re.sub(r"<[^>]+>", " ", "".join([bare, *figures])))


@pytest.mark.parametrize("page", ["report/index.html", "report/tables/summary-cosine.tex", "models/mse/README.md"])
def test_no_word_of_speech_is_said_where_there_is_none(finished, page):
    said = visible(finished / page)
    assert re.findall(r"\b\w*(?:speaker|utterance|gender|speech|noisy|voice|backbone)\w*", said, re.IGNORECASE) == []
    assert "perturb" in said


def test_the_report_and_the_audit_speak_of_items_and_classes(finished):
    report, audit = (visible(finished / page) for page in ("report/index.html", "audit/index.html"))
    for said in ("10 classes", "On clean items", "Own class first", "Linear probe", "Mean average precision"):
        assert said in report
    assert "120 items" in audit
    assert not re.search(r"utterance|gender|speech|noisy|person|music|backbone", audit)


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
