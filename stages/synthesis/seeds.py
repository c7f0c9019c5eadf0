"""Where all randomness of the corpus comes from: the seed and the name of the thing that is drawn, nothing else."""

import numpy as np


def generator_for(*parts: object) -> np.random.Generator:
    """Return the generator that belongs to `parts`, whatever else has been drawn before."""
    return np.random.default_rng(list("/".join(str(part) for part in parts).encode()))
