"""Packages with components for reseed, as an installer leaves them: modules, and the metadata beside them."""

from pathlib import Path
from textwrap import dedent


def write_package(site: Path, name: str, entries: dict[str, str], version: str = "1.0", **modules: str) -> Path:
    """Write a package.

    Args:
        entries: group and name -> module:attribute, {"enhancers.mine": "mine_module:Mine"}.
        modules: name of a module -> its code; `a__b` lies in the package a.
    """
    metadata = site / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"[reseed.{key.partition('.')[0]}]\n{key.partition('.')[2]} = {value}" for key, value in entries.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, code in modules.items():
        path = site.joinpath(*module.split("__")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        if path.parent != site:
            (path.parent / "__init__.py").touch()
        path.write_text(dedent(code))
    (metadata / "top_level.txt").write_text("\n".join({module.split("__")[0] for module in modules}) + "\n")
    return site
