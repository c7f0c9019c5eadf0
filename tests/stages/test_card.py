import json

import numpy as np
import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.stages.card import card
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.export import export
from reseed.stages.interop.cards import front_matter
from reseed.stages.train import EnhancerOrder, train
from reseed.store import ConfigError, EmbeddingStore, Reject, ScoringError, StoreError
from tests.stages.stores import write_store
from tests.store.stores import write

ROWS = [
    {
        "system": "wccn",
        "scoring": "cosine",
        "condition": "noise",
        "eer": 0.021,
        "eer_ci95": [0.01, 0.03],
        "min_dcf": 0.2,
    },
    {"system": "wccn", "scoring": "cosine", "condition": "clean", "eer": 0.01, "eer_ci95": None, "min_dcf": 0.1},
    {"system": "raw", "scoring": "cosine", "condition": "clean", "eer": 0.02, "eer_ci95": None, "min_dcf": 0.3},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    store, settings = write_store(folder / "private" / "store"), ENHANCERS["wccn"].Config()
    train(EnhancerOrder(store=store.path, model=folder / "wccn", enhancer="wccn", settings=settings, seed=0))
    (folder / "metrics.json").write_text(json.dumps(ROWS))
    return folder / "wccn"


def test_datasets_opens_an_export_by_the_settings_of_its_card(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    rejects = (Reject("u9", "extract", "is silent"), Reject("u8", "extract", "is silent"))
    store = write_store(tmp_path / "store", shards=2, dtype="float16", rejects=rejects)
    hub = tmp_path / "hub"
    hub.mkdir()
    export(store=store.path, output=hub / "vectors.parquet", format="parquet")
    (hub / "notes.json").write_text('[{"other": 1}]')  # without the card's settings this would be read too
    card(source=store.path, output=hub / "README.md", license="cc-by-4.0")
    loaded = datasets.load_dataset(str(hub), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    np.testing.assert_array_equal(loaded["train"].with_format("numpy")["embedding"][:], store.vectors())
    assert loaded["train"]["utterance_id"][:6] == ["utt-000"] * 6


def test_the_card_of_a_store_says_what_it_holds_and_what_of(tmp_path):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    write_store(tmp_path / "store", rejects=(Reject("u9", "extract", "is silent"),))
    text = card(source=tmp_path / "store", license="mit")
    parsed = huggingface_hub.DatasetCard(text).data
    assert (parsed.license, parsed.size_categories, parsed.tags) == ("mit", ["n<1K"], ["reseed", "embeddings", "ge2e"])
    fingerprint = EmbeddingStore(tmp_path / "store").fingerprint
    for said in (
        "72 of 16 dimensions",
        "6 named",
        f"`{fingerprint}`",
        "| `noise` |",
        "`extract` left out 1 utterances",
    ):
        assert said in text
    assert "license" not in front_matter(card(source=tmp_path / "store"))


def test_the_card_of_a_model_has_the_error_rates_of_a_report_and_no_paths(model):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    text = card(source=model, report=model.parent / "metrics.json")
    parsed = huggingface_hub.ModelCard(text).data
    assert (parsed.library_name, parsed.tags) == ("reseed", ["reseed", "embeddings", "wccn"])
    found = {(each.dataset_name, each.metric_type): each.metric_value for each in parsed.eval_results}
    assert found[("noise", "eer")] == 0.021
    assert len(found) == 4
    assert "| noise | cosine | 2.10 % (1.00 to 3.00) | 0.200 |" in text
    assert (model / "README.md").read_text().splitlines()[0] in text
    assert str(model.parent) not in text
    assert "model-index" not in front_matter(card(source=model))


def test_a_card_replaces_a_card_alone_and_none_in_a_store(tmp_path):
    store = write_store(tmp_path / "store")
    output = tmp_path / "README.md"
    say = ["card", str(store.path), "--out", str(output)]
    assert [CliRunner().invoke(main, say).output for _ in range(2)] == [f"wrote {output}\n"] * 2
    assert CliRunner().invoke(main, say[:2]).output == output.read_text()
    output.write_text("# My own\n")
    with pytest.raises(ConfigError, match="exists and is not a card made by reseed, so it is not replaced"):
        card(source=store.path, output=output)
    with pytest.raises(ConfigError, match="lies in"):
        card(source=store.path, output=store.path / "README.md")


def test_what_there_is_no_card_of_is_said(tmp_path, model):
    with pytest.raises(StoreError, match="is not a finished store"):
        card(source=tmp_path)
    write(tmp_path / "empty", shards=[])
    with pytest.raises(StoreError, match="holds no vectors; there is nothing to publish"):
        card(source=tmp_path / "empty")
    with pytest.raises(ConfigError, match="is no trained model, and a report is of models; leave --report out"):
        card(source=write_store(tmp_path / "store").path, report=model.parent / "metrics.json")
    with pytest.raises(ScoringError, match="has no system 'vire'; it has wccn, raw: name it by --system"):
        card(source=model, report=model.parent / "metrics.json", system="vire")
    (tmp_path / "metrics.json").write_text("[1]")
    with pytest.raises(ScoringError, match=r"metrics.json is no metrics.json|is no metrics.json \("):
        card(source=model, report=tmp_path)
