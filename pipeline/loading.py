"""A run's configuration, read, checked with all that belongs to its components, and written.

Precedence: defaults < YAML < `--set section.key=value`. A key that nobody declared is an error.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from reseed.pipeline.config import OF_AUDIO, RunConfig
from reseed.pipeline.mistakes import SettingsError
from reseed.pipeline.reading import SettingsFile
from reseed.pipeline.settings import apply_overrides, examine, validated
from reseed.stages.backbones.settings import BackboneConfig, config_class
from reseed.stages.trial_scoring.origin import CENTRE
from reseed.store import ConfigError
from reseed.store.checks import CHECK_VECTORS

_SIDES = ("train", "evaluation")


def load_config(path: Path, overrides: Sequence[str] = (), *, as_written: bool = False) -> RunConfig:
    """Read a run's YAML, apply overrides such as "train.seed.epochs=3", and validate.

    Args:
        as_written: leave out the default entry `centre` of the section train: what a run has recorded says all that it
            makes, and earlier versions had no such default.

    Raises:
        ConfigError: no file, no YAML, or mistakes in it: all of them, those in sections of components included.
    """
    file = SettingsFile.read(path)
    mistakes = [*file.mistakes, *apply_overrides(file.tree, overrides)]
    if not as_written:
        _add_centring(file.tree)
    for key, line in file.empty_entries(RunConfig):
        remedy = "write {} for its defaults, or null to leave it out"
        mistakes.append(f"{key}: nothing stands after the colon in line {line}; {remedy}")
    config, found = examine(RunConfig, file.tree)
    if config is None or mistakes or found:
        mistakes += found
        mistakes += component_mistakes(config, but={line.partition(": ")[0] for line in mistakes}) if config else []
        raise SettingsError(f"{path} with --set" if overrides else str(path), mistakes)
    try:
        files = config_class(config.backbone.name).file_settings()
    except ConfigError:  # `component_mistakes` says so
        files = BackboneConfig.file_settings()
    settings = {
        key: str(Path(value).expanduser().resolve()) if key in files and isinstance(value, str) else value
        for key, value in config.backbone.settings.items()
    }
    return config.model_copy(update={"backbone": config.backbone.model_copy(update={"settings": settings})})


def defaults(overrides: Sequence[str] = (), system: str | None = None, *, of_audio: bool = False) -> RunConfig:
    """Return what a run without a YAML comes to, for commands that are given their files by themselves.

    Args:
        system: an entry that the section train has, of the method of this name unless an override says otherwise.
        of_audio: the command is about recordings: what is not said of their views is the clean one alone.

    Raises:
        SettingsError: an override is wrong.
    """
    tree: dict[str, Any] = {"name": "reseed", "train": {}}
    mistakes = apply_overrides(tree, overrides)
    corpus = tree.setdefault("corpus", {})
    if of_audio:
        if not tree.get("synthesise"):
            corpus.setdefault("root", ".")
        for side in _SIDES:
            tree.setdefault("extract", {}).setdefault(side, {"views": {"clean": {}}})
    else:
        corpus.setdefault("stores", dict.fromkeys(_SIDES, "."))
    if system is not None and isinstance(tree["train"], dict):
        tree["train"].setdefault(system, {})
    return validated(RunConfig, tree, where="--set", mistakes=mistakes)


def _add_centring(tree: dict[str, Any]) -> None:
    """Add an entry `centre` to a section train that has entries, but none called so, not even one switched off."""
    train = tree.get("train")
    if isinstance(train, dict) and CENTRE not in train and any(entry is not None for entry in train.values()):
        tree["train"] = {CENTRE: {}, **train}


def trust_vectors(config: RunConfig) -> None:
    """Leave out the check of vectors in this process and those that it starts, where a run says so."""
    if not config.check_vectors:
        os.environ[CHECK_VECTORS] = "0"


def check_components(config: RunConfig) -> None:
    """Validate the sections that belong to the chosen backbone, enhancers and alignments, before any work is done.

    Raises:
        SettingsError: something is wrong there; says all of it.
    """
    if mistakes := component_mistakes(config):
        raise SettingsError("", mistakes)


def component_mistakes(config: RunConfig, but: Collection[str] = ()) -> list[str]:
    """Return what is wrong in the sections of components, a line each; these are imported, which takes seconds.

    Args:
        but: sections that are known to be wrong, "train.raw".
    """
    components: dict[str, Callable[[], object]] = {"backbone.name": config.backbone_settings}
    components |= {f"train.{system}": partial(config.enhancer, system) for system in config.train}
    components |= {f"align.{name}": partial(config.aligner, name) for name in config.align}
    mistakes = []
    for key, component in ((key, components[key]) for key in components if key not in but):
        try:
            component()
        except SettingsError as error:
            mistakes += error.mistakes
        except ConfigError as error:
            mistakes.append(f"{key}: {error}")
    return mistakes


def dump(config: RunConfig) -> str:
    """Return the configuration as YAML that loads to the same configuration."""
    return as_yaml(_written(config, config.model_dump(mode="json")))


def _written(config: RunConfig, tree: dict[str, Any]) -> dict[str, Any]:
    """Write down that centring is switched off, where it is, for what is not written is on; of vectors, no audio."""
    tree["train"].setdefault(CENTRE, None)
    for name in OF_AUDIO if config.corpus.stores else ():
        del tree[name]
    return tree


def resolved(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as JSON with every default, those of the backbone, enhancers and alignments too.

    Raises:
        SettingsError: something is wrong in the sections of these.
    """
    check_components(config)
    tree: dict[str, Any] = config.model_dump(mode="json")
    tree["backbone"]["settings"] = config.backbone_settings().model_dump(mode="json")
    for entries, component in ((tree["train"], config.enhancer), (tree["align"], config.aligner)):
        for name, entry in entries.items():
            found = component(name)
            entries[name] = {"method": found.method, **entry, **found.settings.model_dump(mode="json")}
    return _written(config, tree)


def as_yaml(tree: Mapping[str, Any]) -> str:
    """Return settings as YAML, in their order."""
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
