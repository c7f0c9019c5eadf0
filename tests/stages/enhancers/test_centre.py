import torch
import torch.nn.functional as F

from reseed.stages.enhancers.centre import CentreConfig
from reseed.stages.enhancers.table import make_enhancer
from tests.stages.stores import clustered_vectors


def test_centring_subtracts_the_mean_of_all_blocks_and_keeps_the_direction_alone():
    vectors_NVD = torch.from_numpy(clustered_vectors(40, 3, 6)) + 2.0
    enhancer = make_enhancer("centre", CentreConfig(), 6)
    enhancer.fit(vectors_NVD.split([7, 30, 3]), ["clean", "noise", "reverb"])
    rows_MD = vectors_NVD.flatten(0, 1)
    wanted_MD = F.normalize(rows_MD - rows_MD.mean(dim=0), dim=-1)
    torch.testing.assert_close(enhancer.enhance(rows_MD, torch.Generator()), wanted_MD, rtol=1e-5, atol=1e-6)
