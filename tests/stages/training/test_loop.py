import copy

import pytest
import torch
from torch import nn

from reseed.stages.enhancers.base import TrainedEnhancer
from reseed.stages.enhancers.regression import MseConfig
from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.cache.resident import ResidentPairs
from reseed.stages.training.loop import lr_factor, optimise
from reseed.stages.training.settings import TrainingSettings
from reseed.stages.training.validation import HeldOutUtterances
from tests.stages.stores import clustered_vectors

DIM = 8
VECTORS = torch.from_numpy(clustered_vectors(20, 3, DIM))


def reader(batch: int = 20, seed: int = 0) -> ResidentPairs:
    return ResidentPairs(VECTORS, clean_view=0, batch=batch, seed=seed)


def mse(**settings: object) -> TrainedEnhancer:
    return make_enhancer("mse", MseConfig.model_validate({"epochs": 3, "batch": 20, "lr": 1e-2} | settings), DIM)


def by_hand(network: TrainedEnhancer, after_backward=lambda parameters: None, after_step=lambda parameters: None):
    """Train as the loop should, with torch's plain optimiser and nothing else."""
    settings, parameters = network.config, list(network.parameters())
    optimiser = torch.optim.AdamW(parameters, settings.lr, weight_decay=settings.weight_decay)
    for epoch in range(1, settings.epochs + 1):
        for pairs in reader(settings.batch).batches(epoch):
            optimiser.zero_grad()
            network.loss(pairs, torch.Generator()).backward()
            after_backward(parameters)
            optimiser.step()
            after_step(parameters)
    return network.state_dict()


def trained(network: TrainedEnhancer, **options: object) -> dict[str, torch.Tensor]:
    optimise(network, reader(network.config.batch), seed=0, **options)
    return network.state_dict()


def test_plain_training_is_adamw():
    torch.testing.assert_close(trained(mse()), by_hand(mse()))


