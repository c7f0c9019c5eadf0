"""Shapes: D embedding dimension, N utterances x crops, V views."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.stages.enhancers.auto import Auto, AutoConfig
from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.enhancers.vire import VireConfig
from reseed.stages.training.validation import cross_entropy_of_finding

DIM, CROPS, VIEWS = 24, 2, ["clean", "noise", "babble"]


def speech(noise_D: np.ndarray, utterances: int = 120, seed: int = 0) -> Tensor:
    """Vectors [N, V, D] of utterances that lie anywhere, moved by noise of so much deviation in each direction."""
    rng = np.random.default_rng(seed)
    crop_ND = np.repeat(rng.normal(size=(utterances, DIM)), CROPS, axis=0) + 0.2 * rng.normal(
        size=(CROPS * utterances, DIM)
    )
    noise_NVD = rng.normal(size=(len(crop_ND), 3, DIM)) * noise_D * np.array([0, 1, 1])[:, None]
    return torch.from_numpy(crop_ND[:, None] + noise_NVD).float()


def fitted(vectors_NVD: Tensor, **settings: object) -> Auto:
    enhancer = make_enhancer("auto", AutoConfig.model_validate(settings), DIM)
    enhancer.fit(vectors_NVD.split([3, len(vectors_NVD) - 3]), VIEWS, CROPS)
    return enhancer


def test_a_map_is_chosen_where_noise_has_directions_and_said_by_how_much_it_is_better():
    noise_D = np.where(np.arange(DIM) < 6, 6.0, 0.3)
    enhancer = fitted(speech(noise_D))
    remark = enhancer.remark()
    assert int(enhancer.chosen) > 0
    assert remark.startswith(("chose wccn (shrinkage ", "chose vire (shrinkage "))
    assert "finding held-out utterances by other crops of theirs, without labels: loss -" in remark
    assert enhancer.loss_K[enhancer.chosen] < 0.8 * enhancer.loss_K[0]


def test_centring_is_kept_where_no_map_is_better_beyond_chance():
    vectors_NVD = speech(np.full(DIM, 0.7))
    enhancer = fitted(vectors_NVD)
    assert int(enhancer.chosen) == 0
    assert enhancer.remark().startswith("chose centring: ")
    unit_NVD = F.normalize(vectors_NVD, dim=-1)
    expected_NVD = F.normalize(unit_NVD - unit_NVD.mean(dim=(0, 1)), dim=-1)
    enhanced_MD = enhancer.enhance(vectors_NVD.flatten(0, 1), torch.Generator())
    torch.testing.assert_close(enhanced_MD, expected_NVD.flatten(0, 1), rtol=1e-4, atol=1e-5)


def test_what_is_chosen_is_fitted_on_everything():
    vectors_NVD = speech(np.where(np.arange(DIM) < 6, 6.0, 0.3))
    enhancer = fitted(vectors_NVD, shrinkages=[1.0], emphases=[0.5])
    alone = make_enhancer("vire", VireConfig(shrinkage=1, emphasis=0.5), DIM)
    alone.fit([vectors_NVD], VIEWS, CROPS)
    assert "vire (shrinkage 1, emphasis 0.5)" in enhancer.remark()
    rows_MD = 3 * vectors_NVD.flatten(0, 1)
    torch.testing.assert_close(
        enhancer.enhance(rows_MD, torch.Generator()), alone.enhance(rows_MD, torch.Generator()), rtol=1e-4, atol=1e-5
    )


def test_the_criterion_is_the_cross_entropy_of_finding_an_utterance_from_either_side():
    logit_UU = torch.randn(30, 30, generator=torch.Generator().manual_seed(0)) + 3 * torch.eye(30)
    each = [F.cross_entropy(side_UU, torch.arange(30), reduction="none") for side_UU in (logit_UU, logit_UU.T)]
    torch.testing.assert_close(cross_entropy_of_finding(logit_UU), (each[0] + each[1]) / 2)


def test_centring_is_kept_and_said_where_there_is_too_little_to_judge_by():
    vectors_NVD = speech(np.where(np.arange(DIM) < 6, 6.0, 0.3))
    for rows, views, crops in [(240, VIEWS, 1), (240, ["a", "b", "c"], CROPS), (30, VIEWS, CROPS)]:
        enhancer = make_enhancer("auto", AutoConfig(), DIM)
        enhancer.fit([vectors_NVD[:rows]], views, crops)
        assert enhancer.remark().startswith("chose centring: maps are judged by two crops or more of 20 utterances")
        assert torch.equal(enhancer.map_DD, torch.eye(DIM))
