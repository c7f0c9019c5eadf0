"""Strict loading of networks trained elsewhere: the weights are found by rule, and every one of them must fit.

A checkpoint is read without running code from it. Wrappers ("state_dict", "model", ...) and the prefix under which
the network lies ("module.", "__S__.", ...) are found by rule; what is left over must be known to serve training only.
"""

import io
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from zipfile import ZipFile, is_zipfile

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from reseed.stages.backbones import nemo
from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.folder import FOLDER
from reseed.stages.common.prose import first_few
from reseed.store import ModelError
from reseed.store.atomic import sha256_once
from reseed.store.bounded import check_regular

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net")
# What published checkpoints hold beside the network: the loss it was trained with, or SEED's enhancer behind it.
TRAINING_ONLY = re.compile(r"(^|\.)(__L__|speaker_loss|criterion|classifier|diffusion_network|diffusion_pipeline)\.")
BATCH_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one network, freed of wrapper and prefix.

    Attributes:
        path: the file they come from.
        network: the kind of backbone they were read as.
        sha256: digest of the file's bytes.
        state: name within the network -> tensor.
    """

    path: Path
    network: type[Backbone]
    sha256: str
    state: Mapping[str, Tensor]

    @classmethod
    def read(cls, path: Path, network: type[Backbone]) -> Self:
        """Read the weights of a `network`, whose `landmarks` tell under which prefix they lie.

        Raises:
            ModelError: no such file, no checkpoint, pickled code, another network or two, weights of unknown use, or
                weights of a trained backbone that are not those of its backbone.json.
        """
        path = present(path)
        FOLDER.check_weights(path)
        return cls(path, network, sha256_once(path), below_prefix(read_state(path), path, network))

    def size(self, key: str, axis: int = 0) -> int:
        """Return the length of an axis of one tensor: the sizes of a network follow from its weights."""
        if key not in self.state or self.state[key].ndim <= axis or not self.state[key].shape[axis]:
            raise self._misfit([f"{key} is missing or has too few axes"])
        return self.state[key].shape[axis]

    def load_into(self, module: nn.Module, recomputed: Sequence[str] = ()) -> None:
        """Copy all weights into `module`.

        Tensors whose names begin with one of `recomputed` (windows, filter banks) may be absent, as may counters of
        batches; where they are present they are used, as the network's own code does.

        Raises:
            ModelError: a weight is missing, unknown or of another shape; names the file, the first three, both shapes.
        """
        own = {key: tensor.shape for key, tensor in module.state_dict().items()}
        fitting = {key: tensor for key, tensor in self.state.items() if own.get(key, tensor.shape) == tensor.shape}
        other = [key for key in self.state if key not in fitting]
        shapes = [f"{key} is {list(self.state[key].shape)} in place of {list(own[key])}" for key in other]
        try:
            result = module.load_state_dict(fitting, strict=False)
        except RuntimeError as error:  # a shape under a name that torch translates
            raise self._misfit(shapes or [" ".join(str(error).split())]) from error
        absent = [key for key in result.missing_keys if not key.startswith((*other, *recomputed))]
        faults = [f"{key} is missing" for key in absent if not key.endswith(BATCH_COUNTER)]
        faults += [f"{key} is unknown" for key in result.unexpected_keys]
        if faults or shapes:
            raise self._misfit(faults + shapes)

    def _misfit(self, faults: Sequence[str]) -> ModelError:
        return _misfit(self.path, self.network, faults, self.state)


class Blank(Checkpoint):
    """The sizes of a network that is yet to be trained: nothing is loaded, its layers keep their first weights."""

    @classmethod
    def of(cls, network: type[Backbone], sizes: Mapping[str, Sequence[int]]) -> Self:
        """Say how large a network is by the shapes of those of its tensors that it asks for."""
        state = {key: torch.empty(tuple(shape), device="meta") for key, shape in sizes.items()}
        return cls(Path(), network, "", state)

    def load_into(self, module: nn.Module, recomputed: Sequence[str] = ()) -> None:
        """Leave `module` as it is."""


def present(path: Path) -> Path:
    """Return `path`, if there is a file of a model and not of something that often lies in its place.

    Raises:
        ModelError: no file, an empty one, a pointer of git-lfs or a page of HTML.
    """
    path = path.expanduser()
    try:
        check_regular(path)
        with path.open("rb") as file:
            head = file.read(64).lstrip().lower()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    if head.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path} is a git-lfs pointer, not the model; run `git lfs pull` where it came from")
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ModelError(f"{path} is a web page, not the model; download the file itself")
    if not head:
        raise ModelError(f"{path} is empty; download the model again")
    return path


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a checkpoint, whatever it is wrapped in, with the names of the file.

    Raises:
        ModelError: the file is no checkpoint, cannot be read without running its code, or holds no state dict.
    """
    read = {".safetensors": load_file, ".nemo": _load_nemo}.get(path.suffix, load_pickled)
    return _tensors(_read(path, read), path)


