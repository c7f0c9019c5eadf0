"""The table of enhancers: maps from embedding to embedding, made purely from cached vectors.

To add one: a file with its Config and class (see `reseed.stages.enhancers.base`), and one line here.
"""

import torch

from reseed.stages.common.choice import chosen
from reseed.stages.common.section import Section
from reseed.stages.enhancers.auto import Auto
from reseed.stages.enhancers.base import Enhancer
from reseed.stages.enhancers.centre import Centre
from reseed.stages.enhancers.chain import Chain
from reseed.stages.enhancers.mmse import Imap, Mmse
from reseed.stages.enhancers.nap import Nap
from reseed.stages.enhancers.regression import Cosine, Mse, VmfPl
from reseed.stages.enhancers.seed import Seed
from reseed.stages.enhancers.vire import Vire
from reseed.stages.enhancers.wccn import ViewWccn
from reseed.store import ConfigError

ENHANCERS: dict[str, type[Enhancer]] = {
    "centre": Centre,
    "wccn": ViewWccn,
    "seed": Seed,
    "mse": Mse,
    "vmf_pl": VmfPl,
    "cosine": Cosine,
    "vire": Vire,
    "nap": Nap,
    "mmse": Mmse,
    "imap": Imap,
    "auto": Auto,
    "chain": Chain,
}


def enhancer_class(name: str) -> type[Enhancer]:
    """Return the enhancer called `name`.

    Raises:
        ConfigError: no such enhancer; lists the choices.
    """
    return chosen(name, ENHANCERS, "enhancer")


def make_enhancer(name: str, config: Section, dim: int, seed: int = 0) -> Enhancer:
    """Return a new enhancer on the CPU, its weights initialised from `seed` alone.

    Raises:
        ConfigError: no such enhancer, or a config that belongs to another one.
    """
    wanted = enhancer_class(name)
    if not isinstance(config, wanted.Config):
        raise ConfigError(f"enhancer {name!r} takes a {wanted.Config.__name__}, not a {type(config).__name__}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return wanted(config, dim)
