"""`reseed train`: fit an enhancer on the cached vectors of one store. No audio is opened.

Every vector is paired with the clean view of its own crop, the clean one with itself, as SEED does. The vectors lie on
the device where they fit, else they are streamed from disk in another order. On the CPU the same store, settings, seed,
number of threads and side of the limit give the same weights, and so does a training that was killed and started again:
it resumes from its checkpoint.
"""

from dataclasses import dataclass

from reseed.stages.common.device import torch_device
from reseed.stages.common.section import Section
from reseed.stages.common.terminal import log
from reseed.stages.enhancers.base import TrainedEnhancer
from reseed.stages.enhancers.fitting import fit
from reseed.stages.enhancers.folder import FOLDER, ModelInfo, save_model
from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.training.data import TrainingData, coverage, open_data
from reseed.stages.training.folder import Epoch
from reseed.stages.training.loop import optimise
from reseed.stages.training.order import TrainingOrder
from reseed.stages.training.process_group import ONE_PROCESS, ProcessGroup, run_in_processes
from reseed.stages.training.settings import TrainingSettings
from reseed.store import EmbeddingStore
from reseed.store.url import AnyPath


@dataclass(frozen=True, kw_only=True)
class EnhancerOrder(TrainingOrder):
    """Which enhancer to train, and on which store.

    Attributes:
        store: directory of the store; most enhancers need the view "clean" and another one.
        enhancer: a name in the table `reseed.stages.enhancers.table.ENHANCERS`.
        settings: that enhancer's `Config`.
        processes: how many share every batch: one per GPU, or all on the CPU.
        resident_limit_bytes: a store larger than this, as float32, is streamed; None for half of the device's free
            memory.
    """

    store: AnyPath
    enhancer: str
    settings: Section
    processes: int = 1
    resident_limit_bytes: int | None = None

    @property
    def held_out(self) -> float:
        """Share of the utterances that are kept for validation."""
        return self.settings.held_out if isinstance(self.settings, TrainingSettings) else 0.0


def train(order: EnhancerOrder, group: ProcessGroup = ONE_PROCESS) -> str:
    """Train an enhancer on a store and write the model directory; returns what came of it.

    Args:
        group: in a process that `train` itself has started: which of them this is.

    Raises:
        ConfigError: no such enhancer or device, settings of another enhancer, or fewer GPUs than processes.
        StoreError: a store that cannot be trained on.
        ModelError: training diverged, or `model` is something other than a model.
    """
    if order.processes > group.size:
        run_in_processes(train, order, order.processes)
        return _made(order)
    FOLDER.check_replaceable(order.model, order.store)
    store, device = EmbeddingStore(order.store), torch_device(order.device)
    enhancer = make_enhancer(order.enhancer, order.settings, store.dim, order.seed)
    data = open_data(store, order.held_out, device, order.resident_limit_bytes, group, enhancer.needs_noise)
    if group.is_main:
        validated = ", validated on utterances held out" if data.held_out else ""
        pairs = f"{data.pairs.rows_per_epoch} pairs{validated}"
        log(f"train {order.enhancer} on {store.path}, {data.pairs.kind}: {coverage(store)}, {pairs}")
    enhancer.to(device)
    fit(enhancer, store, data)
    if enhancer.remark() and group.is_main:
        log(f"{order.enhancer}: {enhancer.remark()}")
    info = ModelInfo.of(store, order.enhancer, order.settings, order.seed)
    history = _optimised(enhancer, data, order, info, group) if isinstance(enhancer, TrainedEnhancer) else []
    if group.is_main:
        save_model(order.model, enhancer, info, history)
        order.remove_checkpoint()
    return _made(order)


def _made(order: EnhancerOrder) -> str:
    return f"{order.model}: {order.enhancer}, trained on {order.store}"


def _optimised(
    enhancer: TrainedEnhancer, data: TrainingData, order: EnhancerOrder, info: ModelInfo, group: ProcessGroup
) -> list[Epoch]:
    pairs = data.pairs.reordered(enhancer.config.batch, order.seed)
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
