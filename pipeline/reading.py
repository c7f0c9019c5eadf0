"""A YAML file of settings, read: what is wrong with it as YAML is said with its line."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel

from reseed.pipeline.kinds import entry_of, kind_at
from reseed.store import ConfigError
from reseed.store.bounded import read_text

_MOST_BYTES, _MOST_VALUES, _DEEPEST = 4 << 20, 100_000, 64

_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
# What PyYAML says, and what that means to somebody who wrote settings.
_IN_PLAIN_WORDS = {
    "found character '\\t'": "a tab; indent with spaces",
    "found character": "a text that begins with a special character; put it in quotes",
    "mapping values are not allowed": "a colon where there can be none; check the indentation, or put text in quotes",
    "could not find expected ':'": "a key without a colon after it",
    "expected ',' or": "a bracket that is not closed, or a comma that is missing",
    "expected <block end>": "indented otherwise than the lines before it, or a bracket too many",
    "found unexpected end of stream": "a quotation mark that is not closed",
    "but found another document": "a second document; settings are one",
    "could not determine a constructor": "a tag that settings do not know",
    "found unhashable key": "a key that is no text",
}


@dataclass
class SettingsFile:
    """The settings of a YAML file.

    Attributes:
        tree: nested settings, no part of which is shared with another, so that each can be changed alone.
        mistakes: keys that are no text or are given twice, a line each.
        empty: keys with nothing after the colon -> their lines in the file.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    empty: dict[tuple[str, ...], int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a YAML file.

        Raises:
            ConfigError: no file, or no YAML; says in which line.
        """
        try:
            loader = yaml.SafeLoader(read_text(path, _MOST_BYTES, "utf-8-sig"))
            root = loader.get_single_node()
            _check_size(root)
        except FileNotFoundError:
            raise ConfigError(f"{path} does not exist; `reseed init` writes a configuration to begin with") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be read ({error.strerror})") from error
        except yaml.MarkedYAMLError as error:
            raise ConfigError(f"{path}, {_in_plain_words(error)}") from None
        except (yaml.YAMLError, UnicodeDecodeError):
            raise ConfigError(f"{path} is not plain text in UTF-8") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path} holds no settings: {_beyond_reason(error)}") from None
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{path} holds no settings; `reseed init` writes a configuration to begin with")
        file = cls()
        file._look_at(root, (), set())
        try:
            file.tree = _unshared(loader.construct_document(root))
        except yaml.MarkedYAMLError as error:
            raise ConfigError(f"{path}, {_in_plain_words(error)}") from None
        except Exception as error:  # PyYAML makes numbers and dates of texts that are none
            raise ConfigError(f"{path}: a value is not what its tag says ({error}); put it in quotes") from None
        return file

    def _look_at(self, node: yaml.Node, way: tuple[str, ...], seen: set[int]) -> None:
        """Find mistakes in keys; a key that YAML reads as something else becomes the text that was written."""
        if id(node) in seen:  # an alias
            return
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._look_at(item, way, seen)
        lines: dict[str, int] = {}
        keys = node.value if isinstance(node, yaml.MappingNode) else ()
        for key, value in (each for each in keys if isinstance(each[0], yaml.ScalarNode)):
            line, inner = _line(key), (*way, str(key.value))
            name = ".".join(inner)
            if key.tag not in (_TEXT, _MERGE):
                self.mistakes.append(f"{name}: the key in line {line} is no text to YAML; put {key.value} in quotes")
                key.tag = _TEXT
            elif key.tag == _TEXT and key.value in lines:
                self.mistakes.append(f"{name}: given twice, in lines {lines[key.value]} and {line}")
            lines[key.value] = line
            if isinstance(value, yaml.ScalarNode) and not value.value and value.style is None:
                self.empty[inner] = line
            self._look_at(value, inner, seen)

    def empty_entries(self, model: type[BaseModel]) -> Iterator[tuple[str, int]]:
        """Yield each entry of a section of entries that has nothing after its colon, and its line."""
        for way, line in self.empty.items():
            value: Any = self.tree
            for part in way:
                value = value.get(part) if isinstance(value, dict) else ()
            if value is None and entry_of(kind_at(model, way[:-1])) is not None:
                yield ".".join(way), line


def parse_value(text: str) -> Any:
    """Return the value of one setting, as YAML reads it.

    Raises:
        ValueError: no YAML, or beyond reason.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return _unshared(loader.construct_document(node))
    except Exception as error:  # as above
        raise ValueError(_beyond_reason(error)) from None


def _check_size(node: yaml.Node | None) -> None:
    """Check that settings are of a size that somebody may have written, every alias written out.

    Raises:
        ValueError: deeper than _DEEPEST, of more than _MOST_VALUES values, or inside themselves.
    """
    level = [node] if node is not None else []
    total = 0
    for _ in range(_DEEPEST):
        total += len(level)
        if total > _MOST_VALUES:
            raise ValueError(f"they have more than {_MOST_VALUES:,} values once aliases are written out")
        inner = (each for outer in level if isinstance(outer, yaml.CollectionNode) for each in outer.value)
        level = [part for each in inner for part in (each if isinstance(each, tuple) else (each,))]
        if not level:
            return
    raise ValueError(f"they are nested deeper than {_DEEPEST} levels")


def _beyond_reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"they are nested deeper than {_DEEPEST} levels"
    return " ".join(str(error).split())


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _in_plain_words(error: yaml.MarkedYAMLError) -> str:
    said = error.problem or "unreadable"
    text = next((words for beginning, words in _IN_PLAIN_WORDS.items() if said.startswith(beginning)), said)
    # What is not closed is better looked for where it was opened than where that was noticed.
    mark = error.context_mark if "not closed" in text else error.problem_mark
    return f"line {mark.line + 1 if mark else 1}: {text}"


def _unshared(value: Any) -> Any:
    """Return nested settings of which no part is in two places, as it is where YAML has anchors."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value
