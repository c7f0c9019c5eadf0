import math

import pytest
import torch

from reseed.stages.enhancers.mlp import RdmMlp, ResidualMlp, timestep_embedding


@pytest.mark.parametrize(("dim", "parameters"), [(256, 2_437_888), (512, 9_725_440)])
def test_rdm_mlp_has_the_parameter_count_of_the_released_checkpoints(dim, parameters):
    assert sum(parameter.numel() for parameter in RdmMlp(dim).parameters()) == parameters


def test_rdm_mlp_has_the_names_and_shapes_of_the_released_checkpoints():
    shapes = {
        "time_embed.0.weight": [4, 8],
        "time_embed.0.bias": [4],
        "time_embed.2.weight": [4, 4],
        "time_embed.2.bias": [4],
        "input_proj.weight": [8, 4],
        "input_proj.bias": [8],
        "out.0.weight": [8],
        "out.0.bias": [8],
        "out.2.weight": [4, 8],
        "out.2.bias": [4],
    }
    for n in range(3):
        for layer, shape in {
            "in_layers.0": [8],
            "in_layers.2": [8, 8],
            "emb_layers.1": [8, 4],
            "out_layers.0": [8],
            "out_layers.3": [8, 8],
        }.items():
            shapes |= {f"res_blocks.{n}.{layer}.weight": shape, f"res_blocks.{n}.{layer}.bias": [8]}
    assert {name: list(tensor.shape) for name, tensor in RdmMlp(4).state_dict().items()} == shapes


def test_new_rdm_mlp_predicts_zero():
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    assert not RdmMlp(8)(x, torch.tensor([0, 500, 999])).any()


def test_one_shared_timestep_equals_the_same_timestep_on_each_row():
    network = RdmMlp(8)
    torch.nn.init.normal_(network.out[-1].weight, generator=torch.Generator().manual_seed(0))
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(x, torch.tensor([50])), network(x, torch.tensor([50, 50, 50])))


def test_timestep_embedding_starts_with_cosines_of_falling_frequency():
    embedding = timestep_embedding(torch.tensor([0, 3]), 4)
    assert embedding[0].tolist() == [1.0, 1.0, 0.0, 0.0]
    expected = [math.cos(3), math.cos(0.03), math.sin(3), math.sin(0.03)]
    torch.testing.assert_close(embedding[1], torch.tensor(expected))


def test_residual_mlp_differs_from_zero_before_training_so_that_it_can_be_normalised():
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    assert (ResidualMlp(8)(x).norm(dim=-1) > 1e-3).all()
