"""`reseed adopt`: make a model of a diffusion network trained elsewhere, such as SEED's released checkpoints."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from reseed.stages.backbones.weights import present, read_state
from reseed.stages.enhancers.folder import FOLDER, ModelInfo, save_model
from reseed.stages.enhancers.mlp import RdmMlp
from reseed.stages.enhancers.seed import SeedConfig
from reseed.stages.enhancers.table import make_enhancer
from reseed.store import EmbeddingStore, ModelError
from reseed.store.atomic import sha256_file

_FIRST = "input_proj.weight"
_SHOWN = 3

RELEASED = SeedConfig(mode="compat", noise_draws=1)


def adopt(*, checkpoint: Path, store: Path, model: Path, settings: SeedConfig = RELEASED) -> str:
    """Write the model directory of a network of SEED's layout (`reseed.stages.enhancers.mlp.RdmMlp`).

    Args:
        checkpoint: what torch.save wrote, or .safetensors; wrappers and a prefix are found by rule.
        store: of embeddings of the backbone with which the network was trained; the model fits stores of its space.
        model: directory to write; an older model there is replaced.
        settings: how it samples; by default as the released code: one step at t=50, one draw of noise.

    Returns:
        What was done, in a line.

    Raises:
        ModelError: no checkpoint, one with code in it, of another network or another dimension than the store.
        StoreError: the store cannot be read.
    """
    FOLDER.check_replaceable(model, store, checkpoint)
    source = EmbeddingStore(store)
    state = network_state(read_state(present(checkpoint)), checkpoint)
    dim = state[_FIRST].shape[1]
    if dim != source.dim:
        raise ModelError(
            f"{checkpoint} takes embeddings of {dim} dimensions, store {store} holds {source.dim}; "
            "give a store of the backbone that it was trained with"
        )
    enhancer = make_enhancer("seed", settings, dim)
    enhancer.get_submodule("network").load_state_dict(state)
    info = ModelInfo.of(source, "seed", settings, seed=0).model_copy(
        update={"utterances": 0, "adopted": f"{checkpoint.name}, SHA-256 {sha256_file(checkpoint)}"}
    )
    save_model(model, enhancer, info, [])
    return f"{model}: seed, {dim} dimensions, for embeddings of {source.space}"


def network_state(found: Mapping[str, Tensor], checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights of the one network in a state dict, under the names of `RdmMlp`.

    Raises:
        ModelError: there is none, or something beside it; names the first three faults.
    """
    prefixes = [name.removesuffix(_FIRST) for name in found if f".{name}".endswith(f".{_FIRST}")]
    if len(prefixes) != 1 or found[prefixes[0] + _FIRST].ndim != 2:
        raise ModelError(f"{checkpoint} is no checkpoint of SEED's network: it has {len(prefixes)} tensors {_FIRST}")
    state = {name.removeprefix(prefixes[0]): tensor for name, tensor in found.items()}
    wanted = {name: tensor.shape for name, tensor in RdmMlp(state[_FIRST].shape[1]).state_dict().items()}
    faults = [f"{name} is missing" for name in wanted.keys() - state.keys()]
    faults += [f"{name} is unknown" for name in state.keys() - wanted.keys()]
    faults += [
        f"{name} is {list(state[name].shape)} in place of {list(shape)}"
        for name, shape in wanted.items()
        if name in state and state[name].shape != shape
    ]
    faults += [f"{name} is not finite" for name, tensor in state.items() if not tensor.isfinite().all()]
    if faults:
        raise ModelError(f"{checkpoint} is no checkpoint of SEED's network: {', '.join(sorted(faults)[:_SHOWN])}")
    return state
