"""The base of every section of the configuration, and the kinds of value that several sections share."""

import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from reseed.stages.common.plugins import Table
from reseed.store import ConfigError


class Conflict(NamedTuple):
    """Settings that do not go together, although each of them is right by itself.

    Attributes:
        key: which of them to change, as it is called within its section: "views", "near.crop_s".
        text: what is wrong and what to do, to be read after the key.
        reads: the settings that it follows from (none: the whole section). Where one of these is wrong by itself, the
            conflict may be none, and is not reported.
        entries: what is not there, and would do: "train.mse".
    """

    key: str
    text: str
    reads: tuple[str, ...] = ("",)
    entries: tuple[str, ...] = ()


CONFLICTS_ALLOWED = "conflicts allowed"  # a validation context


class Section(BaseModel):
    """A section of the configuration tree, owned by the component beside which it is declared.

    It is frozen, and a key that it does not declare is an error. The meaning of each setting stands under "Attributes"
    of the docstring, from which docs/settings.md is made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def conflicts(self) -> Iterator[Conflict]:
        """Yield every conflict between settings of this section."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _is_as_written(cls, given: Any, handler: ValidatorFunctionWrapHandler) -> Self:
        """Refuse what would silently be taken for another kind: true as 1, 1 as true."""
        found: Self = handler(given)
        written = given.items() if isinstance(given, dict) else ()
        wrong = [
            InitErrorDetails(type=_ANOTHER_KIND, loc=(key,), input=value)
            for key, value in written
            if key in cls.model_fields and _taken_for_another(value, getattr(found, key))
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return found

    @model_validator(mode="after")
    def _goes_together(self, info: ValidationInfo) -> Self:
        found = [] if info.context == CONFLICTS_ALLOWED else [_as_problem(conflict) for conflict in self.conflicts()]
        if found:
            raise ValidationError.from_exception_data(type(self).__name__, found)
        return self


_ANOTHER_KIND = PydanticCustomError("another_kind", "is of another kind")


def _taken_for_another(given: object, found: object) -> bool:
    """Whether reading took true or false for a number, or a number for true or false, here or within a list."""
    if isinstance(given, list | tuple) and isinstance(found, list | tuple):
        return any(map(_taken_for_another, given, found))
    numbers = isinstance(given, int | float) and isinstance(found, int | float)
    return numbers and isinstance(given, bool) != isinstance(found, bool)


def _as_problem(conflict: Conflict) -> InitErrorDetails:
    problem = PydanticCustomError("conflict", "{text}", conflict._asdict())
    return InitErrorDetails(type=problem, loc=tuple(conflict.key.split(".")), input=None)


@dataclass(frozen=True)
class Takes:
    """Says in words what a setting takes, where its type alone does not: `Annotated[str, Takes("cpu or cuda")]`."""

    words: str


@dataclass(frozen=True, eq=False)
class OneOf:
    """The names of a table that a text must be one of: `Annotated[str, OneOf(DATASETS)]`.

    Of a `Table` these are those of other packages, too; what they stand for is imported where one is given.
    """

    table: Collection[str]

    @property
    def names(self) -> tuple[str, ...]:
        """The names, as far as they are declared."""
        return tuple(self.table.names if isinstance(self.table, Table) else self.table)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        builtin = core_schema.literal_schema(list(self.table))
        return core_schema.no_info_wrap_validator_function(self._validated, builtin)

    def _validated(self, given: Any, handler: Callable[[Any], Any]) -> Any:
        if not (isinstance(self.table, Table) and self.table.is_foreign(given)):
            return handler(given)
        try:
            self.table.of(given)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return given


def _without_nulls(given: object) -> object:
    return {name: entry for name, entry in given.items() if entry is not None} if isinstance(given, dict) else given


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # "s3://bucket" once it is a path
Entry = TypeVar("Entry")
# A section of named entries; null switches one off.
Entries = Annotated[dict[str, Entry], BeforeValidator(_without_nulls)]


def absolute(path: Path) -> Path:
    """Return a path that holds wherever a run goes on.

    Raises:
        ValueError: it names no folder of a user, or is a URL.
    """
    if _ADDRESS.match(str(path)) and not path.exists():
        raise ValueError(f"{path} is an address, and this must be a file or folder of this machine")
    try:
        return Path(os.path.realpath(path.expanduser()))  # `resolve` raises where links lead in a circle
    except RuntimeError as error:
        raise ValueError(f"{path} names no folder of a user ({error})") from None


# A path that holds wherever the run goes on: relative ones are those of the folder in which the run was started.
AbsolutePath = Annotated[Path, AfterValidator(absolute)]
