import math
import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from reseed.stages.adopt import adopt
from reseed.stages.backbones.table import backbone_class
from reseed.stages.enhance import enhance
from reseed.stages.enhancers.folder import load_model
from reseed.stages.enhancers.mlp import RdmMlp
from reseed.stages.enhancers.seed import SeedConfig
from reseed.store import EmbeddingStore, ModelError
from tests.stages.backbones import checkpoints
from tests.stages.stores import write_store

DIM = 16


def released(dim: int = DIM, **size: int) -> RdmMlp:
    """SEED's network with every weight drawn at random, as no new one has them."""
    network, generator = RdmMlp(dim, **size), torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    return network


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    return write_store(tmp_path / "store")


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    torch.save(released().state_dict(), tmp_path / "seed.pth")
    return tmp_path / "seed.pth"


WRAPPED = {
    "bare": lambda state: state,
    "in a dict": lambda state: {"state_dict": state},
    "prefixed": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_a_released_checkpoint_enhances_as_the_released_code_does(tmp_path, store, wrap):
    torch.save(wrap(released().state_dict()), tmp_path / "seed.pth")
    told = adopt(checkpoint=tmp_path / "seed.pth", store=store.path, model=tmp_path / "model")
    assert told.endswith("seed, 16 dimensions, 3 blocks, for embeddings of ge2e:aaaaaaaa")
    enhancer, info = load_model(tmp_path / "model")
    x = torch.from_numpy(store.vectors()[:5].copy())
    enhanced = enhancer.enhance(x, torch.Generator().manual_seed(4))
    noise = torch.randn(5, DIM, generator=torch.Generator().manual_seed(4))
    x_t = math.sqrt(0.99084) * math.sqrt(DIM) * F.normalize(x, dim=-1) + math.sqrt(1 - 0.99084) * noise
    expected = released()(x_t, torch.tensor([50])).clamp(-3 * math.sqrt(DIM), 3 * math.sqrt(DIM))
    torch.testing.assert_close(enhanced, expected, rtol=1e-3, atol=1e-3)
    assert info.adopted.startswith("seed.pth, SHA-256 ")


def test_safetensors_are_read_too_and_settings_can_be_chosen(tmp_path, store):
    save_file(released().state_dict(), tmp_path / "seed.safetensors")
    settings = SeedConfig(mode="compat", noise_draws=0)
    adopt(checkpoint=tmp_path / "seed.safetensors", store=store.path, model=tmp_path / "model", settings=settings)
    assert load_model(tmp_path / "model")[1].config["noise_draws"] == 0


def test_an_adopted_model_enhances_a_store_and_its_card_says_where_it_is_from(tmp_path, store, checkpoint):
    adopt(checkpoint=checkpoint, store=store.path, model=tmp_path / "model")
    enhance(store=store.path, model=tmp_path / "model", enhanced=tmp_path / "enhanced", seed=0)
    assert EmbeddingStore(tmp_path / "enhanced").rows().equals(store.rows())
    assert "Trained elsewhere: adopted from seed.pth, SHA-256" in (tmp_path / "model/README.md").read_text()


def test_another_dimension_names_both(tmp_path, checkpoint):
    other = write_store(tmp_path / "other", dim=8)
    with pytest.raises(ModelError, match=r"takes embeddings of 16 dimensions, store .* holds 8"):
        adopt(checkpoint=checkpoint, store=other.path, model=tmp_path / "model")


def task_model(backbone: str, prefix: str = "module.", **changed: torch.Tensor) -> dict[str, torch.Tensor]:
    """What SEED's code would save of backbone and network together: it registers the network twice."""
    network = released().state_dict()
    parts = {
        "backbone": checkpoints.STATES[backbone](),
        "diffusion_network": network,
        "diffusion_pipeline.pipeline.model": network | changed,
    }
    return {f"{prefix}{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}


@pytest.mark.parametrize(("backbone", "prefix"), [("ecapa_tdnn", "module."), ("resnet_se34v2", "")])
def test_of_a_whole_task_model_the_network_is_adopted_and_the_backbone_loaded(tmp_path, store, backbone, prefix):
    path = checkpoints.save({"model": task_model(backbone, prefix)}, tmp_path / "task.model")
    told = adopt(checkpoint=path, store=store.path, model=tmp_path / "model")
    beside = len(checkpoints.STATES[backbone]())
    assert f"; beside it lie {beside} tensors ({prefix}backbone.conv1.weight, " in told
    assert told.endswith(f"a {backbone}, which backbone.settings.weights={path} loads")
    adopted = load_model(tmp_path / "model")[0].get_submodule("network").state_dict()
    assert all(torch.equal(adopted[name], tensor) for name, tensor in released().state_dict().items())
    kind = backbone_class(backbone)
    alone = checkpoints.save(checkpoints.STATES[backbone](), tmp_path / "alone.pt")
    wave = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
    expected, found = (kind(kind.Config(weights=weights)).frozen()(wave) for weights in (alone, path))
    assert torch.equal(found, expected)


def test_networks_that_differ_are_refused_by_name(tmp_path, store):
    held = task_model("ecapa_tdnn", **{"out.2.bias": torch.ones(DIM)})
    with pytest.raises(ModelError, match=r"networks that differ, at module\.diffusion_network\., module"):
        adopt(checkpoint=checkpoints.save(held, tmp_path / "two.pt"), store=store.path, model=tmp_path / "model")


def test_a_backbone_alone_is_refused_by_name(tmp_path, store):
    path = checkpoints.save(checkpoints.ecapa_tdnn(), tmp_path / "official_ecapatdnn.model")
    with pytest.raises(ModelError, match=r"it looks like the backbone ecapa_tdnn, which backbone\.settings"):
        adopt(checkpoint=path, store=store.path, model=tmp_path / "model")


@pytest.mark.parametrize("blocks", [1, 6])
def test_networks_of_other_numbers_of_blocks_are_told_by_their_weights(tmp_path, store, blocks):
    path = checkpoints.save(released(blocks=blocks).state_dict(), tmp_path / "seed.pth")
    adopt(checkpoint=path, store=store.path, model=tmp_path / "model")
    enhancer, info = load_model(tmp_path / "model")
    assert info.config["blocks"] == blocks
    x_t, t = torch.randn(4, DIM, generator=torch.Generator().manual_seed(2)), torch.tensor([50])
    assert torch.equal(enhancer.get_submodule("network")(x_t, t), released(blocks=blocks)(x_t, t))


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("trapped"),)


def test_code_in_a_checkpoint_is_not_run(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": released().state_dict(), "hook": Trap()}, tmp_path / "seed.pth")
    with pytest.raises(ModelError, match=r"seed\.pth holds code .*, which is not run"):
        adopt(checkpoint=tmp_path / "seed.pth", store=store.path, model=tmp_path / "model")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelError, match=r"bare\.pth (holds code|is no checkpoint)"):
        adopt(checkpoint=tmp_path / "bare.pth", store=store.path, model=tmp_path / "model")
    assert not (tmp_path / "trapped").exists()
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("out.2.bias"), r"out\.2\.bias is missing"),
        (lambda s: s.update(context=torch.zeros(1)), "context is unknown"),
        (lambda s: s.update({"out.0.bias": torch.zeros(3)}), r"out\.0\.bias is \[3\] in place of \[32\]"),
        (lambda s: s.update({"out.0.bias": torch.full((32,), torch.nan)}), r"out\.0\.bias is not finite"),
        (lambda s: s.update({"input_proj.weight": torch.zeros(3)}), r"input_proj\.weight is no matrix"),
        (lambda s: s.update({"res_blocks.7.a": torch.zeros(1)}), r"res_blocks\.3\.emb_layers\.1\.bias is missing"),
        (lambda s: s.pop("input_proj.weight"), r"no tensor is called input_proj\.weight"),
    ],
)
def test_another_network_is_refused(tmp_path, store, change, message):
    state = dict(released().state_dict())
    change(state)
    torch.save(state, tmp_path / "seed.pth")
    with pytest.raises(ModelError, match=message):
        adopt(checkpoint=tmp_path / "seed.pth", store=store.path, model=tmp_path / "model")
