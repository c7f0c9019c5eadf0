"""`reseed sweep`: train one enhancer under many settings from one cache, in one process. No audio is opened."""

import csv
import io
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reseed.stages.common.device import torch_device
from reseed.stages.common.section import Section
from reseed.stages.common.terminal import log
from reseed.stages.enhancers.base import Enhancer, TrainedEnhancer
from reseed.stages.enhancers.fitting import fit
from reseed.stages.enhancers.folder import FOLDER, ModelInfo, save_model
from reseed.stages.enhancers.table import enhancer_class, make_enhancer
from reseed.stages.training.data import TrainingData, open_data
from reseed.stages.training.folder import Epoch
from reseed.stages.training.loop import optimise
from reseed.stages.training.settings import TrainingSettings
from reseed.store import ConfigError, EmbeddingStore, ModelError, atomic
from reseed.store.bounded import read_json
from reseed.store.outputs import check_apart, check_folder
from reseed.store.url import AnyPath

HELD_OUT = 0.1
_DIVERGED: Epoch = {"epoch": 0, "step": 0, "loss": math.inf, "validation_eer": 0.5}
_TABLE, _ROWS, _PLOT, _BEST = "sweep.csv", "sweep.json", "sweep.svg", "model"


@dataclass(frozen=True, kw_only=True)
class SweepOrder:
    """Which enhancer to train under which settings, and on which store.

    Attributes:
        store: directory of the store to train on.
        sweep: directory to write: sweep.csv, sweep.json (the histories too), sweep.svg and the best as model/.
        enhancer: a name in the table `reseed.stages.enhancers.table.ENHANCERS`.
        settings: that enhancer's `Config`.
        vary: setting, or "seed" -> the values it takes.
        seed: of the candidates whose seed is not varied.
        device: torch device, e.g. "cpu" or "cuda".
    """

    store: AnyPath
    sweep: Path
    enhancer: str
    settings: Section
    vary: Mapping[str, Sequence[Any]]
    seed: int
    device: str = "cpu"


@dataclass(frozen=True)
class Candidate:
    """One setting of a sweep.

    Attributes:
        varied: what sets it apart from the others.
        settings, seed: with which it is trained.
    """

    varied: dict[str, Any]
    settings: Section
    seed: int

    @property
    def held_out(self) -> float:
        """Share of the utterances that are kept for validation."""
        return self.settings.held_out if isinstance(self.settings, TrainingSettings) else HELD_OUT

    @property
    def label(self) -> str:
        """What sets it apart, in words."""
        return ", ".join(f"{name}={value}" for name, value in self.varied.items()) or "as given"


@dataclass(frozen=True)
class Result:
    """What came of a candidate.

    Attributes:
        network: the enhancer, with the weights of its best epoch.
        history: rows of its training; none of a closed form.
        eer: on the utterances held out, a fraction.
    """

    candidate: Candidate
    network: Enhancer
    history: list[Epoch]
    eer: float

    @property
    def kept(self) -> Epoch:
        """The row of the epoch whose weights are kept."""
        return min(reversed(self.history), key=lambda row: row["validation_eer"], default={})

    @property
    def rank(self) -> tuple[float, float]:
        """By what results are sorted: EER, then loss."""
        loss = self.kept.get("loss", math.inf)
        return self.eer, loss if math.isfinite(loss) else math.inf

    def row(self) -> dict[str, Any]:
        """Return its row of the table."""
        kept = {name: self.kept.get(name) for name in ("loss", "epoch")}
        return {**self.candidate.varied, "validation_eer": self.eer, **kept, "epochs": len(self.history)}


def sweep(order: SweepOrder) -> str:
    """Train an enhancer under every combination of some settings, validate all alike, and keep the best.

    The cache is read once. What ranks them is the EER of the utterances held out (a tenth, where the settings do not
    say), in the epoch that is best for each.

    Returns:
        The table, sorted by EER and loss.

    Raises:
        ConfigError: no such enhancer, device or setting, or a value it does not take.
        StoreError: a store that cannot be trained on.
        ModelError: `sweep` is something other than a sweep, or no candidate gave numbers.
    """
    files = "|".join([*map(re.escape, (_TABLE, _ROWS, _PLOT)), f"{_BEST}/({FOLDER.pattern})"])
    check_folder(order.sweep, "a sweep", _is_sweep, files, ModelError)
    check_apart([order.sweep], [order.store], ModelError)
    candidates, device = plan(order), torch_device(order.device)
    store = EmbeddingStore(order.store)
    data = open_data(store, candidates[0].held_out, device)
    log(f"sweep {order.enhancer} on {order.store}, {data.pairs.kind}: {len(candidates)} settings")
    results = [_result(order, each, store, data) for each in candidates]
    ranked = sorted(results, key=lambda result: result.rank)
    best = ranked[0]
    if not math.isfinite(best.rank[1]) and best.history:
        raise ModelError("training diverged under every setting of the sweep; lower lr")
    if not best.history:  # a closed form, once chosen, is fitted on everything
        fit(best.network, store, open_data(store, 0.0, device))
    info = ModelInfo.of(store, order.enhancer, best.candidate.settings, best.candidate.seed)
    _write(order.sweep, ranked, info)
    return table(ranked)


