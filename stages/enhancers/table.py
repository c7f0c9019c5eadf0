"""The table of enhancers: maps from embedding to embedding, made purely from cached vectors.

To add one: a file with its Config and class (see `reseed.stages.enhancers.base`), and one line here. Those of other
packages need no line (docs/plugins.md).
"""

from collections.abc import Mapping
from typing import Any

import torch

from reseed.stages.common.plugins import Code, Table, codes_of
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

ENHANCERS: Table[type[Enhancer]] = Table(
    "enhancer",
    "reseed.enhancers",
    Enhancer,
    {
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
    },
)


def enhancer_class(name: str) -> type[Enhancer]:
    """Return the enhancer called `name`.

    Raises:
        ConfigError: no such enhancer; lists the choices. Or one of another package that cannot be used.
    """
    return ENHANCERS.of(name)


def enhancer_code(name: str, config: Mapping[str, Any]) -> dict[str, Code]:
    """Return the code of other packages in an enhancer of these settings, that of a chain's steps included, by name."""
    steps = [step for each in config.get("chain", ()) for step in each] if name == "chain" else []
    return codes_of(ENHANCERS.group, ENHANCERS.what, [name, *steps])


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
