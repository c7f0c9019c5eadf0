"""Things that are chosen by name: a name that nobody has is an error that lists the names and shows the nearest."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from reseed.store import ConfigError

Thing = TypeVar("Thing")


def chosen(name: str, table: Mapping[str, Thing], what: str) -> Thing:
    """Return what `table` has under `name`.

    Args:
        what: what the table lists, in the singular: "enhancer".

    Raises:
        ConfigError: nothing; lists the choices.
    """
    if not isinstance(name, str) or name not in table:
        raise unknown(name, table, what)
    return table[name]


def unknown(name: object, known: Iterable[str], what: str) -> ConfigError:
    """Return the error that nothing is called `name`, which lists the choices."""
    names = list(known)
    return ConfigError(f"there is no {what} {name!r}; choose one of {', '.join(names)}{did_you_mean(name, names)}")


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'mse'?" where one of the names is near to what was given."""
    return "".join(f"; did you mean {name!r}?" for name in nearest(given, known))


def nearest(given: object, known: Iterable[str]) -> list[str]:
    """Return the name that is nearest to what was given, if any is near."""
    return difflib.get_close_matches(str(given), list(known), n=1, cutoff=0.5)