def plan(order: SweepOrder) -> list[Candidate]:
    """Return a candidate for every combination of the values.

    Raises:
        ConfigError: no such enhancer or setting, a value it does not take, or several shares to hold out.
    """
    config = enhancer_class(order.enhancer).Config
    unknown = [name for name in order.vary if name != "seed" and name not in config.model_fields]
    if unknown:
        names = ", ".join(config.model_fields)
        raise ConfigError(f"{order.enhancer} has no setting {unknown[0]!r}; it has seed, {names}")
    base = order.settings.model_dump()
    if isinstance(order.settings, TrainingSettings) and "held_out" not in order.vary:
        base["held_out"] = order.settings.held_out or HELD_OUT
    combinations = itertools.product(*order.vary.values())
    candidates = [
        _candidate(config, base, dict(zip(order.vary, values, strict=True)), order.seed) for values in combinations
    ]
    shares = {each.held_out for each in candidates}
    if len(shares) > 1:
        raise ConfigError(f"held_out cannot vary ({', '.join(map(str, sorted(shares)))}): all are ranked on the same")
    return candidates


def table(ranked: Sequence[Result]) -> str:
    """Return the results as aligned columns, the best first."""
    rows = [[*ranked[0].candidate.varied, "EER %", "loss", "epoch"]]
    for each in ranked:
        training = [f"{each.kept['loss']:.4f}", f"{each.kept['epoch']}"] if each.kept else ["", ""]
        rows.append([*map(str, each.candidate.varied.values()), f"{100 * each.eer:.2f}", *training])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _candidate(config: type[Section], base: Mapping[str, Any], varied: dict[str, Any], seed: int) -> Candidate:
    try:
        seed = int(varied.get("seed", seed))
        settings = config.model_validate({**base, **{name: varied[name] for name in varied if name != "seed"}})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "settings"
        raise ConfigError(f"--vary {where}: {problem['msg']} (given: {problem['input']!r})") from None
    except (TypeError, ValueError):
        raise ConfigError(f"--vary seed: {varied['seed']!r} is not a whole number") from None
    validated = {name: seed if name == "seed" else getattr(settings, name) for name in varied}
    return Candidate(validated, settings, seed)


def _result(order: SweepOrder, candidate: Candidate, store: EmbeddingStore, data: TrainingData) -> Result:
    validation = data.held_out
    assert validation is not None
    network = make_enhancer(order.enhancer, candidate.settings, store.dim, candidate.seed).to(data.pairs.device)
    fit(network, store, data)
    history: list[Epoch] = []
    if isinstance(network, TrainedEnhancer):
        pairs = data.pairs.reordered(network.config.batch, candidate.seed)
        try:
            history = optimise(network, pairs, candidate.seed, validation=validation)
        except ModelError as error:  # settings that diverge do not end the others
            log(f"{candidate.label}: {error}")
        if not history or not all(math.isfinite(row["loss"]) for row in history):
            history = [_DIVERGED]
    log(f"{candidate.label}: done")
    eer = min((row["validation_eer"] for row in history), default=None)
    return Result(candidate, network, history, validation.eer(network) if eer is None else eer)


def _write(path: Path, ranked: Sequence[Result], info: ModelInfo) -> None:
    from reseed.stages.reporting.plots.sweep import Outcome, plot_sweep  # matplotlib takes seconds to import

    rows = [each.row() for each in ranked]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    outcomes = [
        Outcome(each.candidate.label, each.eer, each.kept.get("loss"), [row["validation_eer"] for row in each.history])
        for each in ranked
    ]
    with atomic.atomic_directory(path) as directory:
        save_model(directory / _BEST, ranked[0].network, info, ranked[0].history)
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


def _is_sweep(path: Path) -> bool:
    rows = read_json(path / _ROWS)
    return isinstance(rows, list) and all("history" in row and "validation_eer" in row for row in rows)
