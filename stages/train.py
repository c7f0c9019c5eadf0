"""`reseed train`: fit an enhancer on the cached vectors of one store. No audio is opened."""

from pathlib import Path
from typing import Any

from reseed.stages.common.device import torch_device
from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import TrainedEnhancer, TrainingSettings
from reseed.stages.enhancers.folder import FOLDER, ModelInfo, save_model
from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.training.cache.memory import free_bytes
from reseed.stages.training.checkpoint import Checkpoint
from reseed.stages.training.data import check_trainable, coverage, open_data
from reseed.stages.training.loop import optimise
from reseed.stages.training.record import log
from reseed.stages.training.team import ALONE, Team, check_processes, together
from reseed.store import ConfigError, EmbeddingStore


def train(
    *,
    store: Path,
    model: Path,
    enhancer: str,
    settings: Section,
    seed: int,
    device: str = "cpu",
    processes: int = 1,
    tensorboard: Path | None = None,
    resident_limit_bytes: int | None = None,
    checkpoint_every_s: float = 30.0,
) -> None:
    """Train an enhancer on a store and write the model directory.

    Every vector is paired with the clean view of its own crop, the clean one with itself, as SEED does. The whole
    cache lies on the device where it fits, else it is streamed from disk in another order. On the CPU the same store,
    settings, seed, number of threads and side of the limit give the same weights, and so does a training that was
    killed and started again: it goes on from the file `.NAME.checkpoint` beside the model.

    Args:
        store: directory of the store to train on; needs the view "clean" and another one.
        model: directory to write; an older model there is replaced.
        enhancer: a name in the table `reseed.stages.enhancers.ENHANCERS`.
        settings: that enhancer's `Config`.
        seed: seeds the initial weights and everything random in training.
        device: torch device, e.g. "cpu" or "cuda".
        processes: how many processes share every batch: one per GPU, or all on the CPU.
        tensorboard: a folder for TensorBoard's files.
        resident_limit_bytes: a cache larger than this, as float32, is streamed; None for half of the device's free
            memory.
        checkpoint_every_s: seconds between two saves of the checkpoint.

    Raises:
        ConfigError: no such enhancer or device, settings of another enhancer, or fewer GPUs than processes.
        StoreError: a store that cannot be trained on.
        ModelError: training diverged, or `model` is something other than a model.
    """
    on = torch_device(device)
    check_processes(processes, device)
    FOLDER.check_replaceable(model)
    if tensorboard is not None and tensorboard.resolve().is_relative_to(model.resolve()):
        raise ConfigError(f"{tensorboard} lies in the model {model}, which is written as a whole; name another folder")
    if resident_limit_bytes is None:  # once for all processes, which on the CPU share what is free
        resident_limit_bytes = free_bytes(on) // 2 // (processes if on.type == "cpu" else 1)
    source = EmbeddingStore(store)
    check_trainable(source)
    arguments = {
        "store": store,
        "model": model,
        "enhancer": enhancer,
        "settings": settings,
        "seed": seed,
        "tensorboard": tensorboard,
        "resident_limit_bytes": resident_limit_bytes,
        "checkpoint_every_s": checkpoint_every_s,
    }
    if processes > 1:
        make_enhancer(enhancer, settings, source.dim)  # what is refused should be before anything is started
        together(processes, device, _train, arguments)
    else:
        _train(team=ALONE, device=device, **arguments)


def _train(
    *,
    team: Team,
    store: Path,
    model: Path,
    enhancer: str,
    settings: Section,
    seed: int,
    device: str,
    tensorboard: Path | None,
    resident_limit_bytes: int | None,
    checkpoint_every_s: float,
) -> None:
    source = EmbeddingStore(store)
    network = make_enhancer(enhancer, settings, source.dim, seed).to(torch_device(device))
    trained = isinstance(settings, TrainingSettings)
    data = open_data(
        source,
        batch=settings.batch if trained else 1,  # a closed form reads no batches
        held_out=settings.held_out if trained else 0.0,
        seed=seed,
        device=device,
        resident_limit_bytes=resident_limit_bytes,
    )
    if team.leads:
        log(
            f"train {enhancer} on {store}, {data.pairs.kind}: {coverage(source)}, "
            f"{data.pairs.pairs_per_epoch} pairs{_judged(data.held_out is not None)}"
        )
    network.fit(data.pairs.blocks(), source.views, source.crops)
    info = ModelInfo.of(source, enhancer, settings, seed)
    history, checkpoint = [], _checkpoint(model, info, data.pairs.state_dict(), team, checkpoint_every_s)
    if isinstance(network, TrainedEnhancer):
        history = optimise(
            network,
            data.pairs,
            seed,
            held_out=data.held_out,
            checkpoint=checkpoint,
            tensorboard=tensorboard,
            team=team,
        )
    if team.leads:
        save_model(model, network, info, history)
        checkpoint.remove()


def _checkpoint(model: Path, info: ModelInfo, place: dict[str, Any], team: Team, every_s: float) -> Checkpoint:
    path = model.resolve()
    belongs_to = info.model_dump(mode="json", exclude={"store_path"})
    belongs_to |= {"order": place["order"], "processes": team.size}
    return Checkpoint(path.with_name(f".{path.name}.checkpoint"), belongs_to, every_s)


def _judged(held_out: bool) -> str:
    return ", judged on utterances held out" if held_out else ""
