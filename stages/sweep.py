"""`reseed sweep`: train one enhancer under many settings from one cache, in one process. No audio is opened."""

import csv
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reseed.stages.common.device import torch_device
from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer, TrainedEnhancer, TrainingSettings
from reseed.stages.enhancers.folder import ModelInfo, save_model
from reseed.stages.enhancers.table import enhancer_class, make_enhancer
from reseed.stages.training.cache.blocks import Part
from reseed.stages.training.cache.open import open_pairs
from reseed.stages.training.cache.reader import PairReader
from reseed.stages.training.cache.resident import ResidentPairs
from reseed.stages.training.data import CLEAN_VIEW, Data, open_data
from reseed.stages.training.loop import optimise
from reseed.stages.training.record import Row, log
from reseed.store import ConfigError, EmbeddingStore, ModelError, atomic

HELD_OUT = 0.1
_DIVERGED: Row = {"epoch": 0, "step": 0, "loss": math.inf, "validation_eer": 0.5}
_TABLE, _ROWS, _PLOT, _BEST = "sweep.csv", "sweep.json", "sweep.svg", "model"


@dataclass
class Candidate:
    """One setting, and what came of it.

    Attributes:
        varied: what sets it apart from the others.
        settings, seed: with which it is trained.
        network: the enhancer, with the weights of its best epoch once it is trained.
        history: rows of its training; none of a closed form.
        eer: on the utterances held out, a fraction.
    """

    varied: dict[str, Any]
    settings: Section
    seed: int
    network: Enhancer | None = None
    history: list[Row] = field(default_factory=list)
    eer: float = math.nan

    @property
    def kept(self) -> Row:
        """The row of the epoch whose weights are kept."""
        return min(reversed(self.history), key=lambda row: row["validation_eer"], default={})

    @property
    def label(self) -> str:
        """What sets it apart, in words."""
        return ", ".join(f"{name}={value}" for name, value in self.varied.items()) or "as given"

    def facts(self) -> dict[str, Any]:
        """Return its row of the table."""
        kept = self.kept
        return {
            **self.varied,
            "validation_eer": self.eer,
            "loss": kept.get("loss"),
            "epoch": kept.get("epoch"),
            "epochs": len(self.history),
        }


def sweep(
    *,
    store: Path,
    sweep: Path,
    enhancer: str,
    settings: Section,
    vary: Mapping[str, Sequence[Any]],
    seed: int,
    device: str = "cpu",
) -> str:
    """Train an enhancer under every combination of some settings, judge all alike, and keep the best.

    The cache is read once. Judged is the EER of the utterances held out (a tenth, where the settings do not say), in
    the epoch that is best for each.

    Args:
        store: directory of the store to train on.
        sweep: directory to write: sweep.csv, sweep.json (the histories too), sweep.svg and the best as model/.
        enhancer: a name in the table `reseed.stages.enhancers.ENHANCERS`.
        settings: that enhancer's `Config`.
        vary: setting, or "seed", -> the values it takes.
        seed: of the candidates whose seed is not varied.
        device: torch device, e.g. "cpu" or "cuda".

    Returns:
        The table, sorted by EER and loss.

    Raises:
        ConfigError: no such enhancer, device or setting, or a value it does not take.
        StoreError: a store that cannot be trained on.
        ModelError: `sweep` is something other than a sweep, or no candidate gave numbers.
    """
    _check_replaceable(sweep)
    candidates = plan(enhancer, settings, vary, seed)
    source = EmbeddingStore(store)
    on = torch_device(device)
    shares = {_share(each.settings) for each in candidates}
    if len(shares) > 1:
        raise ConfigError(f"held_out cannot vary ({', '.join(map(str, sorted(shares)))}): all are judged on the same")
    data = open_data(source, batch=1, held_out=shares.pop(), seed=seed, device=device)
    log(f"sweep {enhancer} on {store}, {data.pairs.kind}: {len(candidates)} settings")
    for each in candidates:
        each.network = make_enhancer(enhancer, each.settings, source.dim, each.seed).to(on)
        each.network.fit(data.pairs.blocks(), source.views, source.crops)
    for each in candidates:
        _train(each, data, source)
        log(f"{each.label}: done")
    ranked = sorted(candidates, key=_rank)
    if not math.isfinite(_rank(ranked[0])[1]) and ranked[0].history:
        raise ModelError("training diverged under every setting of the sweep; lower lr")
    if not isinstance(ranked[0].network, TrainedEnhancer):  # a closed form, once chosen, is fitted on everything
        whole = open_data(source, batch=1, held_out=0.0, seed=seed, device=device)
        ranked[0].network.fit(whole.pairs.blocks(), source.views, source.crops)
    _write(sweep, ranked, source, enhancer)
    return table(ranked)


