"""Runs of vectors: what their configuration must say, what it need not, and what is known before work."""

import numpy as np
import pytest
import yaml

from reseed.pipeline.inputs import Inputs
from reseed.pipeline.loading import dump, load_config
from reseed.pipeline.plan import Plan
from reseed.pipeline.preflight import preflight
from reseed.stages.import_ import ImportSettings, import_store
from reseed.store import ConfigError
from tests.digits import SETTINGS, write_digits


def write(folder, **changes):
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**SETTINGS, **changes}, sort_keys=False))
    return path


def stores(**given):
    return {**SETTINGS["corpus"], "stores": given}


@pytest.mark.parametrize("name", ["test", "evaluation", "dev"])
def test_the_split_that_is_not_trained_on_is_evaluated(tmp_path, name):
    run = load_config(write(tmp_path, corpus=stores(train="a.npy", **{name: "b.npy"})))
    assert (Plan(run).train, Plan(run).evaluation, Plan(run).configured) == ("train", name, "vectors")
    assert load_config(write(tmp_path, **yaml.safe_load(dump(run)))) == run


def test_splits_are_named_where_neither_is_called_train(tmp_path):
    corpus = stores(old="a.npy", new="b.npy") | {"train": "old"}
    assert Plan(load_config(write(tmp_path, corpus=corpus))).evaluation == "new"


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"corpus": stores(train="a.npy")}, r"corpus.stores: has train; give two, one that is trained on \(train\)"),
        ({"corpus": stores(a="a.npy", b="b.npy", c="c.npy")}, r"corpus.stores: has a, b, c; give two"),
        ({"backbone": {"name": "campplus"}}, r"backbone: says nothing to a run of vectors; leave it out, or corpus"),
        ({"calibrate": {"quality": ["norm"]}}, r"calibrate.quality: measures recordings; leave it out of a run of"),
        ({"terms": {"itme": "picture"}}, r"terms.itme: is no term; there are item, class, .*; did you mean 'item'\?"),
        ({"corpus": {**stores(train="a", test="b"), "root": "c"}}, r"corpus.root: says nothing to a run of vectors"),
    ],
)
def test_what_is_missing_or_says_nothing_is_named(tmp_path, changes, mistake):
    with pytest.raises(ConfigError, match=mistake):
        load_config(write(tmp_path, **changes))


def test_extraction_is_still_needed_where_there_are_recordings(tmp_path):
    with pytest.raises(ConfigError, match=r"extract: is missing; give a section .*e.g. \{train: \{recipe: seed\}"):
        load_config(write(tmp_path, corpus={"root": "/data"}))


def test_what_will_fail_is_said_before_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path, each=20)
    for name, views, dim in (("plain", ["clean"], 4), ("other", ["blurred"], 3)):
        np.save(tmp_path / f"{name}.npy", np.eye(6, dim))
        ids = [f"{index},{view}" for view in views for index in range(6)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["utterance_id,view", *ids]) + "\n")
        source, store = tmp_path / f"{name}.npy", tmp_path / name
        import_store(source=source, store=store, settings=ImportSettings(space=name))
    assert preflight(load_config(tmp_path / "digits.yaml"), tmp_path / "run", is_local=True) == []
    run = load_config(write(tmp_path, corpus=stores(train="plain", test="other")))
    with pytest.raises(ConfigError) as refused:
        preflight(run, tmp_path / "run", is_local=True)
    assert [line.replace(str(tmp_path), "") for line in refused.value.lines[1:]] == [
        "  corpus.stores: /plain holds 4 dimensions of plain and /other holds 3 dimensions of other; "
        "give vectors of one network",
        "  /plain lacks a view other than clean, for enhancers to learn from",
        "  /other lacks the view clean, which score.enrolment_view names; it has blurred",
    ]
    (tmp_path / "train.csv").unlink()
    run = load_config(write(tmp_path, corpus=stores(train="train.npy", test="nowhere.npy")))
    with pytest.raises(ConfigError, match=r"train: .*rows.jsonl is missing") as refused:
        preflight(run, tmp_path / "run", is_local=True)
    assert any("corpus.stores.test" in line and "does not exist" in line for line in refused.value.lines)


def test_a_run_of_vectors_makes_what_a_run_makes_after_extraction(tmp_path):
    run = load_config(write(tmp_path, train={"mse": {}}, score={"scorings": ["cosine", "as_norm"]}))
    targets = [str(path) for path in Inputs(Plan(run)).targets()]
    assert "stores/vectors+mse/train/store.json" in targets  # of the cohort
    assert {"corpus/trials.parquet", "models/mse/model.json", "audit/index.html", "report/index.html"} <= {*targets}
    assert not [path for path in targets if "speech" in path or ".jobs" in path]
