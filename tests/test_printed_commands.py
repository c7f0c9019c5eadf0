"""Every command that is printed anywhere: those of guides and messages are parsed, those of cards are carried out."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from reseed.cli import main
from reseed.pipeline.loading import load_config
from reseed.stages.align import align
from reseed.stages.aligners.table import aligner_class
from reseed.stages.backbones.folder import BackboneInfo, save_backbone
from reseed.stages.backbones.ge2e import GE2E
from reseed.stages.enhancers.seed import SeedConfig
from reseed.stages.frontends.folder import FrontendInfo, features_of, save_frontend
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.frontends.unet import MaskNet
from reseed.stages.train import EnhancerOrder, train
from reseed.store import EmbeddingStore
from tests.corpus import prepared, write_corpus
from tests.stages.stores import write_store

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    ROOT / "cli.py",
    *(path for room in ("pipeline", "stages", "store") for path in sorted((ROOT / room).rglob("*.py"))),
]
LEFT_OUT = {"...", "…"}  # marks arguments that a guide does not spell out
ENTRIES = {  # command -> the option whose value is an entry of the configuration, and in which section
    "train": ("--system", "train"),
    "sweep": ("--system", "train"),
    "train-backbone": ("--name", "backbones"),
    "train-frontend": ("--name", "frontends"),
    "align": ("--name", "align"),
}


def blocks(text: str) -> Iterator[list[str]]:
    """Yield the words of every command in the code blocks of a Markdown text."""
    fenced = "".join(re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    indented = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [*fenced.replace("\\\n", " ").splitlines(), *re.findall(r"^ {4}(.+)$", indented, re.MULTILINE)]
    for line in lines:
        if re.match(r"\s*(\$ )?reseed ", line):
            yield shlex.split(line.replace("$ ", "", 1) if line.lstrip().startswith("$ ") else line, comments=True)[1:]


def mentions(text: str) -> Iterator[list[str]]:
    """Yield the words of every command that stands in backticks."""
    for found in re.findall(r"`reseed ([^`\n]+)`", text):
        yield shlex.split(found.replace("|", " "))


def texts(path: Path) -> Iterator[str]:
    """Yield the strings of a module; what is filled in as it runs reads VALUE."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "VALUE" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def check_words(words: list[str]) -> None:
    """Check that a command and its options exist; its arguments may be left out."""
    if words[0] in {"--debug", "--help", "--version", "VALUE"}:
        return
    command = main.commands[words[0]]
    if command.context_settings.get("ignore_unknown_options"):
        return  # they are Snakemake's
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    assert {word for word in words[1:] if word.startswith("--")} <= options | {"--help"}, words


def check_whole(words: list[str]) -> None:
    """Check that click takes a command as it stands, and that the configuration it names has what it asks for."""
    check_words(words)
    if LEFT_OUT & set(words) or any("$" in word for word in words):
        return
    try:
        context = main.commands[words[0]].make_context(words[0], words[1:])
    except click.UsageError as error:
        pytest.fail(f"reseed {shlex.join(words)}: {error.format_message()}")
    config = context.params.get("config")
    if config is None or not (ROOT / config).is_file():
        return
    run = load_config(ROOT / config, context.params["overrides"])
    if words[0] in ENTRIES:
        option, section = ENTRIES[words[0]]
        assert words[words.index(option) + 1] in getattr(run, section), words


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_guide_can_be_given_as_they_stand(guide):
    text = guide.read_text(encoding="utf-8")
    for words in blocks(text):
        check_whole(words)
    for words in mentions(text):
        check_words(words)


def test_the_commands_that_messages_name_exist_with_their_options():
    found = [words for path in SOURCES for text in texts(path) for words in mentions(text)]
    for words in found:
        check_words(words)
    assert len(found) > 50


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_in_the_comments_of_a_configuration_can_be_given(config):
    for line in config.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"#.*?\b(?:then: )?reseed ([a-z-]+ .*)", line):
            check_whole(shlex.split(found[1]))


def carry_out(card: str, **places: Path) -> None:
    """Carry out every command of a card, its placeholders replaced."""
    commands = list(blocks(card))
    assert commands
    for words in commands:
        given = [str(places.get(word, word)) for word in words]
        assert not [word for word in given if word.isupper()], words
        done = CliRunner().invoke(main, given)
        assert done.exit_code == 0, (words, done.output)
    for words in mentions(card):
        check_words(words)