def plan(enhancer: str, settings: Section, vary: Mapping[str, Sequence[Any]], seed: int) -> list[Candidate]:
    """Return a candidate for every combination of the values.

    Raises:
        ConfigError: no such enhancer or setting, or a value it does not take.
    """
    config = enhancer_class(enhancer).Config
    unknown = [name for name in vary if name != "seed" and name not in config.model_fields]
    if unknown:
        raise ConfigError(f"{enhancer} has no setting {unknown[0]!r}; it has seed, {', '.join(config.model_fields)}")
    base = settings.model_dump()
    if isinstance(settings, TrainingSettings) and not {"held_out"} & vary.keys():
        base["held_out"] = settings.held_out or HELD_OUT
    candidates = []
    for values in itertools.product(*vary.values()):
        varied = dict(zip(vary, values, strict=True))
        try:
            own_seed = int(varied.get("seed", seed))
            chosen = config.model_validate(base | {name: value for name, value in varied.items() if name != "seed"})
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "settings"
            raise ConfigError(f"--vary {where}: {problem['msg']} (given: {problem['input']!r})") from None
        except (TypeError, ValueError):
            raise ConfigError(f"--vary seed: {varied['seed']!r} is not a whole number") from None
        validated = {name: getattr(chosen, name) if name != "seed" else own_seed for name in varied}
        candidates.append(Candidate(validated, chosen, own_seed))
    return candidates


def table(ranked: Sequence[Candidate]) -> str:
    """Return the candidates as aligned columns, the best first."""
    rows = [[*ranked[0].varied, "EER %", "loss", "epoch"]]
    for each in ranked:
        kept = each.kept
        told = (
            [f"{100 * each.eer:.2f}", f"{kept['loss']:.4f}", f"{kept['epoch']}"] if kept else [f"{100 * each.eer:.2f}"]
        )
        rows.append([*map(str, each.varied.values()), *told])
    widths = [max(len(row[place]) for row in rows if place < len(row)) for place in range(len(rows[0]))]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=False)) for row in rows)


def _train(candidate: Candidate, data: Data, source: EmbeddingStore) -> None:
    if isinstance(candidate.network, TrainedEnhancer):
        pairs = _reader(data.pairs, source, candidate)
        try:
            history = optimise(candidate.network, pairs, candidate.seed, held_out=data.held_out)
        except ModelError as error:  # settings that diverge do not end the others
            log(f"{candidate.label}: {error}")
            history = [_DIVERGED]
        candidate.history = history if all(math.isfinite(row["loss"]) for row in history) else [_DIVERGED]
    kept = candidate.kept
    candidate.eer = kept["validation_eer"] if kept else data.held_out.eer(candidate.network)


def _reader(pairs: PairReader, source: EmbeddingStore, candidate: Candidate) -> PairReader:
    order = {"batch": candidate.settings.batch, "seed": candidate.seed}
    if isinstance(pairs, ResidentPairs):
        return ResidentPairs(pairs.vectors_NVD, clean_view=pairs.clean_view, **order)
    part = Part(_share(candidate.settings))
    return open_pairs(source, **order, device=pairs.device, clean_view=CLEAN_VIEW, resident_limit_bytes=0, part=part)


def _share(settings: Section) -> float:
    return settings.held_out if isinstance(settings, TrainingSettings) else HELD_OUT


def _rank(candidate: Candidate) -> tuple[float, float]:
    loss = candidate.kept.get("loss", math.inf)
    return candidate.eer, loss if math.isfinite(loss) else math.inf


def _write(path: Path, ranked: Sequence[Candidate], source: EmbeddingStore, enhancer: str) -> None:
    from reseed.stages.reporting.plots.sweep import Outcome, plot_sweep  # matplotlib takes seconds to import

    rows = [each.facts() for each in ranked]
    best = ranked[0]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    outcomes = [
        Outcome(each.label, each.eer, each.kept.get("loss"), [row["validation_eer"] for row in each.history])
        for each in ranked
    ]
    with atomic.atomic_directory(path) as directory:
        info = ModelInfo.of(source, enhancer, best.settings, best.seed)
        save_model(directory / _BEST, best.network, info, best.history)
        atomic.write_text(directory / _TABLE, text.getvalue())
        atomic.write_text(directory / _PLOT, plot_sweep(outcomes))
        histories = [row | {"history": _finite(each.history)} for row, each in zip(_finite(rows), ranked, strict=True)]
        atomic.write_json(directory / _ROWS, histories)


def _finite(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Replace what JSON has no number for, the loss of a setting that diverged, by null."""
    return [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        for row in rows
    ]


def _check_replaceable(path: Path) -> None:
    if path.exists() and not (path / _ROWS).exists():
        raise ModelError(f"{path} exists and is not a sweep, so it is not replaced; choose another path or remove it")
