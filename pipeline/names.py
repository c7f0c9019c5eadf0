"""The names of a run's embeddings, pairs and models, written and taken apart here alone: each says what it is made of.

embeddings    small                         of a backbone, or of a front end before the configured one
              small+seed                    those, enhanced by the entry `seed` of the section train
              ge2e~small/nessa/test         of one side of a pair, mapped by the alignment `nessa`
              ge2e~small/nessa+vire/test    those, enhanced
pair          ge2e+seed~small               what enrols and what tests
aligned pair  ge2e~small/nessa+vire         the report calls it ge2e~small:nessa+vire
scores        vire                          of the configured backbone's embeddings; raw: as they are
              backbones/small+vire          of another backbone's
model         vire                          an enhancer of the configured backbone's embeddings
              small/vire                    of another backbone's
              ge2e~small/nessa+vire         of an aligned pair's; it is learnt from the test side
"""

from dataclasses import dataclass, replace
from typing import Literal

from reseed.stages.trial_scoring.origin import RAW

Side = Literal["enrolment", "test"]
SIDES: tuple[Side, Side] = ("enrolment", "test")
_OTHER_BACKBONES = "backbones/"


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of a backbone.

    Attributes:
        enhancer: the entry of the section train that enhances them; empty: none does.
    """

    backbone: str
    enhancer: str = ""

    @classmethod
    def parse(cls, text: str) -> "Embeddings":
        return cls(*_split(text))

    @classmethod
    def of_scores(cls, name: str, configured: str) -> "Embeddings":
        """Return what the scores of this name are of; `configured` is the backbone that they leave out."""
        if name.startswith(_OTHER_BACKBONES):
            return cls.parse(name.removeprefix(_OTHER_BACKBONES))
        return cls(configured, "" if name == RAW else name)

    def __str__(self) -> str:
        return _joined(self.backbone, self.enhancer)

    @property
    def before(self) -> "Embeddings":
        """The embeddings that are enhanced."""
        return replace(self, enhancer="")

    def model(self, configured: str) -> str:
        """Return the name of the enhancer's model."""
        return self.enhancer if self.backbone == configured else f"{self.backbone}/{self.enhancer}"

    def system(self, configured: str) -> str:
        """Return what the report calls them."""
        return str(self) if self.backbone != configured else self.enhancer or RAW

    def scores(self, configured: str) -> str:
        """Return the name of their scores."""
        system = self.system(configured)
        return system if self.backbone == configured else f"{_OTHER_BACKBONES}{system}"


@dataclass(frozen=True)
class Pair:
    """Embeddings that enrol and embeddings that test."""

    enrolment: Embeddings
    test: Embeddings

    @classmethod
    def parse(cls, text: str) -> "Pair":
        enrolment, _, test = text.partition("~")
        return cls(Embeddings.parse(enrolment), Embeddings.parse(test))

    def __str__(self) -> str:
        return f"{self.enrolment}~{self.test}"


@dataclass(frozen=True)
class AlignedPair:
    """A pair whose sides are mapped into one space.

    Attributes:
        alignment: an entry of the section align, or one of its seeds, "nessa-1".
        enhancer: the entry of the section train that enhances both sides after the map; empty: none does.
    """

    pair: Pair
    alignment: str
    enhancer: str = ""

    @classmethod
    def parse(cls, text: str) -> "AlignedPair":
        pair, _, aligned = text.partition("/")
        return cls(Pair.parse(pair), *_split(aligned))

    def __str__(self) -> str:
        return f"{self.pair}/{_joined(self.alignment, self.enhancer)}"

    @property
    def system(self) -> str:
        """What the report calls it."""
        return f"{self.pair}:{_joined(self.alignment, self.enhancer)}"


@dataclass(frozen=True)
class AlignedEmbeddings:
    """The embeddings of one side of a pair, in the space that both sides share."""

    aligned: AlignedPair
    side: Side

    @classmethod
    def parse(cls, text: str) -> "AlignedEmbeddings":
        aligned, _, side = text.rpartition("/")
        return cls(AlignedPair.parse(aligned), SIDES[SIDES.index(side)])

    def __str__(self) -> str:
        return f"{self.aligned}/{self.side}"

    @property
    def enhancer(self) -> str:
        return self.aligned.enhancer

    @property
    def before(self) -> "AlignedEmbeddings":
        """The embeddings that are enhanced."""
        return replace(self, aligned=replace(self.aligned, enhancer=""))

    def model(self, configured: str) -> str:
        """Return the name of the enhancer's model: both sides have one."""
        return str(self.aligned)


def parse_embeddings(text: str) -> Embeddings | AlignedEmbeddings:
    return AlignedEmbeddings.parse(text) if "~" in text else Embeddings.parse(text)


def enhanced_by(model: str, configured: str) -> Embeddings | AlignedEmbeddings:
    """Return the embeddings that a model makes of those that it is learnt from."""
    if "~" in model:
        return AlignedEmbeddings(AlignedPair.parse(model), "test")
    backbone, _, enhancer = model.rpartition("/")
    return Embeddings(backbone or configured, enhancer)


def _split(text: str) -> tuple[str, str]:
    name, _, enhancer = text.partition("+")
    return name, enhancer


def _joined(name: str, enhancer: str) -> str:
    return f"{name}+{enhancer}" if enhancer else name
