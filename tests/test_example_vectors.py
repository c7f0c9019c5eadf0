"""The makers of examples/vectors and their configurations; test_run_vectors.py has a whole run of such vectors."""

import random
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml

from reseed.store import EmbeddingStore
from tests.runs import reseed

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "vectors"


@pytest.fixture(autouse=True)
def examples(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in ("make_images", "make_text"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["images", "text"])
def test_a_configuration_is_short_and_all_its_settings_exist(name):
    config = EXAMPLES / f"{name}.yaml"
    assert len(config.read_text().splitlines()) <= 15
    assert f"name: {name}" in reseed("config", config)


def test_pictures_become_vectors_that_the_configuration_reads(tmp_path):
    import_module("make_images").main(tmp_path, 30)
    columns = yaml.safe_load((EXAMPLES / "images.yaml").read_text())["corpus"]["vectors"]
    given = [part for name, column in (columns | {"space": "pixels"}).items() for part in ("--set", f"{name}={column}")]
    stores = {}
    for split in ("train", "test"):
        reseed("import", tmp_path / f"{split}.npy", "--store", tmp_path / split, *given)
        stores[split] = EmbeddingStore(tmp_path / split)
    assert set(stores["test"].views) - set(stores["train"].views) == {"rotated"}
    assert not set(stores["test"].utterance_ids()) & set(stores["train"].utterance_ids())
    clean, *others = (stores["test"].pairs("clean", view) for view in stores["test"].views)
    assert clean[0].shape == (30, 64)
    assert all(np.abs(plain - damaged).mean() > 0.01 for plain, damaged in others)


def test_sentences_are_damaged_as_their_view_says():
    damaged, sentence = import_module("make_text").damaged, "Return the eigenvalues of a symmetric banded matrix."
    made = {view: damaged(view, sentence, random.Random(1)) for view in ("clean", "typos", "dropped", "casing", "ocr")}
    assert made["clean"] == sentence
    assert len(set(made.values())) == len(made)
    assert len(made["typos"].split()) == len(sentence.split())
    assert [word for word in sentence.split() if word in made["dropped"].split()] == made["dropped"].split()
    assert made["casing"].lower() == sentence.lower()
    assert len(made["ocr"]) == len(sentence)
