"""Two generated backbones that hear the same speakers: their stores, aligned, mapped and scored against each other."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from reseed.stages.align import align
from reseed.stages.aligners.table import aligner_class
from reseed.stages.map import map_store
from reseed.stages.score import score
from reseed.stages.scoring.metrics import eer
from reseed.stages.trial_scoring.order import ScoreOrder
from reseed.stages.trial_scoring.settings import ScoreSettings
from tests.stages.scoring.example import simulate, write_manifest, write_store, write_trials

VIEWS = {"clean": {}, "noise_5db": {"noise": 5.0}}
TURN = np.linalg.qr(np.random.default_rng(5).normal(size=(16, 16)))[0][:, :12]


class World:
    """Forty speakers embedded by two backbones; the last ten are for trials."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.people = [f"s{number:02d}" for number in range(40) for _ in range(4)]
        self.ids = [f"{who}-{number % 4}" for number, who in enumerate(self.people)]
        self.utterances = write_manifest(root / "utterances.parquet", self.ids, self.people)
        vectors = simulate(self.people, VIEWS, dim=16, crops=2, system="raw")
        noise = np.random.default_rng(1).normal(size=(*vectors.shape[:-1], 12)).astype(np.float32)
        self.vectors = {"x": vectors, "y": (vectors @ TURN + 0.2 * noise).astype(np.float32)}
        self.stores = {}
        for half, rows in (("train", slice(0, 120)), ("test", slice(120, 160))):
            for side, space in (("x", "one:1"), ("y", "two:2")):
                path = root / f"{half}.{side}"
                self.stores[half, side] = write_store(
                    path, self.ids[rows], self.people[rows], self.vectors[side][rows], VIEWS, space
                )
        tested = range(120, 160)
        pairs = [(a, b) for a in tested for b in tested if a < b]
        listed = [(self.ids[a], self.ids[b], self.people[a] == self.people[b], None) for a, b in pairs]
        self.trials = write_trials(root / "trials.parquet", listed)

    def align(self, method: str, model: Path, **options: Any) -> str:
        kind = aligner_class(method)
        settings = kind.Config(**options.pop("settings", {}))
        stores = {"enrolment": self.stores["train", "x"], "test": self.stores["train", "y"]}
        return align(**{**stores, "model": model, "method": method, "settings": settings, "seed": 0, **options})

    def mapped(self, model: Path, out: Path, half: str = "test") -> dict[str, Path]:
        paths = {}
        for side, name in (("enrolment", "x"), ("test", "y")):
            paths[side] = out / f"{half}.{side}"
            map_store(store=self.stores[half, name], model=model, side=side, mapped=paths[side])
        return paths

    def score(self, out: Path, **options: Any) -> float:
        files = {"scores": out / "scores.parquet", "identification": out / "identification.parquet"}
        settings = ScoreSettings(**options.pop("settings", {}))
        common = {"trials": self.trials, "utterances": self.utterances, "system": "nessa", "settings": settings}
        score(ScoreOrder(**{**common, **files, **options}))
        rows = [row for row in pq.read_table(files["scores"]).to_pylist() if row["condition"] == "clean"]
        values, same = (np.array([row[name] for row in rows]) for name in ("score", "is_target"))
        return eer(values[same], values[~same])
