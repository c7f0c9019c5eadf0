"""Pages of HTML: one environment for the templates of all rooms, which every room names by its folder in `stages/`."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reseed.stages.common.terminal import printable


def render(template: str, **values: object) -> str:
    """Fill in a template, e.g. "auditing/audit.html.j2".

    Every value is escaped, control characters too, and one that is missing is an error.
    A page extends "common/base.html.j2", which brings the style that all pages share.
    """
    return _environment().get_template(template).render(**values)


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
    return value if hasattr(value, "__html__") else printable(str(value), keep="\n\t")
