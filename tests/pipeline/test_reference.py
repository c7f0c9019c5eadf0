"""docs/settings.md is what the models say, and every fragment of YAML in the guides is what they take."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from reseed.pipeline.config import RunConfig
from reseed.pipeline.reference import documented, meanings, reference
from reseed.pipeline.settings import validated
from reseed.stages.backbones.settings import config_class
from reseed.stages.common.section import CONFLICTS_ALLOWED

ROOT = Path(__file__).resolve().parents[2]
GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FIELDS = [(section, name) for section in documented() for name in section.model_fields]


def test_the_page_of_settings_is_what_the_command_prints():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == reference(), "run `reseed config --reference > docs/settings.md`"


@pytest.mark.parametrize(("section", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_setting_has_a_meaning_and_examples_that_it_takes(section, name):
    field = section.model_fields[name]
    assert meanings(section).get(name), f"{section.__name__}: say under Attributes what {name} means"
    assert field.description is None, "the meaning stands in the docstring alone"
    for example in field.examples or ():
        TypeAdapter(field.rebuild_annotation()).validate_python(example)


def test_every_meaning_is_that_of_a_setting():
    for section in documented():
        assert set(meanings(section)) <= set(section.model_fields), section.__name__


def fragments() -> list[tuple[str, str]]:
    found = []
    for guide in GUIDES:
        text = guide.read_text(encoding="utf-8")
        blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        keys = "|".join({name for _, name in FIELDS})
        inline = re.findall(rf"`((?:{keys}): [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
        found += [(str(guide.relative_to(ROOT)), each) for each in (*blocks, *inline) if " | " not in each]
    return found


def takes(section: type[BaseModel], given: dict[str, Any]) -> bool:
    """Whether these are settings of a section, and right as far as they go."""
    try:
        section.model_validate(given, context=CONFLICTS_ALLOWED)
    except ValidationError as error:
        return all(problem["type"] == "missing" for problem in error.errors())
    return True


@pytest.mark.parametrize(("guide", "fragment"), fragments())
def test_every_fragment_of_yaml_in_the_guides_is_taken(guide, fragment):
    given = yaml.safe_load(fragment)
    # A name may be a setting and an enhancer, too: `centre`.
    assert any(takes(section, given) for section in documented()) or takes(RunConfig, {"train": given})
    if "name" in given.get("backbone", ()):
        chosen = given["backbone"]
        validated(config_class(chosen["name"]), chosen.get("settings", {}), below="backbone.settings")
