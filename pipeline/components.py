"""What a run is put together from: backbones, enhancers on top of them, and alignments between them.

reseed.pipeline.names says what each is called.
"""

import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, model_validator

from reseed.pipeline.names import AlignedPair, Embeddings, Pair
from reseed.pipeline.sections import BackboneChoice
from reseed.pipeline.settings import validated
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.common.section import Section
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.reporting.results.files import BackbonePair
from reseed.stages.trial_scoring.files import RAW
from reseed.store import ConfigError

Entry = TypeVar("Entry")
_OF_THE_RUN = ("seeds", "then")  # settings of an entry of `align` that are not its method's


@dataclass(frozen=True)
class Component:
    """What an entry of `train` or `align` asks for.

    Attributes:
        method: an enhancer or an alignment, by name.
        settings: its validated Config.
    """

    method: str
    settings: Any
    seed: int


@dataclass(frozen=True)
class Alignment:
    """One alignment that a run learns.

    Attributes:
        entry: of the section align.
        seed: which of the seeds of that entry, from 0.
        enhancer: the entry of the section train that enhances both sides after the map; empty: none does.
    """

    entry: str
    seed: int
    enhancer: str


class Components(Section):
    """The components of a run.

    Attributes:
        seed: all randomness of the run comes from it.
        backbone: the configured one, used as it is.
        train: system name -> {"method": enhancer (default: the system's name), its own settings ...}.
        backbones: name -> how that backbone is trained, for `reseed train-backbone`.
        enhance: which entries of train are trained on embeddings of which of these too, e.g. {small: [vire]}.
        frontends: name -> how a mask before the configured backbone is trained, for `reseed train-frontend`.
        pairs: what enrols and tests against each other, of backbone.name and these, as they are or enhanced before the
            map: [[ge2e, small], [ge2e+seed, small+seed]].
        align: name -> {"method": alignment (default: the name), its own settings ...}, for `reseed align`. `seeds: 5`
            repeats it under five seeds; `then: vire` enhances both sides after the map.
    """

    seed: int = Field(default=0, ge=0)
    backbone: BackboneChoice = BackboneChoice()
    backbones: dict[str, BackboneTraining] = {}
    train: dict[str, dict[str, Any]]
    enhance: dict[str, tuple[str, ...]] = {}
    frontends: dict[str, FrontendTraining] = {}
    pairs: tuple[tuple[str, str], ...] = ()
    align: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _fit_together(self) -> typing.Self:
        self._check_names()
        for name in self.backbones:
            self._check_start(name)
        self._check_references()
        self._check_alignments()
        return self

    def _check_names(self) -> None:
        taken = (self.backbone.name, RAW, *self.train)
        for section, names in (("backbones", self.backbones), ("frontends", self.frontends)):
            for name in names:
                if name in taken or self._every_backbone.count(name) > 1 or not _is_plain(name):
                    raise ValueError(
                        f"{section}.{name}: a name of letters, digits, _ and - is needed that nothing else has "
                        f"({', '.join(taken)})"
                    )

    def _check_references(self) -> None:
        for name in self.enhance:
            if name not in self.trained_backbones:
                known = ", ".join(self.trained_backbones) or "no entries"
                raise ValueError(f"enhance names {name!r}; backbones and frontends have {known}")
        for name in dict.fromkeys(name for pair in self.pairs for name in pair):
            paired = Embeddings.parse(name)
            if paired.backbone not in self._every_backbone or str(paired) != name:
                known = ", ".join(self._every_backbone)
                raise ValueError(f"pairs names {name!r}; there are {known}, and enhanced, NAME+SYSTEM")
        for where, system in self._named_systems():
            if system not in self.train:
                raise ValueError(f"{where} names {system!r}; train has {', '.join(self.train) or 'no entries'}")

    def _check_start(self, name: str) -> None:
        """Check that what a backbone starts from is trained before it, and is the same network."""
        training, earlier = self.backbones[name], [self.backbone.name, *self.backbones]
        earlier = earlier[: earlier.index(name)]
        if training.starts_from is not None and training.starts_from not in earlier:
            raise ValueError(
                f"backbones.{name}.starts_from names {training.starts_from!r}; listed before it: {', '.join(earlier)}"
            )
        if training.anchored or training.starts_from is not None:
            base = self.base_of(name)
            network = self.backbone.name if base == self.backbone.name else self.backbones[base].backbone
            if network != training.backbone:
                raise ValueError(
                    f"backbones.{name} trains {training.backbone} and starts from {base}, which is {network}; set "
                    f"backbone: {network}, or starts_from: another backbone of the run"
                )

    def _check_alignments(self) -> None:
        for name, entry in self.align.items():
            seeds = entry.get("seeds", 1)
            if not _is_plain(name):
                raise ValueError(f"align.{name}: a name of letters, digits, _ and - is needed")
            if not isinstance(seeds, int) or isinstance(seeds, bool) or seeds < 1:
                raise ValueError(f"align.{name}.seeds is {seeds!r}; give how many, e.g. 5")
        names = [alignment for entry in self.align for alignment in self._seeded(entry)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"align has {name!r} twice: as an entry, and as one of the seeds of another")
        if self.pairs and not self.align:
            raise ValueError("pairs need align, e.g. align: {nessa: {}}")

    def _named_systems(self) -> typing.Iterator[tuple[str, str]]:
        """Yield where entries of `train` are named, and which."""
        for backbone, systems in self.enhance.items():
            yield from ((f"enhance.{backbone}", system) for system in systems)
        yield from (("pairs", paired.enhancer) for paired in self._paired if paired.enhancer)
        for name, entry in self.align.items():
            if "then" in entry:
                yield f"align.{name}.then", str(entry["then"])

    def enhancer(self, system: str) -> Component:
        """Return what one entry of `train` asks for.

        Raises:
            ConfigError: no such system or method, or a setting its method does not have.
        """
        from reseed.stages.enhancers.table import enhancer_class  # torch takes seconds; most commands need none

        return _component("train", system, _entry(self.train, "train", system), enhancer_class, self.seed)

    def aligner(self, name: str) -> Component:
        """Return what an entry of `align` asks for, or one of its seeds, "nessa-1".

        Raises:
            ConfigError: no such entry or method, or a setting its method does not have.
        """
        from reseed.stages.aligners.table import aligner_class

        entry, seed = (found.entry, found.seed) if (found := self.alignments.get(name)) else (name, 0)
        settings = {key: value for key, value in _entry(self.align, "align", entry).items() if key not in _OF_THE_RUN}
        return _component("align", entry, settings, aligner_class, self.seed + seed)

    def backbone_training(self, name: str) -> BackboneTraining:
        """Return one entry of `backbones`; where it starts from the configured backbone, with the weights of that.

        Raises:
            ConfigError: no such entry.
        """
        training = _entry(self.backbones, "backbones", name)
        from_configured = self.base_of(name) == self.backbone.name
        if from_configured and (training.anchored or training.starts_from is not None):
            weights = training.weights or self.backbone.settings.get("weights")
            return training.model_copy(update={"starts_from": None, "weights": weights and Path(weights)})
        return training

    def frontend_training(self, name: str) -> FrontendTraining:
        """Return one entry of `frontends`.

        Raises:
            ConfigError: no such entry.
        """
        return _entry(self.frontends, "frontends", name)

    def base_of(self, backbone: str) -> str:
        """Return which backbone's embeddings are the anchors of one that is trained near some."""
        return self.backbones[backbone].starts_from or self.backbone.name

    @property
    def systems(self) -> list[str]:
        """What is made of the configured backbone: its embeddings as they are, and each enhancer's."""
        return [RAW, *self.train]

    @property
    def trained_backbones(self) -> list[str]:
        """The backbones that the run trains, and the configured one behind each front end that it trains."""
        return [*self.backbones, *self.frontends]

    @property
    def _every_backbone(self) -> list[str]:
        return [self.backbone.name, *self.trained_backbones]

    @property
    def _paired(self) -> list[Embeddings]:
        """Both sides of every pair, each once."""
        return list(dict.fromkeys(Embeddings.parse(name) for pair in self.pairs for name in pair))

    @property
    def scored_by_themselves(self) -> list[Embeddings]:
        """The embeddings that are enrolled and tested against themselves: as they are and enhanced."""
        found = [Embeddings.of_scores(system, self.backbone.name) for system in self.systems]
        for backbone in self.trained_backbones:
            found += [Embeddings(backbone, system) for system in ("", *self.enhance.get(backbone, ()))]
            found += [paired for paired in self._paired if paired.backbone == backbone]
        return list(dict.fromkeys(found))

    @property
    def alignments(self) -> dict[str, Alignment]:
        """The alignments by name: "nessa-1" is the second of several seeds."""
        return {
            name: Alignment(entry, seed, settings.get("then") or "")
            for entry, settings in self.align.items()
            for seed, name in enumerate(self._seeded(entry))
        }

    def _seeded(self, entry: str) -> list[str]:
        """Return what the alignments of one entry of `align` are called."""
        seeds = self.align[entry].get("seeds", 1)
        return [f"{entry}-{seed}" for seed in range(seeds)] if seeds > 1 else [entry]

    @property
    def aligned_pairs(self) -> list[AlignedPair]:
        """What is scored across backbones: each pair by each alignment."""
        return [
            AlignedPair(Pair(Embeddings.parse(enrolment), Embeddings.parse(test)), name, alignment.enhancer)
            for enrolment, test in self.pairs
            for name, alignment in self.alignments.items()
        ]

    @property
    def backbone_pairs(self) -> dict[str, BackbonePair]:
        """How pairs are scored, by the system that scores them."""
        return {
            aligned.system: BackbonePair(
                str(aligned.pair),
                self.alignments[aligned.alignment].entry,
                aligned.pair.enrolment.system(self.backbone.name),
                aligned.pair.test.system(self.backbone.name),
            )
            for aligned in self.aligned_pairs
        }


def _entry(entries: Mapping[str, Entry], section: str, name: str) -> Entry:
    if name not in entries:
        raise ConfigError(f"{section} has no entry {name!r}; it has {', '.join(entries) or 'none'}")
    return entries[name]


def _component(
    section: str, name: str, entry: Mapping[str, Any], class_of: Callable[[str], Any], seed: int
) -> Component:
    settings = dict(entry)
    method = settings.pop("method", name)
    return Component(method, validated(class_of(method).Config, settings, where=f"{section}.{name}"), seed)


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][\w-]*", name) is not None
