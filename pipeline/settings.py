"""Settings as they are given: overrides applied, sections validated, and every problem said in one line."""

import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from reseed.store import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def section(model: type[Model], overrides: Sequence[str]) -> Model:
    """Return a section of which nothing is given but overrides such as "space=arcface:r100"."""
    raw: dict[str, Any] = {}
    for override in overrides:
        apply_override(raw, override)
    return validated(model, raw, where="--set")


def validated(model: type[Model], raw: Mapping[str, Any], where: str) -> Model:
    """Validate `raw` as `model`; the first problem is raised as a ConfigError that says where it is."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_explained(model, error, where)) from None


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Set one value of nested settings by "section.key=value", the value in YAML.

    Raises:
        ConfigError: it has not that form, or names a value as a section.
    """
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"--set {override!r} is not SECTION.KEY=VALUE")
    *sections, key = dotted.split(".")
    for section in sections:
        if raw.get(section) is None:
            raw[section] = {}
        raw = raw[section]
        if not isinstance(raw, dict):
            raise ConfigError(f"--set {override!r}: {section} is a value, not a section")
    try:
        raw[key] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override!r}: {text!r} is not a YAML value") from error


def _explained(model: type[BaseModel], error: ValidationError, where: str) -> str:
    problem = error.errors()[0]
    location = [str(part) for part in problem["loc"]]
    dotted = ".".join(location)
    if problem["type"] == "extra_forbidden":
        known = sorted(_keys_at(model, location[:-1]))
        nearest = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"it takes {', '.join(known) or 'no settings'}"
        return f"{where}: unknown key {dotted!r}; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    given = f" (given: {problem['input']!r})" if isinstance(problem["input"], str | int | float) else ""
    return f"{where}: {f'{dotted}: ' if dotted else ''}{message[0].lower()}{message[1:]}{given}"


def _keys_at(model: type[BaseModel], location: Sequence[str]) -> set[str]:
    """Return the keys that the section at `location` takes."""
    if not location:
        return set(model.model_fields)
    for candidate in (
        _models_in(model.model_fields[location[0]].annotation) if location[0] in model.model_fields else ()
    ):
        for skip in (1, 2):  # a dict of sections spends one part of the location on its own key
            keys = _keys_at(candidate, location[skip:]) if len(location) >= skip else set()
            if keys:
                return keys
    return set()


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
