"""NAP on vectors whose noise lies in known directions."""

import pytest
import torch
import torch.nn.functional as F

from reseed.stages.enhancers.base import Enhancer
from reseed.stages.enhancers.nap import NapConfig
from reseed.stages.enhancers.table import make_enhancer
from reseed.store import StoreError

VIEWS = ["clean", "noise", "reverb"]


def vectors() -> tuple[torch.Tensor, torch.Tensor]:
    """Return vectors [200, 3, 12] of one length, and the two directions in which the views of each differ."""
    source = torch.Generator().manual_seed(0)
    noisy_DK = torch.linalg.qr(torch.randn(12, 2, generator=source))[0]
    content_N1D = torch.randn(200, 1, 12, generator=source)
    content_N1D = F.normalize(content_N1D - content_N1D @ noisy_DK @ noisy_DK.T, dim=-1)
    return content_N1D + F.normalize(torch.randn(200, 3, 2, generator=source), dim=-1) @ noisy_DK.T, noisy_DK


def fitted(vectors_NVD: torch.Tensor, directions: int = 2, block: int = 200) -> Enhancer:
    enhancer = make_enhancer("nap", NapConfig(directions=directions), vectors_NVD.shape[-1])
    enhancer.fit(vectors_NVD.split(block), VIEWS)
    return enhancer


@pytest.mark.parametrize("block", [200, 7])
def test_what_noise_does_is_removed_and_all_else_kept(block):
    given_NVD, noisy_DK = vectors()
    enhanced_NVD = fitted(given_NVD, block=block).enhance(3 * given_NVD.flatten(0, 1), torch.Generator())
    enhanced_NVD = enhanced_NVD.unflatten(0, given_NVD.shape[:2])
    assert (enhanced_NVD @ noisy_DK).abs().max() < 1e-5
    torch.testing.assert_close(enhanced_NVD[:, 1], enhanced_NVD[:, 0], rtol=0, atol=1e-5)
    centred_NVD = F.normalize(given_NVD, dim=-1) - F.normalize(given_NVD, dim=-1).mean(dim=(0, 1))
    expected_NVD = F.normalize(centred_NVD - centred_NVD @ noisy_DK @ noisy_DK.T, dim=-1)
    torch.testing.assert_close(enhanced_NVD, expected_NVD, rtol=0, atol=1e-5)


def test_views_without_noise_and_more_directions_than_there_are_dimensions_are_refused():
    with pytest.raises(StoreError, match="clean, noise, reverb hold identical vectors"):
        fitted(torch.ones(5, 3, 4))
    with pytest.raises(StoreError, match="nap cannot remove 4 directions of 4; set directions to less than that"):
        fitted(torch.ones(5, 3, 4), directions=4)
