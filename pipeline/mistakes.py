"""What is wrong with settings, in one line each: where it stands, what it must be, what was given, what to do."""

import copy
from collections.abc import Mapping, Sequence
from operator import eq
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reseed.pipeline.kinds import described, hint, in_one_line, kind_at, section_in
from reseed.stages.common.choice import did_you_mean
from reseed.store import ConfigError

Location = tuple[str | int, ...]
_SHOWN = 60  # characters of a wrong value


class SettingsError(ConfigError):
    """All that is wrong with some settings.

    Attributes:
        mistakes: a line for each: the setting as the user would write it, and what is wrong with it.
    """

    def __init__(self, where: str, mistakes: Sequence[str]) -> None:
        self.mistakes = [*dict.fromkeys(mistakes)]
        if len(self.mistakes) == 1:
            super().__init__(": ".join([*([where] if where else []), self.mistakes[0]]))
        else:
            heading = f"{where or 'the settings'}: {len(self.mistakes)} mistakes"
            super().__init__(heading, *(f"  {mistake}" for mistake in self.mistakes))


class Problem:
    """One thing that pydantic found wrong with settings.

    Attributes:
        location: of the setting that is wrong; where an item of a list is wrong: of the list.
        reads: locations of the settings that it follows from.
    """

    def __init__(self, model: type[BaseModel], found: ErrorDetails) -> None:
        self._model, self._found = model, found
        ends = [index for index, part in enumerate(found["loc"]) if isinstance(part, int) or part == "[key]"]
        self.location: Location = found["loc"][: min(ends, default=None)]
        self.reads = [self.location[:-1] if found["type"] == "missing" else self.location]
        if found["type"] == "conflict":
            section = self._section
            self.reads = [(*section, *(read.split(".") if read else ())) for read in found["ctx"]["reads"]]

    @classmethod
    def all_of(cls, model: type[BaseModel], error: ValidationError) -> list["Problem"]:
        """Return what was found, but for a list that is too short only because items of it are wrong."""
        found = error.errors()
        return [
            cls(model, each)
            for each in found
            if each["type"] != "too_short" or not any(each["loc"] == other["loc"][:-1] for other in found)
        ]

    @property
    def _section(self) -> Location:
        """The section that has a conflict."""
        return self._found["loc"][: -len(self._found["ctx"]["key"].split("."))]

    @property
    def to_leave_out(self) -> Location:
        """What to leave out so that the rest can be validated."""
        return self._section if self._found["type"] == "conflict" else self.location

    def follows(self, left_out: Sequence[Location]) -> bool:
        """Whether it may follow from what was left out."""
        return any(all(map(eq, one, other)) for one in self.reads for other in left_out)

    def line(self, raw: Mapping[str, Any], below: str) -> str:
        """Return the mistake.

        Args:
            raw: the settings as they were given; below: where in a larger tree these stand.
        """
        key = ".".join([*([below] if below else []), *map(str, self.location)])
        return f"{key}: {self._text(raw)}" if key else self._text(raw)

    def _text(self, raw: Mapping[str, Any]) -> str:
        found, location = self._found, self.location
        match found["type"]:
            case "conflict":
                off = [entry for entry in found["ctx"]["entries"] if _at(raw, tuple(entry.split("."))) is None]
                return f"{found['msg']}{f' ({off[0]} is null, which switches it off)' if off else ''}"
            case "value_error":
                return found["msg"].removeprefix("Value error, ")
            case "extra_forbidden":
                owner = section_in(kind_at(self._model, location[:-1]))
                known = [*owner.model_fields] if owner else []
                listed = f"; it is none of {', '.join(known)}" if known else "; there is nothing to set"
                return f"unknown key{did_you_mean(location[-1], known) or listed}"
            case "missing" if location == found["loc"]:
                return f"is missing; give {described(kind_at(self._model, location))}{self._example(', e.g. ')}"
            case "missing" | "too_long" | "tuple_type":
                given = _at(raw, location)
            case _:
                location, given = found["loc"], found["input"]
        kind = kind_at(self._model, location)
        remedy = hint(kind, given) or self._example("; e.g. ")
        return f"must be {described(kind)}, not {_shown(given)}{remedy}"

    def _example(self, introduced: str) -> str:
        """Return e.g. "; e.g. {wccn: {}}" where the setting has an example."""
        *above, key = self.location
        owner = section_in(kind_at(self._model, above))
        field = owner.model_fields.get(str(key)) if owner else None
        return f"{introduced}{in_one_line(field.examples[0])}" if field and field.examples else ""


def leave_out(model: type[BaseModel], raw: dict[str, Any], location: Location) -> None:
    """Remove a setting from nested settings; an example takes the place of one that is required."""
    *above, key = location
    for part in above:
        raw = raw.get(str(part)) or {}  # the section may have been left out itself
    owner = section_in(kind_at(model, above))
    field = owner.model_fields.get(str(key)) if owner else None
    if field and field.is_required() and field.examples:
        raw[str(key)] = copy.deepcopy(field.examples[0])
    else:
        raw.pop(str(key), None)


def _at(raw: Any, location: Location) -> Any:
    for part in location:
        raw = raw.get(part, ()) if isinstance(raw, Mapping) else ()
    return raw


def _shown(given: Any) -> str:
    text = repr(given) if isinstance(given, str) else in_one_line(given)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
