"""Snakemake profiles: where the jobs of a run are sent, and what is asked for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from reseed.pipeline import layout
from reseed.store import ConfigError

_HERE = (None, "local", "dryrun", "touch")  # executors that send nothing anywhere


@dataclass(frozen=True)
class Request:
    """What one job asks for."""

    cores: int
    memory_mb: int
    runtime_min: int
    gpus: int

    def __str__(self) -> str:
        gpus = f", {self.gpus} GPU{'s' if self.gpus > 1 else ''}" if self.gpus else ""
        return f"{self.cores} cores, {self.memory_mb:,} MB, {self.runtime_min} min{gpus}"


@dataclass(frozen=True)
class Profile:
    """A folder with a config.yaml of Snakemake's options."""

    path: Path

    @classmethod
    def named(cls, name: str) -> "Profile":
        """Return a profile by its name under configs/profiles, or by its path.

        Raises:
            ConfigError: there is none, or what it sends jobs by is not installed.
        """
        known = layout.project_file("configs") / "profiles"
        found = cls(known / name if (known / name).is_dir() else Path(name).resolve())
        if not found.path.is_dir():
            names = ", ".join(sorted(path.name for path in known.iterdir()))
            raise ConfigError(f"no profile {name!r}; choose {names}, or give the path of one")
        package = f"snakemake-executor-plugin-{found.executor}"
        if found.sends and find_spec(package.replace("-", "_")) is None:
            raise ConfigError(
                f"the profile {found.path} needs {package}, not installed here; run `uv pip install {package}`"
            )
        return found

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Its options, without the dashes before them."""
        path = self.path / "config.yaml"
        return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}

    @property
    def executor(self) -> str | None:
        return self.settings.get("executor")

    @property
    def sends(self) -> bool:
        """Whether jobs are sent to other machines."""
        return self.executor not in _HERE

    def request(self, rule: str, given: "Given", gpus: int) -> Request:
        """Return what a job of a rule asks for, as far as the profile and the command line say.

        Args:
            gpus: what the rule asks for.
        """
        most = _assigned(self.settings.get("resources", ())) | given.values("--resources")
        wanted = _assigned(self.settings.get("default-resources", ())) | given.values("--default-resources")
        wanted |= self.settings.get("set-resources", {}).get(rule, {})
        threads = self.settings.get("set-threads", {}).get(rule, 1)
        memory_mb = int(wanted.get("mem_mb", 0))
        return Request(
            cores=min(threads, given.cores or self.settings.get("cores") or threads),
            memory_mb=min(memory_mb, int(most.get("mem_mb", memory_mb))),
            runtime_min=int(wanted.get("runtime", 0)),
            gpus=gpus,
        )


@dataclass(frozen=True)
class Given:
    """What the command line says beside a profile.

    Attributes:
        cores: of one job, or of this machine where jobs are not sent.
        extra: arguments for Snakemake.
    """

    cores: int | None
    extra: Sequence[str] = ()

    @property
    def partition(self) -> str | None:
        """Where jobs of Slurm are sent by --default-resources."""
        return self.values("--default-resources").get("slurm_partition")

    def values(self, option: str) -> dict[str, str]:
        """Return what follows an option: `--resources mem_mb=4000 gpu=1` or `--resources=mem_mb=4000`."""
        found: dict[str, str] = {}
        is_here = False
        for word in self.extra:
            if word.startswith("-"):
                name, _, word = word.partition("=")
                is_here = name == option
            if is_here and "=" in word:
                found |= _assigned([word])
        return found


def _assigned(entries: Sequence[str]) -> dict[str, Any]:
    """Read ["mem_mb=4000"]."""
    return dict(entry.split("=", 1) for entry in entries)