def test_the_card_of_a_model_says_how_to_enhance(tmp_path):
    write_store(tmp_path / "store")
    model, settings = tmp_path / "model", SeedConfig(epochs=1)
    train(EnhancerOrder(store=tmp_path / "store", model=model, enhancer="seed", settings=settings, seed=0))
    card = (model / "README.md").read_text()
    carry_out(card, STORE=tmp_path / "store", MODEL=model, ENHANCED=tmp_path / "enhanced")
    assert "+seed:" in EmbeddingStore(tmp_path / "enhanced").space


def test_the_card_of_an_alignment_says_how_to_map(tmp_path):
    for side in ("one", "two"):
        write_store(tmp_path / side, space=f"{side}:1")
    kind = aligner_class("procrustes")
    stores = {"enrolment": tmp_path / "one", "test": tmp_path / "two"}
    align(**stores, model=tmp_path / "model", method="procrustes", settings=kind.Config(), seed=0)
    card = (tmp_path / "model" / "README.md").read_text()
    carry_out(
        card,
        ENROLMENT=tmp_path / "one",
        TEST=tmp_path / "two",
        MODEL=tmp_path / "model",
        MAPPED_ENROLMENT=tmp_path / "mapped.one",
        MAPPED_TEST=tmp_path / "mapped.two",
    )
    assert EmbeddingStore(tmp_path / "mapped.one").space == EmbeddingStore(tmp_path / "mapped.two").space


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> dict[str, Path]:
    """A configuration, the manifest of some speech, and a recording."""
    folder = tmp_path_factory.mktemp("speech")
    write_corpus(folder / "audio", splits=("train",), speakers=2, takes=1)
    config = folder / "run.yaml"
    recipe = {"crops": {"duration_s": 1.0}, "views": {"clean": {}, "phone": {"codec": "gsm"}}}
    run = {"name": "small", "corpus": {"root": "nowhere"}, "device": "cpu", "train": {"vire": {}}}
    config.write_text(yaml.safe_dump(run | {"extract": {"train": recipe, "evaluation": recipe}}))
    utterances = prepared(folder / "audio", folder, ("speech",))["speech"]
    return {"CONFIG": config, "UTTERANCES": utterances, "NOISY": next((folder / "audio").rglob("*.flac"))}


def test_the_card_of_a_backbone_says_how_to_extract(tmp_path, speech):
    info = BackboneInfo(
        backbone="ge2e",
        settings={},
        seed=0,
        started_from="untrained",
        utterances="speech.parquet",
        utterances_digest="",
        anchors=None,
        speakers=["a", "b"],
    )
    save_backbone(tmp_path / "trained", GE2E(), info, [{"epoch": 1, "loss": 1.0}])
    card = (tmp_path / "trained" / "README.md").read_text()
    carry_out(card, **speech, STORE=tmp_path / "store", BACKBONE=tmp_path / "trained")
    assert EmbeddingStore(tmp_path / "store").space.startswith("ge2e:")


def test_the_card_of_a_front_end_says_how_to_extract_and_to_denoise(tmp_path, speech):
    backbone, settings = GE2E(), FrontendTraining(width=2)
    info = FrontendInfo(
        method="gradw",
        settings=settings.model_dump(mode="json"),
        backbone="ge2e",
        features=features_of(backbone),
        space=backbone.space,
        seed=0,
        store="",
        utterances=2,
    )
    mask, drawn = MaskNet(settings.width), {"light": "<svg/>", "dark": "<svg/>"}
    save_frontend(tmp_path / "frontend", mask, info, [{"epoch": 1, "loss": 1.0}], drawn)
    card = (tmp_path / "frontend" / "README.md").read_text()
    places = {"STORE": tmp_path / "store", "FRONTEND": tmp_path / "frontend", "CLEANER": tmp_path / "cleaner.flac"}
    carry_out(card, **speech, **places)
    assert EmbeddingStore(tmp_path / "store").space.startswith("ge2e-gradw:")
    assert (tmp_path / "cleaner.flac").stat().st_size > 0
