"""Aligning, mapping and asymmetric scoring on real stores of two generated backbones."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from reseed.stages.aligners.folder import load_alignment
from reseed.stages.backbones.folder import BackboneInfo, save_backbone
from reseed.stages.backbones.training.network import make_backbone
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.map import map_store
from reseed.store import EmbeddingStore, ModelError, ScoringError, StoreError
from tests.corpus import prepared, voice, write_wave
from tests.runs import reseed
from tests.stages.scoring.example import write_store
from tests.stages.two_backbones import VIEWS, World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


def test_mapped_sides_are_scored_against_each_other(world, tmp_path):
    said = world.align("nessa", tmp_path / "model", settings={"epochs": 3, "dimensions": 12})
    assert "nessa of 120 shared utterances in 2 views, space one~two:" in said
    paths = world.mapped(tmp_path / "model", tmp_path)
    store = EmbeddingStore(paths["test"])
    assert store.space == EmbeddingStore(paths["enrolment"]).space
    assert store.dim == 12
    store.verify()
    assert world.score(tmp_path, store=paths["test"], enrolment=(paths["enrolment"],)) < 0.2
    ranks = pq.read_table(tmp_path / "identification.parquet")
    assert ranks.num_rows > 0
    cohorts = world.mapped(tmp_path / "model", tmp_path, "train")
    assert (
        world.score(
            tmp_path,
            store=paths["test"],
            enrolment=(paths["enrolment"],),
            cohort=cohorts["test"],
            enrolment_cohort=cohorts["enrolment"],
            cohort_utterances=world.utterances,
            settings={"scorings": ("as_norm",), "cohort": {"top": 10}},
        )
        < 0.2
    )


def test_asymmetric_scores_are_worked_out_by_hand(world, tmp_path):
    world.align("procrustes", tmp_path / "model")
    paths = world.mapped(tmp_path / "model", tmp_path)
    world.score(tmp_path, store=paths["test"], enrolment=(paths["enrolment"],))
    row = pq.read_table(tmp_path / "scores.parquet").to_pylist()[-1]
    assert row["condition"] == "noise_5db"
    first = EmbeddingStore(paths["enrolment"]), row["enrolment_id"], "clean"
    second = EmbeddingStore(paths["test"]), row["test_id"], "noise_5db"
    means = []
    for store, name, view in (first, second):
        crops = np.stack([store.get(name, view=view, crop=crop) for crop in range(2)]).astype(float)
        mean = (crops / np.linalg.norm(crops, axis=1, keepdims=True)).mean(axis=0)
        means.append(mean / np.linalg.norm(mean))
    assert row["score"] == pytest.approx(means[0] @ means[1], abs=1e-6)


def test_stores_that_share_nothing_are_refused_with_counts(world, tmp_path):
    with pytest.raises(StoreError, match=r"share none of their 120 and 40 utterances, e\.g\. s00-0 and s30-0"):
        world.align("ridge", tmp_path / "m", test=world.stores["test", "y"])
    fewer = write_store(
        tmp_path / "fewer", world.ids[:120], world.people[:120], world.vectors["y"][:120, :1], VIEWS, "two:2"
    )
    with pytest.raises(StoreError, match="has 2 crops of an utterance, .*fewer 1"):
        world.align("ridge", tmp_path / "m", test=fewer)
    other = {"phone": {}, "mono": {}}
    alien = write_store(tmp_path / "alien", world.ids, world.people, world.vectors["y"], other, "two:2")
    with pytest.raises(StoreError, match="the views clean, noise_5db, .* phone, mono: none of them is shared"):
        world.align("ridge", tmp_path / "m", test=alien)
    assert not (tmp_path / "m").exists()


def test_what_one_side_lacks_is_counted(world, tmp_path):
    fewer = write_store(
        tmp_path / "fewer", world.ids[20:120], world.people[20:120], world.vectors["y"][20:120], VIEWS, "two:2"
    )
    said = world.align("ridge", tmp_path / "m", test=fewer)
    assert "ridge of 100 shared utterances (of 120 and 100) in 2 views" in said
    assert load_alignment(tmp_path / "m")[1].stored == (120, 100)


def test_sides_that_are_swapped_are_named(world, tmp_path):
    world.align("ridge", tmp_path / "model")
    with pytest.raises(
        ModelError, match="holds two:2, the test side of .*, not the enrolment side; map it as --side test"
    ):
        map_store(
            store=world.stores["test", "y"], model=tmp_path / "model", side="enrolment", mapped=tmp_path / "mapped"
        )
    paths = world.mapped(tmp_path / "model", tmp_path)
    with pytest.raises(ScoringError, match="is mapped for the enrolment side and given as the test side: swap"):
        world.score(tmp_path, store=paths["enrolment"], enrolment=(paths["test"],))
    with pytest.raises(ScoringError, match="enrolment .* is of one:1, test .* of two:2, which do not compare"):
        world.score(tmp_path, store=world.stores["test", "y"], enrolment=(world.stores["test", "x"],))


def test_a_damaged_or_foreign_alignment_is_named(world, tmp_path):
    world.align("ridge", tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8] + b"\0" * 8)
    with pytest.raises(ModelError, match="damaged or was exchanged: .* make an alignment again with `reseed align`"):
        world.mapped(tmp_path / "model", tmp_path)
    with pytest.raises(ModelError, match="not an alignment: it has no alignment.json; make one with `reseed align`"):
        world.mapped(tmp_path / "nothing", tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(ModelError, match="exists and is not an alignment"):
        world.align("ridge", tmp_path / "full")


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """A folder with stores of recordings of 1 to 2.4 s by two backbones, each whole."""
    root = tmp_path_factory.mktemp("speech")
    for number in range(8):
        name = f"s{number // 2}"
        write_wave(root / "speech" / name / f"{name}-{number % 2}.flac", voice(number // 2, number, 1 + 0.2 * number))
    prepared(root, root, ("speech",), split="")
    info = {"backbone": "ecapa_tdnn", "settings": {}, "seed": 0, "started_from": "untrained", "speakers": []}
    info |= {"utterances": "", "utterances_digest": "", "anchors": None}
    network = make_backbone(BackboneTraining(backbone="ecapa_tdnn", channels=8, dimensions=16, bands=24), seed=0)
    save_backbone(root / "small", network, BackboneInfo.model_validate(info), [])
    views = {"views": {"clean": {}, "phone": {"mu_law": True}}, "crops": "whole"}
    config = {
        "name": "whole",
        "device": "cpu",
        "extract": {"train": views, "evaluation": views},
        "train": {"centre": {}},
    }
    (root / "run.yaml").write_text(yaml.safe_dump(config | {"corpus": {"root": str(root)}, "align": {"auto": {}}}))
    extract = ("extract", "--config", root / "run.yaml", "--utterances", root / "speech.parquet")
    reseed(*extract, "--store", root / "ge2e")
    reseed(*extract, "--trained", root / "small", "--store", root / "two")
    cut = ("--set", "extract.train.crops={count: 1, duration_s: 1.0}")
    reseed(*extract, *cut, "--trained", root / "small", "--store", root / "cut")
    return root


def test_whole_utterances_of_any_length_are_aligned_mapped_and_scored(speech, tmp_path):
    config, speakers = ("--config", speech / "run.yaml"), ("--utterances", speech / "speech.parquet")
    lengths = EmbeddingStore(speech / "ge2e").rows(["duration_s"])["duration_s"].to_pylist()
    assert len(set(lengths)) == 8
    align = ("align", *config, "--name", "auto", "--enrolment", speech / "ge2e", "--model", tmp_path / "model")
    assert "auto of 8 shared utterances in 2 views" in reseed(*align, "--test", speech / "two")
    for side, store in (("enrolment", "ge2e"), ("test", "two")):
        mapped = ("--side", side, "--mapped", tmp_path / side)
        reseed("map", "--store", speech / store, "--model", tmp_path / "model", *mapped)
    reseed("trials", *config, *speakers, "--trials", tmp_path / "trials", "--enrolments", tmp_path / "enrolments")
    lists = ("--trials", tmp_path / "trials", *speakers, "--scores", tmp_path / "scores")
    sides = ("--enrolment", tmp_path / "enrolment", "--store", tmp_path / "test")
    reseed("score", *config, "--system", "across", *sides, *lists)
    assert np.isfinite(pq.read_table(tmp_path / "scores")["score"].to_numpy()).all()
    refused = reseed(*align, "--test", speech / "cut", ok=False)
    assert "the crops of 7 of 8 utterances differ: 1.20 s from 0.00 s on in" in refused
