"""What a run calls embeddings that are made of others, and their models; from the name, what they are made of.

"small": a backbone. "small+seed": its embeddings enhanced by seed. "ge2e~small/nessa/test": the test side of a pair
of backbones, aligned by nessa. "ge2e~small/nessa+vire/test": that, enhanced by vire.
"""

from typing import NamedTuple


class Source(NamedTuple):
    """What is enhanced or learnt from, and by which enhancer.

    Attributes:
        embeddings: name of the embeddings.
        system: the entry of the section train.
        model: name of the enhancer's model; layout.model says where it lies.
    """

    embeddings: str
    system: str
    model: str


def enhancer_of(enhanced: str, backbone: str) -> Source:
    """Return what enhanced embeddings are made of, e.g. "small+seed" -> small, seed, small/seed.

    Args:
        backbone: the configured one, whose models have no folder of their own.
    """
    if "~" in enhanced:
        pair, name, side = enhanced.split("/")
        alignment, _, system = name.partition("+")
        return Source(f"{pair}/{alignment}/{side}", system, f"{pair}/{name}")
    own, _, system = enhanced.partition("+")
    return Source(own, system, system if own == backbone else f"{own}/{system}")


def learnt_from(model: str, backbone: str) -> Source:
    """Return what a model is learnt from, e.g. "small/seed" -> small; of an aligned pair the test side."""
    place, _, name = model.rpartition("/")
    if "~" in place:
        return enhancer_of(f"{place}/{name}/test", backbone)
    return Source(place or backbone, name, model)
