"""The examples of public names run as they stand, in a folder with a small store, a model and speech."""

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import reseed
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.train import EnhancerOrder, train
from tests.corpus import voice, write_wave
from tests.stages.stores import write_store

ROOT = Path(__file__).resolve().parents[1]
NAMES = [name for name in reseed.__all__ if not name.endswith("Error")]
WITHOUT = {"evaluate"}  # `Metrics` shows it


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    store, settings = write_store(folder / "stores" / "train"), ENHANCERS["vire"].Config()
    order = EnhancerOrder(
        store=store.path, model=folder / "models" / "vire", enhancer="vire", settings=settings, seed=0
    )
    train(order)
    for name, speaker, take in (("ada/1", 1, 0), ("ada/2", 1, 1), ("bob/1", 5, 0)):
        write_wave(folder / "speech" / f"{name}.flac", voice(speaker, take))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_public_name_run_as_they_stand(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    found = [test for test in doctest.DocTestFinder().find(getattr(reseed, name), name, globs={}) if test.examples]
    assert bool(found) == (name not in WITHOUT)
    for test in found:
        assert not any(doctest.SKIP in example.options for example in test.examples)
        said: list[str] = []
        assert doctest.DocTestRunner().run(test, out=said.append).failed == 0, "".join(said)


def test_the_page_of_the_python_names_is_that_of_the_code():
    shown = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    made = subprocess.run([sys.executable, ROOT / "docs" / "api.py"], capture_output=True, text=True, check=True)
    assert shown == made.stdout, "run `python docs/api.py > docs/api.md`"
