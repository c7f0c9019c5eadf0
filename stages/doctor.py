"""`doctor`: what of this machine a run would use: versions, devices, decoders, weights, extras, disk, Slurm."""

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reseed.stages.audio.vad_settings import silero_file
from reseed.stages.backbones.settings import CAMPPlusConfig, GE2EConfig
from reseed.stages.common.terminal import lines
from reseed.stages.common.threads import given_cores
from reseed.store import ConfigError

# Of what every installation has, these bring libraries of their own: they are loaded, as a run would.
_LOADED = ("numpy", "torch", "torchaudio", "h5py", "pyarrow", "soundfile", "av", "onnxruntime")
_WEIGHTS: dict[str, Callable[[], Path]] = {
    "ge2e": GE2EConfig.published,
    "campplus": CAMPPlusConfig.published,
    "silero": silero_file,
}
_ANOTHER = {*_WEIGHTS, "dev"}  # extras that are not listed as such
_BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16")  # flags of a CPU, the fastest first
_SLURM_S = 10.0


@dataclass(frozen=True)
class Fact:
    """One thing that was looked at.

    Attributes:
        found: what there is, in words; None: nothing.
        advice: where there is nothing: what to do.
        is_needed: nothing works without it.
    """

    topic: str
    name: str
    found: str | None
    advice: str = ""
    is_needed: bool = False

    def line(self) -> str:
        """Return it in a line."""
        return f"  {self.name:12} {f'none: {self.advice}' if self.found is None else self.found}"


@dataclass(frozen=True)
class Diagnosis:
    """What there is, and what is missing."""

    facts: list[Fact]

    @property
    def broken(self) -> list[str]:
        """What nothing works without, a line each."""
        return [fact.advice for fact in self.facts if fact.found is None and fact.is_needed]

    def to_json(self) -> dict[str, Any]:
        """Return topic -> name -> what was found (null: nothing); what to do, by name; and what is broken."""
        found = {topic: {fact.name: fact.found for fact in facts} for topic, facts in self._topics().items()}
        advice = {fact.name: fact.advice for fact in self.facts if fact.found is None}
        return {**found, "advice": advice, "broken": self.broken}

    def summary(self) -> str:
        """Return it in words, a fact a line under each topic."""
        return lines(line for topic, facts in self._topics().items() for line in (topic, *(x.line() for x in facts)))

    def _topics(self) -> dict[str, list[Fact]]:
        topics: dict[str, list[Fact]] = {}
        for fact in self.facts:
            topics.setdefault(fact.topic, []).append(fact)
        return topics


def doctor() -> Diagnosis:
    """Look at this machine and this installation; nothing is written, and nothing is asked of a network."""
    topics = (_versions, _devices, _audio, _weights, _extras, _disk, _slurm)
    return Diagnosis([fact for topic in topics for fact in topic()])


def _versions() -> Iterator[Fact]:
    yield Fact("versions", "Python", platform.python_version())
    yield Fact("versions", "reseed", importlib.metadata.version("reseed"))
    for package in _LOADED:
        version, advice = _version(package), f"{package} is not installed; run `uv pip install {package}`"
        if version is not None and (fault := _fault(package)):
            version, advice = None, f"{package} {version} cannot be loaded ({fault}); install it again"
        yield Fact("versions", package, version, advice, is_needed=True)
    for package in sorted(set(_requirements().get("", ())) - {*_LOADED}):
        if _version(package) is None:
            advice = f"{package} is not installed; run `uv pip install {package}`"
            yield Fact("versions", package, None, advice, is_needed=True)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _fault(module: str) -> str:
    """Return why a module cannot be imported; "": it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever a broken library does, it is what is looked for
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _requirements() -> dict[str, list[str]]:
    """Return extra -> the packages that it asks for; "": those of every installation."""
    found: dict[str, list[str]] = {}
    for requirement in importlib.metadata.requires("reseed") or []:
        package, extra = re.match(r"[\w.-]+", requirement), re.search(r"extra\s*==\s*['\"]([\w-]+)", requirement)
        if package and package[0] != "reseed":  # an extra that asks for another one
            found.setdefault(extra[1] if extra else "", []).append(package[0])
    return found


def _devices() -> Iterator[Fact]:
    yield Fact("devices", "CPU cores", f"{given_cores()} given, of {os.cpu_count()}")
    information = Path("/proc/cpuinfo")
    flags = set(information.read_text(encoding="utf-8").split()) if information.exists() else set()
    fast = next((flag for flag in _BFLOAT16 if flag in flags), None)
    yield Fact("devices", "bfloat16", fast, "this CPU has no instructions for it")
    yield Fact("devices", "CUDA", _gpus(), "all is computed on the CPU")


def _gpus() -> str | None:
    """Return the usable GPUs and their memory."""
    if _fault("torch"):
        return None
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    every = [torch.cuda.get_device_properties(number) for number in range(count)]
    return ", ".join(f"{each.name} ({each.total_memory / 1e9:.0f} GB)" for each in every) or None


def _audio() -> Iterator[Fact]:
    if not _fault("soundfile"):
        version = importlib.import_module("soundfile").__libsndfile_version__
        yield Fact("audio", "soundfile", f"libsndfile {version}")
    if not _fault("av"):
        libraries = importlib.import_module("av").library_versions
        versions = (f"{name} {'.'.join(map(str, libraries[name]))}" for name in ("libavcodec", "libavformat"))
        yield Fact("audio", "PyAV", ", ".join(versions))
    yield Fact("audio", "ffmpeg", shutil.which("ffmpeg"), "not on PATH, and not needed: PyAV brings its libraries")


def _weights() -> Iterator[Fact]:
    for name, published in _WEIGHTS.items():
        try:
            yield Fact("weights", name, str(published()))
        except ConfigError as error:
            yield Fact("weights", name, None, str(error))


def _extras() -> Iterator[Fact]:
    for extra, packages in sorted(_requirements().items()):
        if extra and extra not in _ANOTHER:
            missing = [package for package in packages if _version(package) is None]
            present = ", ".join(f"{package} {_version(package)}" for package in packages)
            yield Fact("extras", extra, None if missing else present, f"run `uv pip install {' '.join(missing)}`")


def _disk() -> Iterator[Fact]:
    here = Path.cwd()
    yield Fact("disk", "free", f"{shutil.disk_usage(here).free / 1e9:.1f} GB in {here}")


def _slurm() -> Iterator[Fact]:
    for command in ("sbatch", "sinfo"):
        path = shutil.which(command)
        yield Fact("Slurm", command, path and _slurm_version(path), "not on PATH; `--profile slurm` needs it")


def _slurm_version(path: str) -> str:
    """Return what a command of Slurm says of itself; its controller is not asked."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_SLURM_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path}, which does not answer ({error})"
    return f"{done.stdout.strip() or 'no version'} ({path})"
