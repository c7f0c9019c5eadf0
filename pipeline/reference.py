"""docs/settings.md: every setting of a run and of its components, made from the models and their docstrings."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reseed.pipeline.config import RunConfig
from reseed.pipeline.kinds import described, entry_of, in_one_line, is_optional, section_in
from reseed.stages.aligners.table import ALIGNERS
from reseed.stages.audio.datasets.table import DATASETS
from reseed.stages.audio.recipe import RECIPES
from reseed.stages.backbones.table import BACKBONES
from reseed.stages.common.section import Section
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.import_ import ImportSettings
from reseed.stages.training.settings import TrainingSettings
from reseed.stages.trial_scoring.table import SCORERS

_HEAD = """\
# Settings

A run is one YAML file. What it leaves out has its default. `--set section.key=value` sets one thing more, the value in
YAML: `--set train.seed.epochs=30`, `--set 'score.scorings=[cosine, plda]'`.

* `reseed init` writes a file to begin with. `reseed config FILE` prints all its settings, or all that is wrong with it.
* `NAME` stands for a name of your own. An entry that is `null` is switched off: `--set train.mse=null`.
* A relative path starts from the folder in which the command is run.

`reseed config --reference` makes this page of the code.
"""
_FIRST = ("name", "title", "note", "seed", "device", "corpus", "synthesise", "trials", "extract", "backbone", "train")
_NAMED_SPLITS = 8  # of a data set


def reference() -> str:
    """Return docs/settings.md."""
    names = dict.fromkeys([*_FIRST, *RunConfig.model_fields])  # what readers look for first
    places: dict[type[BaseModel], list[str]] = {}
    for name in names:
        for place, section in _sections(RunConfig, name, name):
            places.setdefault(section, []).append(place)
    lines = [_HEAD, "## The run", "", *_table(RunConfig, {name: RunConfig.model_fields[name] for name in names})]
    for name in names:
        for section, (place, *more) in places.items():
            if place.partition(".")[0] == name:
                lines += _section([place, *more], section)
        lines += _COMPONENTS.get(name, list)()
    lines += _section(["reseed import --set"], ImportSettings)
    return "\n".join(lines).rstrip() + "\n"


def documented() -> list[type[BaseModel]]:
    """Return every section that the page describes."""
    tree = [section for name in RunConfig.model_fields for _, section in _sections(RunConfig, name, name)]
    components = [component.Config for table in (BACKBONES, ENHANCERS, ALIGNERS) for component in table.values()]
    return list(dict.fromkeys([RunConfig, *tree, ImportSettings, *components]))


def meanings(section: type[BaseModel]) -> dict[str, str]:
    """Return what settings mean: "Attributes" of the docstrings of their section and of those that it is made of."""
    found: dict[str, str] = {}
    for each in (each for each in reversed(section.__mro__) if issubclass(each, Section)):
        text = inspect.cleandoc(each.__dict__.get("__doc__") or "").partition("Attributes:\n")[2].partition("\n\n")[0]
        for names, meaning in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {5,}.*)*)", text, re.MULTILINE):
            found |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    return found


def _sections(model: type[BaseModel], name: str, place: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the sections at and below a setting, each with where it stands: "corpus.sources.KIND/SPLIT"."""
    kind = model.model_fields[name].rebuild_annotation()
    if entry := entry_of(kind):
        place, kind = f"{place}.{'KIND/SPLIT' if name == 'sources' else 'NAME'}", entry
    if section := section_in(kind):
        yield place, section
        for inner in section.model_fields:
            yield from _sections(section, inner, f"{place}.{inner}")


def _section(places: list[str], section: type[BaseModel]) -> list[str]:
    depth = "###" if "." in places[0].removesuffix(".NAME") else "##"
    heading = f"{depth} {', '.join(f'`{place}`' for place in places)}"
    return [heading, "", _summary(section), "", *_table(section, section.model_fields)]


