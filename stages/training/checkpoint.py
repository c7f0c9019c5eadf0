"""What a training that was killed is resumed from: all of its state, in one file beside the model to come."""

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from reseed.stages.common.terminal import log
from reseed.store import atomic
from reseed.store.bounded import check_regular

State = dict[str, Any]


class TrainingCheckpoint:
    """The file of one training; it is whole or absent, holds no code, and fits that training alone.

    Args:
        path: the file.
        belongs_to: JSON-like; a training that differs in any of it starts over.
        every_s: seconds between two saves.
    """

    def __init__(self, path: Path, belongs_to: Mapping[str, Any], every_s: float) -> None:
        self.path, self.every_s = path, every_s
        self._key = atomic.digest(belongs_to)
        self._saved_s = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._saved_s >= self.every_s

    def save(self, state: State) -> None:
        """Write a state: numbers, strings, tensors, and lists and dicts of them."""
        written = io.BytesIO()  # torch's own writer does not survive a full disk
        torch.save({"key": self._key, "state": state}, written)
        atomic.write_bytes(self.path, written.getbuffer())
        self._saved_s = time.monotonic()

    def load(self) -> State | None:
        """Return the state that was saved last; None, and a line that says why, where there is none that fits."""
        atomic.remove_temporaries(self.path)
        if not self.path.exists():
            return None
        try:
            check_regular(self.path)
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            key, state = saved["key"], saved["state"]
        except Exception as error:  # damaged files fail in as many ways as there are formats
            log(f"{self.path} cannot be used ({type(error).__name__}); training starts over")
            return None
        if key != self._key:
            log(f"{self.path} is of a training with another store or other settings; training starts over")
            return None
        log(f"resuming from {self.path}")
        return state
