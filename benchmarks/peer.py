"""Talk to embedding-reader in its own process, so that it is timed in the same rounds as everybody else."""

import json
import os
import subprocess
from pathlib import Path
from typing import Self

_WORKER = Path(__file__).with_name("peer_worker.py")


class PeerMissingError(Exception):
    """The given Python cannot run embedding-reader."""


class Peer:
    """embedding-reader, opened once and asked over a pipe; its start and its imports are never timed.

    Args:
        python: a Python that has embedding-reader.

    Raises:
        PeerMissingError: it cannot be imported there.
    """

    def __init__(self, python: str) -> None:
        try:
            self._process = subprocess.Popen(
                [python, "-I", str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                text=True,
            )
        except OSError as error:
            raise PeerMissingError(f"{python} does not run ({error.strerror})") from error
        if self._answer() != "ready":
            self.close()
            raise PeerMissingError(f"{python} cannot import embedding_reader")

    def ask(self, do: str, folder: Path, file_format: str) -> float:
        """Return what the worker answers: a row count for "open", a sum for "read" and "pairs"."""
        assert self._process.stdin is not None
        print(
            json.dumps({"do": do, "folder": str(folder), "format": file_format}), file=self._process.stdin, flush=True
        )
        answer = self._answer()
        if not isinstance(answer, int | float):
            raise RuntimeError(f"embedding-reader failed to {do} {folder} as {file_format}")
        return float(answer)

    def close(self) -> None:
        """End the worker."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def _answer(self) -> object:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
