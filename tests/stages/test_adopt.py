import math
import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from reseed.stages.adopt import adopt
from reseed.stages.enhance import enhance
from reseed.stages.enhancers.folder import load_model
from reseed.stages.enhancers.mlp import RdmMlp
from reseed.stages.enhancers.seed import SeedConfig
from reseed.store import EmbeddingStore, ModelError
from tests.stages.stores import write_store

DIM = 16


def released(dim: int = DIM) -> RdmMlp:
    """SEED's network with every weight drawn at random, as no new one has them."""
    network, generator = RdmMlp(dim), torch.Generator().manual_seed(0)
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
    assert told.endswith("seed, 16 dimensions, for embeddings of ge2e:aaaaaaaa")
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
        (lambda s: s.pop("input_proj.weight"), r"it has 0 tensors input_proj\.weight"),
    ],
)
def test_another_network_is_refused(tmp_path, store, change, message):
    state = dict(released().state_dict())
    change(state)
    torch.save(state, tmp_path / "seed.pth")
    with pytest.raises(ModelError, match=message):
        adopt(checkpoint=tmp_path / "seed.pth", store=store.path, model=tmp_path / "model")
