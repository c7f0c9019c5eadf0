"""What is said of wrong settings. wrong_settings.txt has an override and, indented, all that is said of it."""

import re
import typing
from pathlib import Path

import pytest
import yaml

from reseed.pipeline.loading import check_components, load_config
from reseed.pipeline.settings import section
from reseed.stages.audio.datasets.table import DATASETS
from reseed.stages.backbones.settings import CONFIGS
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.stages.trial_scoring.table import SCORERS
from reseed.store import ConfigError

MINIMAL = {
    "name": "toy",
    "seed": 1,
    "corpus": {"root": "audio"},
    "extract": {"train": {"views": {"clean": {}, "noise": {"noise": [0, 15]}}}, "evaluation": {"views": {"clean": {}}}},
    "train": {"wccn": {}, "gentle": {"method": "mse", "epochs": 2}},
}


def one_of(names) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"


NAMES = {  # as wrong_settings.txt has them -> what stands there: it holds whatever the tables have grown to
    "SCORERS": ", ".join(SCORERS),
    "A_SCORER": one_of(SCORERS),
    "SETTINGS_OF_SCORE": ", ".join(ScoreSettings.model_fields),
    "ENHANCERS": ", ".join(ENHANCERS),
    "BACKBONES": ", ".join(CONFIGS),
    "A_TRAINABLE": one_of(typing.get_args(BackboneTraining.model_fields["backbone"].annotation)),
    "A_DATASET": one_of(DATASETS),
}
WRONG = re.sub(
    rf"\b({'|'.join(NAMES)})\b",
    lambda name: NAMES[name[0]],
    Path(__file__).with_name("wrong_settings.txt").read_text(encoding="utf-8"),
)


def mistakes(path: Path, *overrides: str) -> list[str]:
    """What is said of a configuration, by line, without where it lies."""
    with pytest.raises(ConfigError) as caught:
        check_components(load_config(path, overrides))
    heading, *lines = str(caught.value).splitlines()
    assert not lines or heading.endswith(f": {len(lines)} mistakes")
    assert all(line.startswith("  ") for line in lines)
    return [line.strip() for line in lines] or [heading.removeprefix(f"{path}: ").removeprefix(f"{path} with --set: ")]


def table() -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in WRONG.splitlines():
        if line.startswith(" "):
            found[-1][1].append(line.strip())
        else:
            found.append((line, []))
    return found


@pytest.fixture
def run(tmp_path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    return path


@pytest.mark.parametrize(("override", "said"), table(), ids=[override for override, _ in table()])
def test_a_wrong_setting_is_answered_with_what_it_must_be(run, override, said):
    assert mistakes(run, override) == said


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["train={a: {method: wccn}, b: {method: wccn}, a+b: {method: wccn}}", "calibrate={fuse: [[a, b]]}"],
            "calibrate.fuse: [a, b] would be called a+b, as an entry of train is; rename one of them",
        ),
        (
            [
                "train={a: {method: wccn}, a+b: {method: wccn}, c: {method: wccn}, b+c: {method: wccn}}",
                "calibrate={fuse: [[a, b+c], [a+b, c]]}",
            ],
            "calibrate.fuse: [a, b+c] and [a+b, c] would both be called a+b+c; rename a system",
        ),
        (
            ["backbones={near: {backbone: ge2e, anchored: true, crop_s: 1.6}}", "extract.train.crops.vad=energy"],
            "extract.train.crops.vad: must be none: backbones.near hears the stored crops with what lies between the "
            "speech",
        ),
        (
            ["score.cohort.views=[nois]", "score.scorings=[as_norm]"],
            "score.cohort.views: names 'nois', but extract.train.views has clean, noise; did you mean 'noise'?",
        ),
        (
            ["score.plda.views=[music]", "score.scorings=[plda]"],
            "score.plda.views: names 'music', but extract.train.views has clean, noise",
        ),
    ],
)
def test_names_that_meet_nothing_or_one_another_are_known_before_any_work(run, overrides, said):
    assert mistakes(run, *overrides) == [said]


def test_no_message_speaks_of_the_library_that_validates():
    for jargon in ("Input should", "valid tuple", "valid dict", "model_type", "pattern", "^", "[key]"):
        assert jargon not in WRONG