def test_gradients_are_clipped_at_the_norm_of_all_together():
    def clip(parameters):
        norm = torch.sqrt(sum(parameter.grad.square().sum() for parameter in parameters))
        for parameter in parameters:
            parameter.grad *= min(1.0, 0.05 / norm.item())

    expected = by_hand(mse(), after_backward=clip)
    torch.testing.assert_close(trained(mse(grad_clip=0.05)), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(expected["network.input_proj.weight"], by_hand(mse())["network.input_proj.weight"])


def test_the_average_of_the_weights_is_kept_where_it_is_asked_for():
    network = mse(ema=0.8)
    average = [parameter.detach().clone() for parameter in network.parameters()]

    def follow(parameters):
        for mean, parameter in zip(average, parameters, strict=True):
            mean.mul_(0.8).add_(parameter.detach(), alpha=0.2)

    by_hand(copy.deepcopy(network), after_step=follow)
    trained(network)
    torch.testing.assert_close([parameter.detach() for parameter in network.parameters()], average)


def test_lr_rises_over_the_warm_up_and_falls_with_the_cosine_after_it():
    settings = TrainingSettings(schedule="cosine", warmup_steps=3)
    factors = [lr_factor(settings, 11, step) for step in range(11)]
    assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert factors[7] == pytest.approx(0.5)
    assert factors[3:] == sorted(factors[3:], reverse=True)
    assert 0 < factors[-1] < 0.1


def test_a_group_of_parameters_has_a_rate_of_its_own(monkeypatch):
    def groups(network):
        first, *others = network.parameters()
        return [(others, 1.0), ([first], 3.0)]

    plain, grouped = mse(), mse()
    others, (first,) = (parameters for parameters, _ in groups(plain))
    optimiser = torch.optim.AdamW([{"params": others}, {"params": [first], "lr": 3e-2}], 1e-2, weight_decay=5e-5)
    for epoch in range(1, plain.config.epochs + 1):
        for pairs in reader().batches(epoch):
            optimiser.zero_grad()
            plain.loss(pairs, torch.Generator()).backward()
            optimiser.step()
    monkeypatch.setattr(type(grouped), "lr_factors", groups)
    torch.testing.assert_close(trained(grouped), plain.state_dict())


def test_a_constant_lr_stays():
    assert {lr_factor(TrainingSettings(), 5, step) for step in range(5)} == {1.0}


def test_a_warm_up_longer_than_the_training_still_ends_at_the_full_rate():
    assert lr_factor(TrainingSettings(warmup_steps=100), 4, 3) == 1.0


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_trains_float32_weights_to_nearly_the_same_place(precision):
    lower, full = trained(mse(precision=precision, grad_clip=1.0, lr=1e-3)), trained(mse(grad_clip=1.0, lr=1e-3))
    assert {tensor.dtype for tensor in lower.values()} == {torch.float32}
    assert not torch.equal(lower["network.input_proj.weight"], full["network.input_proj.weight"])
    torch.testing.assert_close(lower, full, rtol=0, atol=6e-3)


def test_compiled_networks_give_the_same_weights(monkeypatch):
    compiled, ordinary = [], nn.Module.compile

    def without_code_generation(module, **options):  # the compiler behind it takes a minute
        compiled.append(module)
        ordinary(module, backend="eager", **options)

    monkeypatch.setattr(nn.Module, "compile", without_code_generation)
    network = mse(compile=True)
    torch.testing.assert_close(trained(network), trained(mse()))
    assert compiled == [network.network]


class Listed(TrainedEnhancer):
    """One weight w, loss (w - 3)^2: after every epoch it stands elsewhere, and its EER is given."""

    def __init__(self, config: TrainingSettings) -> None:
        super().__init__(config, DIM)
        self.weight = nn.Parameter(torch.zeros(()))

    def loss(self, pairs: Pairs, generator: torch.Generator) -> torch.Tensor:
        return (self.weight - 3.0).square()

    def enhance(self, embedding_BD: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return embedding_BD


class Given:
    """A validation that reads its EERs from a list, and notes the weights it was shown."""

    def __init__(self, *eers: float) -> None:
        self.eers, self.seen = list(eers), []

    def eer(self, enhancer: Listed) -> float:
        self.seen.append(enhancer.weight.item())
        return self.eers[len(self.seen) - 1]


def test_training_ends_when_patience_does_and_the_best_epoch_is_kept():
    network = Listed(TrainingSettings(epochs=9, batch=20, held_out=0.5, patience=2, lr=0.1))
    given = Given(0.4, 0.2, 0.3, 0.2, 0.3, 0.25, 0.1)
    history = optimise(network, reader(), seed=0, validation=given)
    assert [row["validation_eer"] for row in history] == [0.4, 0.2, 0.3, 0.2, 0.3, 0.25]
    assert network.weight.item() == given.seen[3], "of equals the later"


def test_without_patience_all_epochs_run_and_the_best_is_kept():
    network = Listed(TrainingSettings(epochs=4, batch=20, held_out=0.5, lr=0.1))
    given = Given(0.4, 0.2, 0.3, 0.3)
    assert len(optimise(network, reader(), seed=0, validation=given)) == 4
    assert network.weight.item() == given.seen[1]


def test_patience_without_anything_held_out_is_refused():
    with pytest.raises(ValueError, match="set held_out too"):
        TrainingSettings(patience=3)


def test_the_average_is_what_is_validated():
    network = Listed(TrainingSettings(epochs=2, batch=60, ema=0.9, held_out=0.5, lr=0.1))
    given = Given(0.2, 0.1)
    optimise(network, reader(60), seed=0, validation=given)
    assert given.seen[0] == pytest.approx(0.01, rel=1e-3)
    assert network.weight.item() == pytest.approx(given.seen[1])


def test_dropout_follows_the_seed_and_leaves_the_global_generator_alone():
    def with_dropout() -> TrainedEnhancer:
        network = mse()
        network.network.res_blocks[0].out_layers[2] = nn.Dropout(0.5)
        return network

    first = trained(with_dropout())
    torch.manual_seed(123)
    before = torch.get_rng_state()
    second = trained(with_dropout())
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_validation_sees_the_network_in_its_mode_of_use_and_leaves_it_training():
    network = mse(held_out=0.5)
    network.network.res_blocks[0].out_layers[2] = nn.Dropout(0.5)
    assert len({HeldOutUtterances.of(VECTORS, 2, 0).eer(network) for _ in range(3)}) == 1
    assert network.training
