"""Components of other packages: named by entry points or as `package.module:Class`, loaded once one is asked for.

    [project.entry-points."reseed.enhancers"]
    mine = "my_package.enhancers:Mine"

What they make records their code: the version of the distribution, and a digest of the sources.
"""

import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path
from typing import Any, TypeVar

from reseed.stages.common.choice import unknown
from reseed.store import ConfigError
from reseed.store.atomic import digest, sha256_file

Thing = TypeVar("Thing")
Code = dict[str, str]  # distribution, version, sha256 of the sources
_REFERENCE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Plugin:
    """One component of another package.

    Attributes:
        name: as a configuration has it.
        reference: "package.module:attribute".
        entry: how its package declares it, "mine = module:Class of reseed.enhancers"; empty: it was named by reference.
        distribution, version: of the package; empty where no installed distribution has the module.
    """

    name: str
    reference: str
    entry: str = ""
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        package = f"the package {self.distribution} {self.version}" if self.distribution else "no installed package"
        return f"{package} (entry point {self.entry})" if self.entry else package

    @property
    def module(self) -> str:
        """The module that it lies in."""
        return self.reference.partition(":")[0]

    def load(self, what: str) -> Any:
        """Import it.

        Args:
            what: its kind in words, for the message.

        Raises:
            ConfigError: its module cannot be imported, or lacks it.
        """
        try:
            return getattr(importlib.import_module(self.module), self.reference.partition(":")[2])
        except Exception as error:  # whatever the code of others raises
            raise self._unusable(what, error) from error

    def code(self, what: str) -> Code:
        """Return what tells its code from another; the module need not be imported for it, but the packages above it.

        Raises:
            ConfigError: there is no such module.
        """
        try:
            sha256 = _digest_of_sources(self.module)
        except Exception as error:
            raise self._unusable(what, error) from error
        return {"distribution": self.distribution, "version": self.version, "sha256": sha256}

    def _unusable(self, what: str, error: Exception) -> ConfigError:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        mend = "mend or uninstall it" if self.entry else "install its package, or put its folder on PYTHONPATH"
        return ConfigError(f"the {what} {self.name!r} of {self} cannot be loaded: {said}; {mend}")


class Table(dict[str, Thing]):
    """The built-in components of one kind, by name; `of` returns those of other packages, too.

    Args:
        what: the kind in words, in the singular: "enhancer".
        group: of entry points, "reseed.enhancers".
        base: what each derives from; of what is no class: its type.
        builtin: name -> class or instance.
        part: what is taken of the class that a package names; empty: the class itself.
    """

    def __init__(self, what: str, group: str, base: type, builtin: Mapping[str, Thing], part: str = "") -> None:
        super().__init__(builtin)
        self.what, self.group, self.base, self.part = what, group, base, part

    @property
    def names(self) -> list[str]:
        """The names of the built-in components, then those that installed packages declare."""
        return list(dict.fromkeys([*self, *installed(self.group)]))

    def is_foreign(self, name: object) -> bool:
        """Whether a name is that of a component of another package, or looks like it."""
        return isinstance(name, str) and is_foreign(self.group, name)

    def of(self, name: str) -> Thing:
        """Return the component called `name`; one of another package is imported.

        Raises:
            ConfigError: nothing is called so; lists the names. Or several are, or what is cannot be used.
        """
        plugin = find(self.group, name) if self.is_foreign(name) else None
        if plugin is None and name not in self.names:
            raise unknown(name, self.names, self.what)
        if plugin is None:
            return self[name]
        if name in self:
            raise ConfigError(
                f"the {self.what} {name!r} is built in, and {plugin} has one of that name; uninstall that package, or "
                "let it choose another name"
            )
        return self._checked(plugin.load(self.what), plugin)

    def _checked(self, found: Any, plugin: Plugin) -> Thing:
        if self.part:
            found = getattr(found, self.part, None)
        classes = not self or isinstance(next(iter(self.values())), type)
        fits = isinstance(found, type) and issubclass(found, self.base) if classes else isinstance(found, self.base)
        wanted = f"{self.base.__module__}.{self.base.__qualname__}"
        if not fits:
            subject = f"the {self.part} of the {self.what}" if self.part else f"the {self.what}"
            place = ".".join(filter(None, (plugin.reference, self.part)))
            mend = f"derive {place} from" if classes else f"make {place} a"
            raise ConfigError(f"{subject} {plugin.name!r} of {plugin} is none: {mend} {wanted}")
        if "Config" in vars(self.base).get("__annotations__", {}) and not hasattr(found, "Config"):
            settings = "a reseed.stages.common.section.Section"
            raise ConfigError(f"the {self.what} {plugin.name!r} of {plugin} has no Config; set it to {settings}")
        result: Thing = found
        return result


