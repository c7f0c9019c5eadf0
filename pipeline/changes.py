"""Which settings differ between runs, in the words of their YAML."""

from collections.abc import Iterator, Mapping
from typing import Any

from reseed.pipeline.config import RunConfig
from reseed.pipeline.kinds import in_one_line

Key = tuple[str, ...]
_LONGEST = 60  # characters of a value
_MOST = 20  # lines


def differing(configs: Mapping[str, RunConfig]) -> dict[str, dict[str, Any]]:
    """Return the settings that are not the same in all runs: key -> run -> value; who lacks a setting is left out.

    Of a section that not all of them have, the value is what it says beside its defaults.
    """
    full = {run: config.model_dump(mode="json") for run, config in configs.items()}
    brief = {run: config.model_dump(mode="json", exclude_defaults=True) for run, config in configs.items()}
    return {".".join(key): values for key, values in _differing((), full, brief)}


def _differing(key: Key, full: dict[str, Any], brief: dict[str, Any]) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Yield what differs below a key. `brief` has an entry for every run, `full` for those that have the setting."""
    everywhere = len(full) == len(brief)
    if everywhere and all(isinstance(value, Mapping) for value in full.values()):
        for name in dict.fromkeys(name for value in full.values() for name in value):
            below = {run: value[name] for run, value in full.items() if name in value}
            yield from _differing((*key, name), below, {run: _entry(value, name) for run, value in brief.items()})
    elif not everywhere or any(value != next(iter(full.values())) for value in full.values()):
        yield key, {run: brief[run] or {} if isinstance(value, Mapping) else value for run, value in full.items()}


def _entry(section: Any, name: str) -> Any:
    return section.get(name) if isinstance(section, Mapping) else None


def changes(before: RunConfig, now: RunConfig) -> list[str]:
    """Return a line for each setting that has changed: "trials.list was a.txt, is b.txt"; at most twenty and one."""
    lines = []
    for key, values in differing({"was": before, "is": now}).items():
        lines.append(f"{key} was {value_of('was', values)}, is {value_of('is', values)}")
    more = len(lines) - _MOST
    return [*lines[:_MOST], *([f"and {more} more"] if more > 0 else [])]


def value_of(run: str, values: Mapping[str, Any]) -> str:
    """Return the value that a run has for a setting, as one would write it."""
    return _written(values[run]) if run in values else "not set"


def _written(value: object) -> str:
    """Return a value in YAML on one line, cut where it is long."""
    text = in_one_line(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
