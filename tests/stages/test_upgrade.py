"""Upgrading a backbone: old enrolments are mapped, and scored beside new ones against tests by the new backbone."""

import shutil
import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.stages.map import map_store
from reseed.stages.trial_scoring.order import ScoreOrder
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.store import EmbeddingStore, ScoringError
from tests.runs import RUN
from tests.stages.scoring.example import write_store
from tests.stages.two_backbones import VIEWS, World

OLD, NEW = slice(120, 144), slice(136, 160)  # who enrolled with the old and with the new backbone; eight did with both
UPGRADE = """
import sys
from pathlib import Path

opened = set()
sys.addaudithook(lambda event, args: opened.add(Path(str(args[0])).suffix.lower()) if event == "open" else None)

from reseed.cli import main

main(sys.argv[1:], standalone_mode=False)
assert ".h5" in opened, "the hook sees nothing"
assert not opened & {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".sph"}, opened
audio = {"soundfile", "torchaudio", "reseed.stages.audio", "reseed.stages.backbones"} & sys.modules.keys()
assert not audio, audio
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("world"))
    for name, side, space, rows in (("old", "x", "one:1", OLD), ("new", "y", "two:2", NEW)):
        vectors = world.vectors[side][rows]
        world.stores[name, side] = write_store(
            world.root / name, world.ids[rows], world.people[rows], vectors, VIEWS, space
        )
    (world.root / "run.yaml").write_text(RUN)
    return world


def options(world, out, **changed):
    """Return the arguments of an upgrade: of `old`, by what both backbones made of the training speakers."""
    given = {"from": world.stores["train", "x"], "to": world.stores["train", "y"], "model": out / "model"}
    given |= {"upgraded": out / "upgraded", **changed}
    store = given.pop("store", world.stores["old", "x"])
    return ["upgrade", str(store), *(word for name, value in given.items() for word in (f"--{name}", str(value)))]


def reseed(*words):
    done = CliRunner().invoke(main, [str(word) for word in words])
    return done.exit_code, " ".join(done.output.split())


def mapped_tests(world, out):
    paths = {"tests": world.stores["test", "y"], "new": world.stores["new", "y"]}
    for name, store in paths.items():
        map_store(store=store, model=out / "model", side="test", mapped=out / name)
    return {name: out / name for name in paths}


def unit(store, name):
    """Return the unit mean of the unit crops of an utterance, clean."""
    crops = np.stack([store.get(name, view="clean", crop=crop) for crop in range(store.crops)]).astype(float)
    mean = (crops / np.linalg.norm(crops, axis=1, keepdims=True)).mean(axis=0)
    return mean / np.linalg.norm(mean)


@pytest.fixture(scope="module")
def upgraded(world, tmp_path_factory):
    """A folder with an upgraded store, its alignment, and new enrolments and tests mapped by that."""
    out = tmp_path_factory.mktemp("upgraded")
    assert reseed(*options(world, out))[0] == 0
    mapped_tests(world, out)
    return out


def test_old_enrolments_are_mapped_where_no_audio_is(world, tmp_path):
    shutil.copytree(world.stores["old", "x"], tmp_path / "kept")
    words = options(world, tmp_path, store=tmp_path / "kept")
    done = run([sys.executable, "-c", UPGRADE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    learnt, made, following = done.stdout.splitlines()
    assert f"{tmp_path}/model: auto of 120 shared utterances in 2 views, space one~two:" in learnt
    assert f"{tmp_path}/upgraded: 96 vectors of the enrolment side in the space one~two:" in made
    assert f"`reseed map --side test --model {tmp_path}/model`" in following
    store = EmbeddingStore(tmp_path / "upgraded")
    store.verify()
    assert store.utterance_ids() == world.ids[OLD]
    assert [parent.path for parent in store.header.declaration.lineage] == [
        f"{tmp_path}/kept",
        f"{tmp_path}/model",
    ]


def test_a_repeated_upgrade_makes_the_same_bytes_and_another_method_can_be_chosen(world, upgraded, tmp_path):
    before = EmbeddingStore(upgraded / "upgraded")
    assert reseed(*options(world, upgraded))[0] == 0
    assert EmbeddingStore(upgraded / "upgraded").header == before.header
    status, said = reseed(*options(world, tmp_path, method="ridge", set="penalty=0.5"))
    assert status == 0, said
    assert "ridge of 120 shared utterances" in said


def test_old_and_new_enrolments_are_scored_in_one_go(world, upgraded, tmp_path):
    paths = {name: upgraded / name for name in ("upgraded", "new", "tests")}
    command = ("score", "--config", world.root / "run.yaml", "--system", "mixed", "--store", paths["tests"])
    lists = ("--trials", world.trials, "--utterances", world.utterances, "--scores", tmp_path / "scores.parquet")
    both = ("--enrolment", paths["new"], "--enrolment", paths["upgraded"])
    status, said = reseed(*command, *lists, *both, "--identification", tmp_path / "ranks.parquet")
    assert status == 0, said
    assert "780 trials scored" in said
    assert "of 8 utterances enrolment has the vectors of the first store" in said
    rows = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    assert len({row["enrolment_id"] for row in rows}) == 39
    stores = {name: EmbeddingStore(path) for name, path in paths.items()}
    for row in (row for row in rows if row["condition"] == "clean"):
        new = row["enrolment_id"] in world.ids[NEW]
        first = unit(stores["new" if new else "upgraded"], row["enrolment_id"])
        assert row["score"] == pytest.approx(first @ unit(stores["tests"], row["test_id"]), abs=1e-6)
    ranks = pq.read_table(tmp_path / "ranks.parquet")
    assert set(ranks["test_id"].to_pylist()) == set(world.ids[121:160])

    assert world.score(tmp_path, store=paths["tests"], enrolment=(paths["new"], paths["upgraded"])) < 0.2


def test_normalised_scores_of_old_and_new_enrolments_have_one_cohort(world, upgraded, tmp_path):
    cohort = tmp_path / "cohort"
    map_store(store=world.stores["train", "y"], model=upgraded / "model", side="test", mapped=cohort)
    given = {"cohort": cohort, "enrolment_cohort": cohort, "cohort_utterances": world.utterances}
    given |= {"settings": {"scorings": ("as_norm",), "cohort": {"top": 10}}, "store": upgraded / "tests"}
    assert world.score(tmp_path, enrolment=(upgraded / "new", upgraded / "upgraded"), **given) < 0.2


def test_workers_that_stand_in_another_folder_find_every_enrolment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = {name: Path(name) for name in ("store", "trials", "utterances", "scores")}
    order = ScoreOrder(
        system="", identification=None, settings=ScoreSettings(), enrolment=(Path("new"), Path("old")), **paths
    )
    assert order.absolute().enrolment == (tmp_path / "new", tmp_path / "old")


def test_enrolments_of_another_space_or_number_of_crops_are_refused(world, upgraded, tmp_path):
    with pytest.raises(ScoringError, match=r"enrolment .*old is of one:1, test .*tests of one~two:\w+, which do not"):
        world.score(tmp_path, store=upgraded / "tests", enrolment=(upgraded / "upgraded", world.stores["old", "x"]))
    fewer = write_store(
        tmp_path / "fewer", world.ids[NEW], world.people[NEW], world.vectors["y"][NEW][:, :1], VIEWS, "two:2"
    )
    map_store(store=fewer, model=upgraded / "model", side="test", mapped=tmp_path / "few")
    both = {"store": upgraded / "tests", "enrolment": (upgraded / "upgraded", tmp_path / "few")}
    assert world.score(tmp_path, **both) < 0.2
    with pytest.raises(ScoringError, match=r"must be as many: .*upgraded 2, .*few 1; score by a scorer of means"):
        world.score(tmp_path, **both, settings={"scorings": ("crop_pairs",)})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"store": ("old", "x"), "from": ("train", "y"), "to": ("train", "x")}, "give as --from a store of one:1 (the"),
        ({"to": ("train", "x")}, "both hold one:1; give as --to the new backbone's store"),
        ({"to": ("test", "y")}, "share none of their 120 and 40 utterances, e.g. s00-0 and s30-0"),
        ({"upgraded": ("old", "x")}, "which is to be read; write it elsewhere"),
        ({"method": "ridg"}, "ridge"),
        ({"set": "shrinkage=1"}, "shrinkages"),
    ],
)
def test_an_upgrade_that_cannot_be_is_refused_in_one_line(world, tmp_path, changed, reason):
    given = {name: world.stores[value] if isinstance(value, tuple) else value for name, value in changed.items()}
    status, said = reseed(*options(world, tmp_path, **given))
    assert status == 1
    assert said.startswith("reseed: ")
    assert reason in said
    assert not [*Path(tmp_path).iterdir()]
