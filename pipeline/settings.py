"""Settings as they are given: overrides applied, sections validated, all mistakes reported at once."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from reseed.pipeline.mistakes import Location, Problem, SettingsError, leave_out
from reseed.pipeline.reading import parse_value
from reseed.stages.common.section import CONFLICTS_ALLOWED
from reseed.store import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def section(model: type[Model], overrides: Sequence[str]) -> Model:
    """Return a section of which nothing is given but overrides such as "space=arcface:r100"."""
    raw: dict[str, Any] = {}
    mistakes = apply_overrides(raw, overrides)
    return validated(model, raw, where="--set", mistakes=mistakes)


def validated(
    model: type[Model], raw: Mapping[str, Any], *, where: str = "", below: str = "", mistakes: Sequence[str] = ()
) -> Model:
    """Validate `raw` as `model`.

    Args:
        where: the file that `raw` comes from; below: where in its tree `raw` stands, "train.seed".
        mistakes: found before, to be reported with those found here.

    Raises:
        SettingsError: something is wrong; says all of it.
    """
    checked, found = examine(model, raw, below)
    if checked is None or mistakes or found:
        raise SettingsError(where, [*mistakes, *found])
    return checked


def examine(model: type[Model], raw: Mapping[str, Any], below: str = "") -> tuple[Model | None, list[str]]:
    """Return `raw` as `model`, without what is wrong with it, and what that is, a line for each mistake.

    Whether settings go together can be asked only once each is right by itself. So what is wrong is left out, with an
    example in its place where it is required, and the rest is validated again. What may follow from something that
    was left out is no mistake.
    """
    remaining = copy.deepcopy(dict(raw))
    mistakes: list[str] = []
    left_out: list[Location] = []
    while True:
        try:
            return model.model_validate(remaining), mistakes
        except ValidationError as error:
            found = [problem for problem in Problem.all_of(model, error) if not problem.follows(left_out)]
        mistakes += [problem.line(raw, below) for problem in found]
        wrong = {problem.to_leave_out for problem in found}
        if not found or () in wrong:
            return _without_conflicts(model, remaining), mistakes
        for location in wrong:
            leave_out(model, remaining, location)
        left_out += wrong


def _without_conflicts(model: type[Model], raw: Mapping[str, Any]) -> Model | None:
    try:
        return model.model_validate(raw, context=CONFLICTS_ALLOWED)
    except ValidationError:
        return None


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Set values of nested settings by "section.key=value", each value in YAML; return what is wrong, a line each."""
    mistakes = []
    for override in overrides:
        try:
            _apply(raw, override)
        except ConfigError as error:
            mistakes.append(str(error))
    return mistakes


def _apply(raw: dict[str, Any], override: str) -> None:
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
        raw[key] = parse_value(text)
    except ValueError:
        raise ConfigError(f"--set {override!r}: {text!r} is not YAML; quote it, or close its brackets") from None
