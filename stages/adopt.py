"""`reseed adopt`: make a model of a diffusion network trained elsewhere, such as SEED's released checkpoints."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from reseed.stages.backbones.table import BACKBONES
from reseed.stages.backbones.weights import networks_with, present, read_state
from reseed.stages.common.prose import counted, first_few
from reseed.stages.enhancers.folder import FOLDER, ModelInfo, save_model
from reseed.stages.enhancers.mlp import RdmMlp
from reseed.stages.enhancers.seed import SeedConfig
from reseed.stages.enhancers.table import make_enhancer
from reseed.store import EmbeddingStore, ModelError
from reseed.store.atomic import sha256_file
from reseed.store.url import AnyPath

_FIRST = "input_proj.weight"

RELEASED = SeedConfig(mode="compat", noise_draws=1)


def adopt(*, checkpoint: Path, store: AnyPath, model: Path, settings: SeedConfig = RELEASED) -> str:
    """Write the model directory of a network of SEED's layout (`reseed.stages.enhancers.mlp.RdmMlp`).

    Args:
        checkpoint: what torch.save wrote, or .safetensors, of the network alone or of SEED's whole task model; wrappers
            and prefixes are found by rule.
        store: of embeddings of the backbone with which the network was trained; the model fits stores of its space.
        model: directory to write; an older model there is replaced.
        settings: how it samples; by default as the released code: one step at t=50, one draw of noise. The number of
            blocks is that of the checkpoint.

    Returns:
        What was done, and what else is in the file, in a line.

    Raises:
        ModelError: no checkpoint, one with code in it, of another network or another dimension than the store.
        StoreError: the store cannot be read.
    """
    FOLDER.check_replaceable(model, store, checkpoint)
    source = EmbeddingStore(store)
    found = read_state(present(checkpoint))
    state, beside = network_state(found, checkpoint)
    dim, blocks = state[_FIRST].shape[1], _blocks(state)
    if dim != source.dim:
        raise ModelError(
            f"{checkpoint} takes embeddings of {dim} dimensions, store {store} holds {source.dim}; "
            "give a store of the backbone that it was trained with"
        )
    settings = settings.model_copy(update={"blocks": blocks})
    enhancer = make_enhancer("seed", settings, dim)
    enhancer.get_submodule("network").load_state_dict(state)
    info = ModelInfo.of(source, "seed", settings, seed=0).model_copy(
        update={"utterances": 0, "adopted": f"{checkpoint.name}, SHA-256 {sha256_file(checkpoint)}"}
    )
    save_model(model, enhancer, info, [])
    told = f"{model}: seed, {dim} dimensions, {counted(blocks, 'block')}, for embeddings of {source.space}"
    return told + _described(beside, checkpoint)


def network_state(found: Mapping[str, Tensor], checkpoint: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights of the one network in a state dict, under the names of `RdmMlp`, and the names beside it.

    SEED's task model registers its network twice; of equal copies one is taken.

    Raises:
        ModelError: there is none, there are several, or one of another layout; names the first three faults.
    """
    prefixes = sorted(name.removesuffix(_FIRST) for name in found if f".{name}".endswith(f".{_FIRST}"))
    if not prefixes:
        looks = _backbone(found)
        advice = f"; it looks like the backbone {looks}, which backbone.settings.weights takes" if looks else ""
        raise ModelError(f"{checkpoint} is no checkpoint of SEED's network: no tensor is called {_FIRST}{advice}")
    first, *others = ({name.removeprefix(at): found[name] for name in found if name.startswith(at)} for at in prefixes)
    if not all(_equal(first, other) for other in others):
        raise ModelError(f"{checkpoint} holds networks that differ, at {first_few(prefixes)}; save one of them alone")
    if faults := sorted(_faults(first)):
        raise ModelError(f"{checkpoint} is no checkpoint of SEED's network: {first_few(faults)}")
    return first, [name for name in found if not name.startswith(tuple(prefixes))]


def _faults(state: Mapping[str, Tensor]) -> Iterator[str]:
    yield from (f"{name} is not finite" for name, tensor in state.items() if not tensor.isfinite().all())
    if state[_FIRST].ndim != 2:
        yield f"{_FIRST} is no matrix"
        return
    with torch.device("meta"):  # shapes alone: a few names of a damaged file may ask for terabytes
        wanted = RdmMlp(state[_FIRST].shape[1], _blocks(state)).state_dict()
    yield from (f"{name} is missing" for name in wanted.keys() - state.keys())
    yield from (f"{name} is unknown" for name in state.keys() - wanted.keys())
    for name in wanted.keys() & state.keys():
        if state[name].shape != wanted[name].shape:
            yield f"{name} is {list(state[name].shape)} in place of {list(wanted[name].shape)}"


def _blocks(state: Mapping[str, Tensor]) -> int:
    return max(1, len({name.split(".")[1] for name in state if name.startswith("res_blocks.")}))


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _described(beside: Sequence[str], checkpoint: Path) -> str:
    if not beside:
        return ""
    looks = _backbone(beside)
    use = f"a {looks}, which backbone.settings.weights={checkpoint} loads" if looks else "which are not taken"
    return f"; beside it lie {counted(len(beside), 'tensor')} ({first_few(beside)}), {use}"


def _backbone(names: Iterable[str]) -> str | None:
    return next((name for name in networks_with(names) if name in BACKBONES), None)
