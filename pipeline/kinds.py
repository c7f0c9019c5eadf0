"""What a setting takes, in words: for the message about a wrong value, and for docs/settings.md."""

import types
import typing
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from annotated_types import Ge, Gt, Le, Lt, MinLen, MultipleOf
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reseed.stages.common.choice import did_you_mean, nearest
from reseed.stages.common.section import OneOf, Takes

Kind = Any  # an annotation: float, Literal["a", "b"], Annotated[int, Ge(1)], dict[str, View] | None, ...

_PLAIN: dict[Any, tuple[str, str]] = {  # one and several of them
    bool: ("true or false", "true or false each"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
    Any: ("any value", "values"),
}


def kind_at(model: type[BaseModel], location: Sequence[str | int]) -> Kind | None:
    """Return what the setting at a location takes, e.g. at ("corpus", "sources", "noise/dev"); None: there is none."""
    kind: Kind = model
    for part in location:
        kind = _inner(kind, part)
        if kind is None:
            return None
    return kind


def section_in(kind: Kind) -> type[BaseModel] | None:
    """Return the section that a setting is."""
    bare, _ = _parts(kind)
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def entry_of(kind: Kind) -> Kind | None:
    """Return what each entry is of a section of named entries, any of which null switches off."""
    bare, _ = _parts(kind)
    entry = typing.get_args(bare)[1] if typing.get_origin(bare) is dict else Any
    return None if entry is Any else entry


def is_optional(kind: Kind) -> bool:
    """Whether a setting takes null."""
    origin: Any = typing.get_origin(kind)
    inner = typing.get_args(kind)
    return is_optional(inner[0]) if origin is typing.Annotated else types.NoneType in inner


def choices(kind: Kind) -> tuple[str, ...]:
    """Return the values that a setting, or each item of a list, is chosen from; of other kinds none."""
    bare, extras = _parts(kind)
    if typing.get_origin(bare) is tuple:
        return choices(typing.get_args(bare)[0])
    named = next((extra.names for extra in extras if isinstance(extra, OneOf)), ())
    return tuple(str(value) for value in typing.get_args(bare)) if typing.get_origin(bare) is typing.Literal else named


def described(kind: Kind) -> str:
    """Return what a setting takes, e.g. "a whole number of at least 1", "pca or tsne", "a list of numbers"."""
    bare, extras = _parts(kind)
    if words := next((extra.words for extra in extras if isinstance(extra, Takes)), None):
        return words
    origin, inner = typing.get_origin(bare), typing.get_args(bare)
    names = choices(kind)
    if origin is tuple:
        filled = any(isinstance(extra, MinLen) for extra in extras)
        if names:
            return f"a list of {'one or more' if filled else 'any'} of {', '.join(names)}"
        item, limits = _parts(inner[0])
        return f"a list of {'one or more ' if filled else ''}{_PLAIN[item][1]}{_limits(limits)}"
    if names:
        return " or ".join([", ".join(names[:-1]), names[-1]][len(names) == 1 :])
    if origin is dict:
        each = "a section of its own" if section_in(inner[1]) else described(inner[1])
        return "a section of settings" if inner[1] is Any else f"named entries, each {each}"
    if section := section_in(kind):
        return f"a section ({', '.join(section.model_fields) or 'empty'})"
    return f"{_PLAIN[bare][0]}{_limits(extras)}"


def hint(kind: Kind, given: object) -> str:
    """Return what to write instead of a wrong value, where that can be guessed: "; did you mean 'mse'?"."""
    bare, extras = _parts(kind)
    section = section_in(bare)
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if given is None and section and not any(field.is_required() for field in section.model_fields.values()):
        return "; write {} for its defaults"
    if any(isinstance(extra, Takes) for extra in extras) and bare is not str:
        return ""
    if typing.get_origin(bare) is tuple and (is_number or isinstance(given, str)):
        names = choices(kind)
        found = nearest(given, names) if names else [given]
        return f"; write {in_one_line(found)}" if found else f"; e.g. {in_one_line(list(names[:1]))}"
    if bare is str and isinstance(given, bool):
        return "; YAML reads yes, no, on and off as true and false: put it in quotes"
    if bare is str and is_number:
        return "; put it in quotes"
    if bare in (int, float) and isinstance(given, str):
        with suppress(ValueError, OverflowError):
            return f"; to YAML that is text: write {float(given):g}"
    return did_you_mean(given, choices(kind)) if isinstance(given, str) else ""


def in_one_line(value: object) -> str:
    """Return a value in YAML on one line."""
    return (
        yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
        .removesuffix("...\n")
        .strip()
    )


def _parts(kind: Kind) -> tuple[Any, list[Any]]:
    """Return an annotation without None and metadata, and the metadata."""
    extras: list[Any] = []
    while True:
        origin: Any = typing.get_origin(kind)
        if origin is typing.Annotated:
            kind, *found = typing.get_args(kind)
            for extra in found:
                extras += extra.metadata if isinstance(extra, FieldInfo) else [extra]
        elif origin in (typing.Union, types.UnionType):
            kind = next(each for each in typing.get_args(kind) if each is not type(None))
        else:
            return kind, extras


def _inner(kind: Kind, part: str | int) -> Kind | None:
    bare, _ = _parts(kind)
    origin, inner = typing.get_origin(bare), typing.get_args(bare)
    if section := section_in(bare):
        field = section.model_fields.get(str(part))
        return field and field.rebuild_annotation()
    if origin is dict:
        return inner[1]
    return inner[0] if origin is tuple else None


def _limits(extras: Sequence[Any]) -> str:
    found: dict[type, str] = {}
    for extra in extras:
        match extra:
            case Gt(gt=limit):
                found[Gt] = f"above {limit:g}"
            case Ge(ge=limit):
                found[Ge] = f"of at least {limit:g}"
            case Lt(lt=limit):
                found[Lt] = f"below {limit:g}"
            case Le(le=limit):
                found[Le] = f"at most {limit:g}"
    if Ge in found and Le in found:
        return f" from {found[Ge].rpartition(' ')[2]} to {found[Le].rpartition(' ')[2]}"
    steps = [f", divisible by {extra.multiple_of:g}" for extra in extras if isinstance(extra, MultipleOf)]
    return "".join([f" {' and '.join(found.values())}" if found else "", *steps])
