"""The folders that training leaves behind: weights, what they are in JSON, the course of the training, and a card."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from reseed.store import ModelError, atomic

HISTORY, CARD = "train.jsonl", "README.md"


@dataclass(frozen=True)
class TrainedFolder:
    """One kind of such folders.

    Attributes:
        noun: what it is called, "a model".
        info, weights: names of its files; others: of further text files.
    """

    noun: str
    info: str
    weights: str
    others: tuple[str, ...] = ()

    @property
    def _files(self) -> set[str]:
        return {self.info, self.weights, HISTORY, CARD, *self.others}

    def check_replaceable(self, path: Path) -> None:
        """Refuse to write where something else is.

        Raises:
            ModelError: `path` is a file, or a folder that holds other things.
        """
        if not (path / self.info).exists() and not atomic.holds_only(path, self._files):
            raise ModelError(f"{path} exists and is not {self.noun}, so it is not replaced; choose another path")

    def write(
        self,
        path: Path,
        state: Mapping[str, Tensor],
        history: list[dict[str, float]],
        told: Callable[[str], tuple[dict[str, Any], str]],
        others: Mapping[str, str] | None = None,
    ) -> None:
        """Write the folder, replacing an older one of its kind; whole or not at all.

        Args:
            history: rows of train.jsonl.
            told: from the digest of the weights to what the JSON holds, and the card.
            others: contents of further text files.

        Raises:
            ModelError: `path` is something else.
        """
        self.check_replaceable(path)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        with atomic.atomic_directory(path) as directory:
            with atomic.atomic_path(directory / self.weights) as temporary:
                save_file(tensors, temporary)
            info, card = told(atomic.sha256_file(directory / self.weights))
            atomic.write_text(directory / HISTORY, "".join(json.dumps(row) + "\n" for row in history))
            atomic.write_text(directory / CARD, card)
            for name, text in (others or {}).items():
                atomic.write_text(directory / name, text)
            atomic.write_json(directory / self.info, info)
