"""Pages of HTML: one environment for the templates of all rooms, which every room names by its folder in `stages/`."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reseed.stages.common.terminal import printable
from reseed.store import ConfigError, ReseedError
from reseed.store.bounded import read_text
from reseed.store.outputs import check_file

_MARK = '<meta name="generator" content="reseed">'  # of common/base.html.j2


def render(template: str, **values: object) -> str:
    """Fill in a template, e.g. "auditing/audit.html.j2".

    Every value is escaped, control characters too, and one that is missing is an error.
    A page extends "common/base.html.j2", which brings the style that all pages share.
    """
    return _environment().get_template(template).render(**values)


def check_page(path: Path, error: type[ReseedError] = ConfigError) -> None:
    """Check that a page may be written at `path`: nothing is there, or a page that `render` made."""
    check_file(path, "a page of reseed", lambda path: _MARK in read_text(path), error)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parents[1]),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _printable(value: object) -> object:
    return (
        value if hasattr(value, "__html__") else printable(str(value), keep="\n\t\u202f")
    )  # the last between a number and its unit
