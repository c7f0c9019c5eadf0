"""The order for a training, by paths, names and numbers: all that another process needs to take part in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reseed.stages.training.checkpoint import TrainingCheckpoint
from reseed.store import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrainingOrder:
    """What every order says; each kind of training adds what is trained, and on what.

    Attributes:
        model: directory to write; an older one of its kind is replaced.
        seed: of the first weights, and of everything random in training.
        device: torch device, e.g. "cpu" or "cuda".
        tensorboard: a folder for TensorBoard's files.
        checkpoint_every_s: seconds between two saves of the checkpoint, the file `.NAME.checkpoint` beside the model.
    """

    model: Path
    seed: int
    device: str = "cpu"
    tensorboard: Path | None = None
    checkpoint_every_s: float = 30.0

    def __post_init__(self) -> None:
        model = self.model.resolve()
        if self.tensorboard is not None and self.tensorboard.resolve().is_relative_to(model):
            raise ConfigError(
                f"{self.tensorboard} lies in the model {self.model}, which is written as a whole; name another folder"
            )

    def checkpoint(self, belongs_to: Mapping[str, Any]) -> TrainingCheckpoint:
        """Return the checkpoint of this training.

        Args:
            belongs_to: JSON-like; a training that differs in any of it starts over.
        """
        threads = torch.get_num_threads()
        shared = {"threads": threads} if threads > 1 else {}  # they decide the last bits
        return TrainingCheckpoint(self._checkpoint_file, {**belongs_to, **shared}, self.checkpoint_every_s)

    def remove_checkpoint(self) -> None:
        """Remove the checkpoint, once the model is written."""
        self._checkpoint_file.unlink(missing_ok=True)

    @property
    def _checkpoint_file(self) -> Path:
        path = self.model.resolve()
        return path.with_name(f".{path.name}.checkpoint")
