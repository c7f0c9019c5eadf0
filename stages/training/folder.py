"""The folder that any training leaves behind: how it is written, read and checked.

FOLDER/*.safetensors   the weights
FOLDER/*.json          what they are, with their digest
FOLDER/train.jsonl     one row per epoch
FOLDER/README.md       the card
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from pydantic import SerializerFunctionWrapHandler, ValidationError, model_serializer
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from reseed.stages.common.section import Section
from reseed.store import ConfigError, ModelError, atomic
from reseed.store.outputs import check_apart, check_folder
from reseed.store.sealed import digests_of, read_record, write_record
from reseed.store.url import AnyPath

HISTORY, CARD = "train.jsonl", "README.md"

Epoch = dict[str, float]  # a row of train.jsonl: epoch, step, loss, ...


class TrainedInfo(Section):
    """What the JSON of such a folder says; each kind of folder adds its own.

    Attributes:
        weights_sha256: SHA-256 of the weights, filled in when they are written.
        files: SHA-256 of the files beside this one, by name; likewise. Not of the history, which says how fast it went:
            the same training gives the same bytes here.
        plugins: code of other packages that it was made by: name of the component -> distribution, version and digest.
    """

    weights_sha256: str = ""
    files: dict[str, str] = {}
    plugins: dict[str, dict[str, str]] = {}

    @model_serializer(mode="wrap")
    def _without_plugins(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = dump(self)
        return {name: value for name, value in found.items() if name != "plugins" or value}


Info = TypeVar("Info", bound=TrainedInfo)
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class TrainedFolder(Generic[Info]):
    """One kind of such folders.

    Attributes:
        noun: what it is called, "a model".
        command: what makes one, "reseed train".
        info: type of what its JSON says.
        info_file, weights_file, other_files: names of its files, beside the history and the card.
    """

    noun: str
    command: str
    info: type[Info]
    info_file: str
    weights_file: str = "weights.safetensors"
    other_files: tuple[str, ...] = ()

    def check_replaceable(self, path: Path, *inputs: AnyPath | None) -> None:
        """Refuse to write where something else is.

        Args:
            inputs: what the training reads.

        Raises:
            ModelError: `path` is a file or a link, a folder that holds other things, or not apart from an input.
        """
        check_folder(path, self.noun, self._is_one, self.pattern, ModelError)
        check_apart([path], inputs, ModelError)

    @property
    def pattern(self) -> str:
        """Pattern of the paths of its files."""
        files = (self.info_file, self.weights_file, HISTORY, CARD, *self.other_files)
        return "|".join(map(re.escape, files))

    def _is_one(self, path: Path) -> bool:
        if (path / self.info_file).exists():
            self._read_info(path)
            return True
        # Snakemake removes a rule's declared output before it repeats it, and leaves the rest of its directory.
        return all((path / name).exists() for name in (self.weights_file, HISTORY, CARD))

    def write(
        self,
        path: Path,
        state: Mapping[str, Tensor],
        info: Info,
        history: Sequence[Epoch],
        card: Callable[[Info], str],
        others: Mapping[str, str] | None = None,
    ) -> Info:
        """Write the folder, replacing an older one of its kind; whole or not at all.

        Args:
            info: without digests, which are filled in here.
            card: makes the text of README.md.
            others: contents of `other_files`.

        Returns:
            `info` with the digests.

        Raises:
            ModelError: `path` is something else.
        """
        self.check_replaceable(path)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        with atomic.atomic_directory(path) as directory:
            atomic.write_bytes(directory / self.weights_file, save(tensors))
            info = info.model_copy(update={"weights_sha256": atomic.sha256_file(directory / self.weights_file)})
            atomic.write_text(directory / HISTORY, "".join(json.dumps(row) + "\n" for row in history))
            atomic.write_text(directory / CARD, card(info))
            for name, text in (others or {}).items():
                atomic.write_text(directory / name, text)
            files = {name: sha256 for name, sha256 in digests_of(directory).items() if name != HISTORY}
            info = info.model_copy(update={"files": files})
            write_record(directory / self.info_file, info.model_dump(mode="json"))
        return info

    def load(self, path: Path, build: Callable[[Info], Network]) -> tuple[Network, Info]:
        """Return the network of a folder, frozen, and what its JSON says.

        Args:
            build: makes the network, its weights yet to be loaded.

        Raises:
            ModelError: not such a folder, a damaged one, or files that belong to different networks.
        """
        info, state = self.read(path)
        try:
            with torch.device("meta"):  # of shapes alone: a JSON may ask for more than there is memory
                wanted = build(info).state_dict()
            self._check_state(path / self.weights_file, state, wanted)
            network = build(info)
        except (ConfigError, ValidationError, ValueError, TypeError, RuntimeError, OverflowError) as error:
            raise self._unusable(f"{path / self.info_file} cannot be used: {_one_line(error)}") from error
        network.load_state_dict(state)
        return network.eval().requires_grad_(False), info

    def read(self, path: Path) -> tuple[Info, dict[str, Tensor]]:
        """Return what the JSON of a folder says, and its weights: those that it names by their digest.

        Raises:
            ModelError: not such a folder, or a damaged one.
        """
        info, file = self._read_info(path), path / self.weights_file
        try:
            self._check_weights(file, info)
            state = load_file(file)
        except FileNotFoundError:
            raise self._unusable(f"{file} is missing") from None
        except (OSError, SafetensorError) as error:
            raise self._unusable(f"{file} is damaged ({_one_line(error)})") from error
        for name, tensor in state.items():
            if not tensor.isfinite().all():
                raise self._unusable(f"{file}: tensor {name!r} holds values that are not finite")
        return info, state

    def check_weights(self, file: Path) -> None:
        """Refuse weights other than those that the JSON beside them names; any file that lies in no such folder passes.

        Raises:
            ModelError: they are damaged or were exchanged, or the JSON is damaged.
        """
        if file.name == self.weights_file and (file.parent / self.info_file).is_file():
            self._check_weights(file, self._read_info(file.parent))

    def _check_weights(self, file: Path, info: Info) -> None:
        if atomic.sha256_once(file) != info.weights_sha256:
            raise self._unusable(f"{file} is damaged or was exchanged: {self.info_file} has another SHA-256 of it")

    def _read_info(self, path: Path) -> Info:
        file = path / self.info_file
        try:
            return self.info.model_validate_json(json.dumps(read_record(file)))
        except FileNotFoundError:
            problem = f"{path} is not {self.noun}: it has no {self.info_file}"
            raise ModelError(f"{problem}; make one with `{self.command}`") from None
        except (OSError, ValueError) as error:
            raise self._unusable(f"{file} is damaged ({_one_line(error)})") from error

    def _check_state(self, file: Path, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
        for name in sorted(wanted.keys() ^ state.keys()):
            fault = "lacks" if name in wanted else "has an unknown"
            raise self._unusable(f"{file} {fault} tensor {name!r}: {self.info_file} describes another network")
        for name, tensor in wanted.items():
            if tensor.shape != state[name].shape:
                raise self._unusable(
                    f"{file}: tensor {name!r} is {list(state[name].shape)}, but {self.info_file} calls for "
                    f"{list(tensor.shape)}: the two files belong to different networks"
                )

    def _unusable(self, problem: str) -> ModelError:
        return ModelError(f"{problem}; make {self.noun} again with `{self.command}`")


def table_of(settings: Mapping[str, Any]) -> str:
    """Return settings as a table of a card, in Markdown."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items()) or "| none | |"
    return f"| setting | value |\n|---|---|\n{rows}\n"


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
    return " ".join(str(error).split())
