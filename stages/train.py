"""`reseed train`: fit an enhancer on the cached vectors of one store. No audio is opened."""

from dataclasses import dataclass
from pathlib import Path

from reseed.stages.common.device import torch_device
from reseed.stages.common.section import Section
from reseed.stages.enhancers.base import Enhancer, TrainedEnhancer
from reseed.stages.enhancers.folder import FOLDER, ModelInfo, save_model
from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.training.data import TrainingData, coverage, open_data
from reseed.stages.training.folder import Epoch
from reseed.stages.training.loop import optimise
from reseed.stages.training.order import TrainingOrder
from reseed.stages.training.process_group import ONE_PROCESS, ProcessGroup, run_in_processes
from reseed.stages.training.progress import log
from reseed.store import EmbeddingStore


@dataclass(frozen=True, kw_only=True)
class EnhancerOrder(TrainingOrder):
    """Which enhancer to train, and on which store.

    Attributes:
        store: directory of the store; needs the view "clean" and another one.
        enhancer: a name in the table `reseed.stages.enhancers.table.ENHANCERS`.
        settings: that enhancer's `Config`.
        processes: how many share every batch: one per GPU, or all on the CPU.
        resident_limit_bytes: a store larger than this, as float32, is streamed; None for half of the device's free
            memory.
    """

    store: Path
    enhancer: str
    settings: Section
    processes: int = 1
    resident_limit_bytes: int | None = None


def train(order: EnhancerOrder, group: ProcessGroup = ONE_PROCESS) -> None:
    """Train an enhancer on a store and write the model directory.

    Every vector is paired with the clean view of its own crop, the clean one with itself, as SEED does. The vectors
    lie on the device where they fit, else they are streamed from disk in another order. On the CPU the same store,
    settings, seed, number of threads and side of the limit give the same weights, and so does a training that was
    killed and started again: it goes on from its checkpoint.

    Args:
        group: in a process that `train` itself has started: which of them this is.

    Raises:
        ConfigError: no such enhancer or device, settings of another enhancer, or fewer GPUs than processes.
        StoreError: a store that cannot be trained on.
        ModelError: training diverged, or `model` is something other than a model.
    """
    if order.processes > group.size:
        run_in_processes(train, order, order.processes)
        return
    FOLDER.check_replaceable(order.model)
    device, store = torch_device(order.device), EmbeddingStore(order.store)
    enhancer = make_enhancer(order.enhancer, order.settings, store.dim, order.seed).to(device)
    held_out = enhancer.config.held_out if isinstance(enhancer, TrainedEnhancer) else 0.0
    data = open_data(store, held_out, device, order.resident_limit_bytes, group)
    if group.is_main:
        validated = ", validated on utterances held out" if held_out else ""
        log(f"train {order.enhancer} on {store.path}, {data.kind}: {coverage(store)}, {len(data)} pairs{validated}")
    info = ModelInfo.of(store, order.enhancer, order.settings, order.seed)
    history = _fit(enhancer, data, order, info, group)
    if group.is_main:
        save_model(order.model, enhancer, info, history)
        order.remove_checkpoint()


def _fit(
    enhancer: Enhancer, data: TrainingData, order: EnhancerOrder, info: ModelInfo, group: ProcessGroup
) -> list[Epoch]:
    """Fit what has a closed form, then optimise what is trained; return its history."""
    enhancer.fit(data.blocks(), data.store.views, data.store.crops)
    if not isinstance(enhancer, TrainedEnhancer):
        return []
    pairs = data.pairs(enhancer.config.batch, order.seed)
    belongs_to = info.model_dump(mode="json", exclude={"store_path"})
    belongs_to |= {"order": pairs.state_dict()["order"], "processes": group.size}
    return optimise(
        enhancer,
        pairs,
        order.seed,
        validation=data.held_out,
        checkpoint=order.checkpoint(belongs_to),
        tensorboard=order.tensorboard,
        group=group,
    )