def test_all_mistakes_are_reported_at_once_also_of_components_and_of_what_does_not_go_together(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        """
name: my run
device: gpu
corpus: {root: audio, train: train, evaluation: train}
backbone: {name: ge2e, settings: {width: 3}}
extract:
  train: {views: {clean: {}, noise: {noise: loud}}, crops: {count: 0}}
  evaluation: {views: {clean: {}}}
train: {wccn: {}, gentle: {method: mse, epoch: 2}}
backbones: {near: {patience: 3}}
enhance: {near: [mse]}
"""
    )
    assert mistakes(path, "score.scorings=[asnorm]", "seed") == [
        "--set 'seed' is not SECTION.KEY=VALUE",
        "backbones.near.patience: waits for a better validation EER; set held_out too, e.g. to 0.1",
        "name: must be a name of letters, digits, _, . and -, not 'my run'; e.g. demo",
        "device: must be auto, cpu, cuda or cuda:N (the GPU numbered N), not 'gpu'",
        "extract.train.views.noise.noise: must be a number or a range [low, high], not 'loud'",
        "extract.train.crops.count: must be a whole number from 1 to 10000, not 0",
        f"score.scorings: must be {one_of(SCORERS)}, not 'asnorm'; did you mean 'as_norm'?",
        "enhance.near: names 'mse'; train has centre, wccn, gentle",
        "corpus.evaluation: is 'train', as corpus.train is; choose a split of other speakers",
        "backbone.settings.width: unknown key; did you mean 'weights'?",
        "train.gentle.epoch: unknown key; did you mean 'epochs'?",
    ]


@pytest.mark.parametrize(
    "overrides",
    [
        ["score.enrolment_view=3", "extract.evaluation.views={noise: {noise: 3}}"],
        ["corpus.root=3", "corpus.train=4"],
        ["train.gentle=3", "calibrate.fuse=[[raw, gentle]]"],
        ["train.gentle={method: mse, held_out: 2, patience: 3}"],
        ["backbones.near.epochs=-1", "enhance.near=[wccn]"],
        ["extract.train.recipe=sed", "extract.train.views=null"],
    ],
)
def test_what_only_follows_from_a_mistake_is_no_mistake(run, overrides):
    said = mistakes(run, *overrides)
    assert all(" must be " in line for line in said)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["calibrate.fuse=[[raw, gentle]]"], "calibrate.fuse: names 'gentle'; there are raw, wccn"),
        (["backbones.near={backbone: ge2e}", "enhance.near=[gentle]"], "enhance.near: names 'gentle'; train has wccn"),
    ],
)
def test_what_names_an_entry_that_is_switched_off_says_so(run, overrides, said):
    assert mistakes(run, *overrides, "train.gentle=null", "train.centre=null") == [
        f"{said} (train.gentle is null, which switches it off)"
    ]


def test_a_view_that_is_switched_off_is_missed_where_it_is_needed(run):
    assert mistakes(run, "extract.evaluation.views.clean=null", "extract.evaluation.views.noise={noise: 3}") == [
        "score.enrolment_view: is 'clean', but extract.evaluation.views has noise "
        "(extract.evaluation.views.clean is null, which switches it off)"
    ]


@pytest.mark.parametrize("section", ["train", "align", "backbones", "frontends", "enhance", "corpus.sources"])
def test_null_switches_an_entry_off(run, section):
    entries = load_config(run, [f"{section}.gentle=null"])
    for key in section.split("."):
        entries = getattr(entries, key)
    assert "gentle" not in entries


def test_null_in_the_file_switches_off_and_nothing_at_all_is_a_mistake(run):
    text = run.read_text()
    run.write_text(text + "align: {nessa: null}\n")
    assert load_config(run).align == {}
    run.write_text(text.replace("wccn: {}", "wccn:"))
    line = next(number for number, line in enumerate(run.read_text().splitlines(), start=1) if line.strip() == "wccn:")
    remedy = "write {} for its defaults, or null to leave it out"
    assert mistakes(run) == [f"train.wccn: nothing stands after the colon in line {line}; {remedy}"]


def test_settings_without_a_file_are_checked_alike():
    with pytest.raises(ConfigError) as caught:
        section(ReportSettings, ["p_target=2", "seeed=1", "seed"])
    assert str(caught.value).splitlines() == [
        "--set: 3 mistakes",
        "  --set 'seed' is not SECTION.KEY=VALUE",
        "  p_target: must be a number above 0 and below 1, not 2",
        "  seeed: unknown key; did you mean 'seed'?",
    ]