def is_foreign(group: str, name: str) -> bool:
    """Whether an installed package declares a component of that name, or the name is a reference to one."""
    return bool(_REFERENCE.fullmatch(name)) or name in installed(group)


def find(group: str, name: str) -> Plugin | None:
    """Return the component of another package that a name stands for; None: it stands for none.

    Raises:
        ConfigError: several packages have one of that name.
    """
    if match := _REFERENCE.fullmatch(name):
        return Plugin(name, name, "", *_distribution(match[1].partition(".")[0]))
    several = installed(group).get(name, [])
    if len(several) > 1:
        raise ConfigError(
            f"{name!r} of {group} is of {' and of '.join(map(str, several))}; uninstall all but one, or name the one "
            f"that is meant as {several[0].reference}"
        )
    return several[0] if several else None


def codes_of(group: str, what: str, names: Iterable[str]) -> dict[str, Code]:
    """Return the code of those components that are of other packages, by name.

    Raises:
        ConfigError: one cannot be found, or several have its name.
    """
    found = {name: find(group, name) for name in names}
    return {name: plugin.code(what) for name, plugin in sorted(found.items()) if plugin is not None}


def plain(name: str) -> str:
    """Return a name as paths and spaces take it: letters, digits, _ and - alone, as built-in names are anyway."""
    return re.sub(r"[^\w-]", "_", name)


def installed(group: str) -> dict[str, list[Plugin]]:
    """Return what installed packages declare in a group of entry points, by name; nothing of theirs is imported."""
    return _installed(group, tuple(sys.path))


@cache
def _installed(group: str, path: tuple[str, ...]) -> dict[str, list[Plugin]]:
    found: dict[str, list[Plugin]] = {}
    for point in sorted(_entry_points(path).select(group=group), key=str):
        distribution, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
        entry = f"{point.name} = {point.value} of {group}"
        found.setdefault(point.name, []).append(
            Plugin(point.name, f"{point.module}:{point.attr}", entry, distribution, version)
        )
    return found


@cache
def _entry_points(_: tuple[str, ...]) -> Any:
    """Return the entry points of all packages on a path, read once for all kinds of component."""
    return importlib.metadata.entry_points()


@cache
def _distribution(package: str) -> tuple[str, str]:
    """Return name and version of the distribution that a top-level package comes with."""
    names = importlib.metadata.packages_distributions().get(package, [])
    return (names[0], importlib.metadata.version(names[0])) if names else ("", "")


@cache
def _digest_of_sources(module: str) -> str:
    """Return a digest of all sources of the package that a module lies in, or of its own where it lies in none.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {module!r}")
    file = Path(spec.origin)
    packages = [folder for folder in file.parents if (folder / "__init__.py").is_file()]
    if file.parent not in packages:
        return sha256_file(file)
    top = file.parent
    while top.parent in packages:
        top = top.parent
    suffixes = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
    sources = sorted(path for path in top.rglob("*") if path.name.endswith(suffixes) and path.is_file())
    return digest({path.relative_to(top).as_posix(): sha256_file(path) for path in sources})