def load_pickled(path: Path) -> Any:
    """Return what `torch.save` wrote, without running code, and only as large as the file.

    Raises:
        ValueError: an archive that is larger once it is unpacked.
        Exception: as `torch.load` raises.
    """
    return _unpickled(path, path.stat().st_size)


def _load_nemo(path: Path) -> Any:
    held = nemo.member(path, nemo.WEIGHTS)
    return _unpickled(io.BytesIO(held), len(held))


def _unpickled(file: Path | io.BytesIO, size: int) -> Any:
    if is_zipfile(file):
        with ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > size:
                raise ValueError("it is compressed, as torch.save compresses nothing")
    if isinstance(file, io.BytesIO):
        file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def _read(path: Path, read: Any) -> Any:
    try:
        check_regular(path)
        return read(path)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code is None:
            raise ModelError(f"{path} is no checkpoint that torch.load or safetensors can read") from error
        raise ModelError(f"{path} holds code ({code[1]}), which is not run; save its state_dict() alone") from error
    except Exception as error:  # damaged files fail in as many ways as there are formats
        raise ModelError(f"{path} is no checkpoint that torch.load or safetensors can read") from error


def _tensors(found: Any, path: Path) -> dict[str, Tensor]:
    for _ in WRAPPERS:  # one inside another, at most
        if isinstance(found, Mapping):
            found = next((found[name] for name in WRAPPERS if isinstance(found.get(name), Mapping)), found)
    members = found.items() if isinstance(found, Mapping) else ()
    if tensors := {str(key): value for key, value in members if isinstance(value, Tensor)}:
        if padded := [key for key, value in tensors.items() if _is_padded(value)]:
            raise ModelError(f"{path}: {padded[0]} claims more values than the file holds; save plain tensors")
        return tensors
    held = f"only {first_few(map(str, found))}" if isinstance(found, Mapping) else type(found).__name__
    raise ModelError(f"{path} holds no state dict, but {held}; save the network's state_dict()")


def _is_padded(tensor: Tensor) -> bool:
    """Whether a tensor shows one value of its storage in many places: a few bytes of a file may stand for terabytes."""
    return tensor.layout != torch.strided or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()


def below_prefix(state: Mapping[str, Tensor], path: Path, network: type[Backbone]) -> dict[str, Tensor]:
    """Return the tensors below the one prefix under which all `landmarks` of the network are found, without it.

    Raises:
        ModelError: no such prefix, several, or tensors beside it that do not serve training alone.
    """
    first = network.landmarks[0]
    prefixes = {key.removesuffix(first) for key in state if f".{key}".endswith(f".{first}")}
    fitting = sorted(prefix for prefix in prefixes if all(prefix + name in state for name in network.landmarks))
    if not fitting:
        raise _misfit(path, network, [f"{name} is missing" for name in network.landmarks], state)
    if len(fitting) > 1:
        raise ModelError(f"{path} holds {len(fitting)} networks, at {first_few(fitting)}; save one of them alone")
    needed = {key: tensor for key, tensor in state.items() if not TRAINING_ONLY.search(key)}
    if strangers := [key for key in needed if not key.startswith(fitting[0])]:
        raise _misfit(path, network, [f"{key} is unknown" for key in strangers], state)
    return {key.removeprefix(fitting[0]): tensor for key, tensor in needed.items()}


def _misfit(path: Path, network: type[Backbone], faults: Sequence[str], state: Mapping[str, Tensor]) -> ModelError:
    looks = [name for name in networks_with(state) if name != network.name]
    advice = f"; it looks like {looks[0]}: set backbone.name={looks[0]}" if looks else ""
    return ModelError(f"{path} is no checkpoint of {network.name}: {first_few(faults)}{advice}")


def networks_with(names: Iterable[str]) -> list[str]:
    """Return the names of the backbones whose landmarks are among some names of weights, below a prefix or not."""
    kinds: list[type[Backbone]] = [Backbone]
    for kind in kinds:  # grows as it goes: not the table, which imports this module
        kinds += kind.__subclasses__()
    ends = {name[start:] for name in names for start in (0, *(dot.end() for dot in re.finditer(r"\.", name)))}
    return [kind.name for kind in kinds if kind.landmarks and ends.issuperset(kind.landmarks)]
