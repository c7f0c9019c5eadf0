"""What reseed asks of a backbone, an enhancer and a scorer; a class each."""

from reseed.testing import BackboneContract, EnhancerContract, ScorerContract


class TestBandStatistics(BackboneContract):
    backbone = "band_statistics"


class TestStandardise(EnhancerContract):
    enhancer = "standardise"


class TestRankCorrelation(ScorerContract):
    scorer = "rank_correlation"
