"""Adaptive S-norm (AS-norm1 of Matějka et al., Interspeech 2017)."""

from reseed.stages.trial_scoring.scorers.s_norm import SNorm


class AsNorm(SNorm):
    """Adaptive s-norm: the cosine against mean and spread of each side's highest cohort scores."""

    @property
    def top(self) -> int:
        return self.cohorts.test.settings.top
