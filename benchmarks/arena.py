"""The same vectors in every form that the contests read, and what a contest of reading or writing them gave."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import generated
from benchmarks.measure import Contender, Ratio, Rounds, speed_ratio, take_turns
from benchmarks.peer import Peer

LAYOUTS = ("hdf5", "parquet")
Ways = dict[str, Contender]


@dataclass(frozen=True)
class Contest:
    """Seconds of our ways and of the peers' ways, and the least ratio that is asked for, by peer."""

    title: str
    ours: list[str]
    peers: list[str]
    seconds: Rounds
    targets: dict[str, float] = field(default_factory=dict)

    def ratio(self, ours: str, peer: str) -> Ratio:
        """Return how many times the speed of `peer` that of `ours` is."""
        return speed_ratio(self.seconds, ours, peer)

    def is_missed(self, ours: str, peer: str) -> bool:
        """Say whether the median falls short of what is asked for."""
        return self.ratio(ours, peer).median < self.targets.get(peer, 0.0)


@dataclass(frozen=True)
class Arena:
    """Vectors [rows, D] in memory, as stores of both layouts, as one .npy file and as embedding-reader wants them.

    Attributes:
        shards: shards of the stores that have several.
        peer: embedding-reader, or None where there is none.
        rounds: how often each way is timed.
    """

    folder: Path
    vectors: generated.Vectors
    shards: int
    peer: Peer | None
    rounds: int

    @property
    def npy(self) -> Path:
        return self.folder / "all.npy"

    @property
    def stores(self) -> dict[str, Path]:
        """Name in the tables -> store: one shard and several, in both layouts."""
        names = {1: "1 shard", self.shards: f"{self.shards} shards"}
        return {f"{layout}, {name}": self.store(layout, n) for layout in LAYOUTS for n, name in names.items()}

    def store(self, layout: str, shards: int) -> Path:
        return self.folder / f"{layout}-{shards}"

    def build(self) -> None:
        """Write everything to disk."""
        np.save(self.npy, self.vectors)
        for layout in LAYOUTS:
            for shards in (1, self.shards):
                generated.write_store(self.store(layout, shards), generated.parts(self.vectors, shards), layout)
        parts = self.folder / "npy"
        parts.mkdir()
        for index, part in enumerate(np.array_split(self.vectors, self.shards)):
            np.save(parts / f"{index:05d}.npy", part)

    def peer_ways(self, do: str) -> Ways:
        """Return embedding-reader's ways: .npy parts, its fastest format, and the Parquet files of our own store."""
        if self.peer is None:
            return {}
        folders = {"npy": self.folder / "npy", "parquet": self.store("parquet", self.shards) / "shards"}
        for file_format, folder in folders.items():
            self.peer.ask("open", folder, file_format)
        ask = self.peer.ask
        return {
            f"embedding-reader {file_format}": lambda folder=folder, file_format=file_format: ask(
                do, folder, file_format
            )
            for file_format, folder in folders.items()
        }

    def contest(
        self, title: str, ours: Ways, peers: Ways, targets: dict[str, float] | None = None, rounds: int = 0
    ) -> Contest:
        """Time all ways in turns."""
        seconds = take_turns({**ours, **peers}, rounds or self.rounds)
        return Contest(title, list(ours), list(peers), seconds, targets or {})
