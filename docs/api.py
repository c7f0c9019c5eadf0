"""docs/api.md: every public name of the package, made of signatures and docstrings.

python docs/api.py > docs/api.md
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

import reseed

_HEAD = """\
# Python

`import reseed` is quick: each name is loaded when it is first asked for. All names are typed, and the examples here are
run by the tests, in a folder with a small store, a model and some speech. `python docs/api.py > docs/api.md` makes
this page of the code.
"""
_ORDER = ("EmbeddingStore", "StoreDataset", "embed", "Enhancer", "VectorEnhancer", "evaluate", "Metrics")
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields|Example):\n((?:(?: .*)?\n?)+)", re.MULTILINE)
_ENTRY = re.compile(r"^    (\S[^:]*): ((?:.*)(?:\n {8}.*)*)", re.MULTILINE)


def page() -> str:
    """Return docs/api.md."""
    errors = sorted(name for name in reseed.__all__ if name.endswith("Error"))
    if {*_ORDER, *errors} != {*reseed.__all__}:
        raise ValueError("the names of docs/api.py are others than those of reseed.__all__")
    lines = [_HEAD, *(line for name in _ORDER for line in _described(name, getattr(reseed, name)))]
    lines += ["## Errors", "", "All derive from `ReseedError`; each says in one line what is wrong, where, what to do."]
    lines += ["", *(f"* `{name}`: {_text(getattr(reseed, name)).splitlines()[0]}" for name in errors)]
    return "\n".join(lines).rstrip() + "\n"


def _described(name: str, found: Any) -> Iterator[str]:
    members = vars(found) if inspect.isclass(found) else {}
    yield from (f"## {name}", "")
    if not inspect.isclass(found):
        yield from _fenced(_signature(name, found))
    elif "__init__" in members and "load" not in members and not is_dataclass(found):
        yield from _fenced(_signature(name, found.__init__).removesuffix(" -> None"))
    yield from _markdown(_text(found))
    for member, what in members.items():
        called = what.__func__ if isinstance(what, classmethod) else what
        if member.startswith("_") or not (inspect.isfunction(called) or isinstance(called, property)):
            continue
        yield from (f"### {name}.{member}", "")
        if inspect.isfunction(called):
            yield from _fenced(_signature(member, called))
        yield from _markdown(_text(called))


def _signature(name: str, function: Any) -> str:
    """Return how a function is called, its types as they are written in the code."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef)
    if node.args.args and node.args.args[0].arg in ("self", "cls"):
        node.args.args.pop(0)
    given = re.sub(r"(?<! )=(?! )", " = ", ast.unparse(node.args))
    given = re.sub(r"'([A-Z]\w+ \|[^']*)'", r"\1", given)
    returned = ast.unparse(node.returns).strip("'") if node.returns else "None"
    if len(name) + len(given) + len(returned) < 90:
        return f"{name}({given}) -> {returned}"
    arguments = re.sub(r", (?=\*|\w+: )", ",\n    ", given)
    return f"{name}(\n    {arguments},\n) -> {returned}"


def _fenced(code: str) -> list[str]:
    return ["```text", code, "```", ""]


def _text(found: Any) -> str:
    return inspect.getdoc(found) or ""


def _markdown(text: str) -> Iterator[str]:
    """Yield a docstring of Google's style as Markdown: sections as lists, the example as code."""
    yield from (_SECTION.sub("", text).strip(), "")
    for section, body in _SECTION.findall(text):
        if section == "Example":
            yield from ("```pycon", inspect.cleandoc(body), "```", "")
        elif entries := _ENTRY.findall(body):
            yield from (f"{section}:", "")
            yield from (f"* `{entry}`: {' '.join(meaning.split())}" for entry, meaning in entries)
            yield ""
        else:
            yield from (f"{section}: {' '.join(body.split())}", "")


if __name__ == "__main__":
    print(page(), end="")