def _table(section: type[BaseModel], fields: Mapping[str, FieldInfo]) -> list[str]:
    """Return a table of settings; those that share a line of the docstring, kind and default share a row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for name, field in fields.items():
        kind, meaning = field.rebuild_annotation(), _sentence(meanings(section).get(name, ""))
        example = f" E.g. `{name}: {in_one_line(field.examples[0])}`." if field.examples else ""
        takes = ("a section" if section_in(kind) else described(kind)) + (", or null" if is_optional(kind) else "")
        rows.setdefault((takes, _default(field), meaning + example), []).append(f"`{name}`")
    return _rows(["setting", "takes", "default", "meaning"], ([", ".join(names), *row] for row, names in rows.items()))


def _rows(heads: list[str], rows: Iterable[list[str]]) -> list[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in (heads, *cells)]
    return [lines[0], "|---" * len(heads) + "|", *lines[1:], ""] if cells else []


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "" if isinstance(field.default, BaseModel) else f"`{in_one_line(_plain(field.default))}`"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _summary(documented: type) -> str:
    """Return the first paragraph of a docstring, on one line."""
    return " ".join(inspect.cleandoc(documented.__doc__ or "").partition("\n\n")[0].split())


def _backbones() -> list[str]:
    lines = []
    for name, backbone in BACKBONES.items():
        fields = backbone.Config.model_fields
        given = {key: field.examples[0] for key, field in fields.items() if field.is_required() and field.examples}
        chosen = {"name": name, **({"settings": given} if given else {})}
        lines += [f"### `backbone.settings` of `{name}`", "", f"`backbone: {in_one_line(chosen)}`", ""]
        lines += [_summary(backbone), "", *_table(backbone.Config, fields)]
    return lines


def _enhancers() -> list[str]:
    lines = [
        "## `train.NAME`",
        "",
        _sentence(meanings(RunConfig)["train"]),
        "",
        "### Settings of every trained enhancer",
        "",
    ]
    lines += [_summary(TrainingSettings), "", *_table(TrainingSettings, TrainingSettings.model_fields)]
    for name, enhancer in ENHANCERS.items():
        shared = TrainingSettings.model_fields if issubclass(enhancer.Config, TrainingSettings) else {}
        own = {key: field for key, field in enhancer.Config.model_fields.items() if key not in shared}
        lines += [f"### `train.NAME` with the method `{name}`", "", _summary(enhancer), ""]
        lines += ["It has the settings of every trained enhancer, too.", ""] if shared else []
        lines += _table(enhancer.Config, own)
    return lines


def _alignments() -> list[str]:
    lines = ["## `align.NAME`", "", _sentence(meanings(RunConfig)["align"]), ""]
    for name, alignment in ALIGNERS.items():
        lines += [f"### `align.NAME` with the method `{name}`", "", _summary(alignment), ""]
        lines += _table(alignment.Config, alignment.Config.model_fields) or ["Nothing to set.", ""]
    return lines


def _scorers() -> list[str]:
    rows = ([f"`{name}`", _summary(scorer)] for name, scorer in SCORERS.items())
    return ["### Scorings", "", *_rows(["name", "what it is"], rows)]


def _datasets() -> list[str]:
    rows = []
    for name, dataset in DATASETS.items():
        listed = [
            f"{kind}: {', '.join([*splits][:_NAMED_SPLITS])}{', ...' if len(splits) > _NAMED_SPLITS else ''}"
            for kind, splits in dataset.splits.items()
        ]
        rows.append([f"`{name}`", dataset.title, "; ".join(listed)])
    text = "What `dataset` takes, and `split` with it ([datasets.md](datasets.md)); several splits are joined by +."
    return ["### Data sets", "", text, "", *_rows(["`dataset`", "published as", "kinds and their splits"], rows)]


def _recipes() -> list[str]:
    rows = ([f"`{name}`", in_one_line(parts["crops"]), in_one_line(parts["views"])] for name, parts in RECIPES.items())
    return ["### Recipes", "", "What `recipe` stands for.", "", *_rows(["`recipe`", "`crops`", "`views`"], rows)]


_COMPONENTS: dict[str, Callable[[], list[str]]] = {
    "corpus": _datasets,
    "extract": _recipes,
    "backbone": _backbones,
    "train": _enhancers,
    "align": _alignments,
    "score": _scorers,
}
