"""What the steps of a run read: names of files, and options of commands, by the wildcards of the rules."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from reseed.pipeline import layout
from reseed.pipeline.config import RunConfig
from reseed.pipeline.inputs import Inputs, Option, files, folder, of, options
from reseed.pipeline.plan import Plan

EXTRACT = {"views": {"clean": {}, "noise": {"noise": [0, 15]}, "babble": {"babble": 5}}}
SMALL = {"backbone": "ecapa_tdnn"}


def inputs(**changes: Any) -> Inputs:
    config = {
        "name": "toy",
        "corpus": {"root": "/audio", "evaluation_babble": "other"},
        "extract": {"train": EXTRACT, "evaluation": EXTRACT},
        "train": {"vire": {}},
    }
    return Inputs(Plan(RunConfig.model_validate(config | changes)))


def as_norm(**changes: Any) -> Inputs:
    return inputs(score={"scorings": ["as_norm"]}, **changes)


def test_an_option_gives_a_command_the_folder_that_the_file_finishes() -> None:
    assert str(Option("store", layout.store_json("ge2e", "dev"))) == "--store=stores/ge2e/dev"
    assert str(Option("noise", Path("noise.parquet"))) == "--noise=noise.parquet"


def test_snakemake_is_given_functions_of_the_wildcards_that_are_named() -> None:
    job = SimpleNamespace(scored="backbones/small+vire", split="train")
    asked = as_norm(backbones={"small": SMALL})
    assert of(asked.section, "split")(job) == "train"
    assert folder(asked.scored, "scored")(job) == Path("stores/small+vire/dev")
    assert files(asked.cohort, "scored")(job) == [
        Path("stores/small+vire/train/store.json"),
        Path("corpus/train/speech/utterances.parquet"),
    ]
    assert options(asked.cohort, "scored")(job) == (
        "--cohort=stores/small+vire/train --cohort-utterances=corpus/train/speech/utterances.parquet"
    )


def test_evaluation_babbles_with_the_voices_of_another_split() -> None:
    babble = {split: dict(_named(inputs().manifests(split)))["babble"] for split in ("train", "dev")}
    assert babble == {"train": layout.manifest("train", "speech"), "dev": layout.manifest("other", "speech")}


def test_training_starts_from_the_backbone_before_and_stays_near_its_store() -> None:
    near = {"backbone": "ge2e", "anchored": True}
    asked = inputs(backbones={"near": near, "nearer": {**near, "starts_from": "near"}})
    assert _named(asked.start("near")) == [("anchors", Path("stores/ge2e/train/store.json"))]
    assert _named(asked.start("nearer")) == [
        ("base", Path("backbones/near/backbone.json")),
        ("anchors", Path("stores/near/train/store.json")),
    ]
    assert asked.trained("ge2e") == []


def test_a_pair_is_normalised_against_a_cohort_for_each_side() -> None:
    asked = as_norm(backbones={"small": SMALL}, pairs=[["ge2e+vire", "small"]], align={"nessa": {"then": "vire"}})
    assert _named(asked.pair_cohort("ge2e+vire~small", "nessa+vire")) == [
        ("cohort", Path("stores/ge2e+vire~small/nessa+vire/test/train/store.json")),
        ("cohort-utterances", Path("corpus/train/speech/utterances.parquet")),
        ("enrolment-cohort", Path("stores/ge2e+vire~small/nessa+vire/enrolment/train/store.json")),
    ]
    assert asked.mapped_from("ge2e+vire~small", "enrolment", "dev") == Path("stores/ge2e+vire/dev/store.json")
    assert asked.enhanced_from("ge2e+vire~small/nessa+vire/test", "dev").parts[1:-2] == (
        "ge2e+vire~small", "nessa", "test"
    )  # fmt: skip


def test_everything_that_a_run_makes_is_a_target() -> None:
    wanted = set(map(str, as_norm(backbones={"small": SMALL}, calibrate={}).targets()))
    assert {
        "corpus/dev/speech/utterances.parquet",
        "backbones/small/backbone.json",
        "stores/small/dev.jobs/1",
        "stores/ge2e+vire/train/store.json",
        "models/vire/model.json",
        "scores/backbones/small.parquet",
        "scores/vire.calibrated.parquet",
        "report/index.html",
    } <= wanted


def _named(found: list[Option]) -> list[tuple[str, Path]]:
    return [(option.name, option.file) for option in found]
