"""What a run is put together from: backbones, enhancers on top of them, and alignments between them.

pipeline.names says what is made of what, by its name.
"""

import re
import typing
from collections.abc import Callable
from typing import Any

from pydantic import model_validator

from pipeline.sections import BackboneChoice
from pipeline.settings import validated
from stages.backbone_training.settings import BackboneTraining
from stages.frontends.settings import FrontendTraining
from stages.reporting.files import Across
from stages.section import Section
from store import ConfigError

_OF_THE_RUN = ("seeds", "then")  # settings of an entry of `align` that are not its method's


class Components(Section):
    """The components of a run.

    Attributes:
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

    backbone: BackboneChoice = BackboneChoice()
    backbones: dict[str, BackboneTraining] = {}
    train: dict[str, dict[str, Any]]
    enhance: dict[str, tuple[str, ...]] = {}
    frontends: dict[str, FrontendTraining] = {}
    pairs: tuple[tuple[str, str], ...] = ()
    align: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _fit_together(self) -> typing.Self:
        there = (self.backbone.name, *self.backbones, *self.frontends)
        for section, names in (("backbones", self.backbones), ("frontends", self.frontends)):
            for name in names:
                if there.count(name) > 1 or not _is_plain(name):
                    raise ValueError(
                        f"{section}.{name}: a name of letters, digits, _ and -, other than {there[0]} and what "
                        "backbones and frontends have, is needed"
                    )
        for number, (name, training) in enumerate(self.backbones.items()):
            earlier = list(self.backbones)[:number]
            if training.starts_from is not None and training.starts_from not in earlier:
                raise ValueError(
                    f"backbones.{name}.starts_from names {training.starts_from!r}; listed before it: "
                    f"{', '.join(earlier) or 'none'}"
                )
            if training.anchored and training.starts_from is None and training.backbone != self.backbone.name:
                raise ValueError(
                    f"backbones.{name} is anchored: it must start from {self.backbone.name} or, with starts_from, from "
                    "a backbone of the run's own, whose stored embeddings are the anchors"
                )
        for backbone in self.enhance:
            if backbone not in there[1:]:
                known = ", ".join(there[1:]) or "no entries"
                raise ValueError(f"enhance names {backbone!r}; backbones and frontends have {known}")
        for name in {name: None for pair in self.pairs for name in pair}:
            if name.partition("+")[0] not in there:
                raise ValueError(f"pairs names {name!r}; there are {', '.join(there)}, and enhanced, NAME+SYSTEM")
        for where, system in self._named_systems():
            if system not in self.train:
                raise ValueError(f"{where} names {system!r}; train has {', '.join(self.train) or 'no entries'}")
        for name, entry in self.align.items():
            seeds = entry.get("seeds", 1)
            if not _is_plain(name):
                raise ValueError(f"align.{name}: a name of letters, digits, _ and - is needed")
            if not isinstance(seeds, int) or seeds < 1:
                raise ValueError(f"align.{name}.seeds is {seeds!r}; give how many, e.g. 5")
        if self.pairs and not self.align:
            raise ValueError("pairs need align, e.g. align: {nessa: {}}")
        return self

    def _named_systems(self) -> typing.Iterator[tuple[str, str]]:
        """Yield where entries of `train` are named, and which."""
        for backbone, systems in self.enhance.items():
            yield from ((f"enhance.{backbone}", system) for system in systems)
        for name in (name for pair in self.pairs for name in pair):
            if "+" in name:
                yield "pairs", name.partition("+")[2]
        for name, entry in self.align.items():
            if "then" in entry:
                yield f"align.{name}.then", entry["then"]

    def enhancer(self, system: str) -> tuple[str, Any]:
        """Return (method, its validated Config) of one entry of `train`.

        Raises:
            ConfigError: no such system or method, or a setting its method does not have.
        """
        from stages.enhancers import enhancer_class  # torch takes seconds to import; most commands need none

        return self._component("train", system, enhancer_class)

    def aligner(self, name: str) -> tuple[str, Any, int]:
        """Return (method, its validated Config, its seed) of an entry of `align`, or of one of its seeds, "nessa-1".

        Raises:
            ConfigError: no such entry or method, or a setting its method does not have.
        """
        from stages.aligners import aligner_class

        entry, seed = self.alignments.get(name, (name, 0))
        return *self._component("align", entry, aligner_class), self.seed + seed

    def _component(self, section: str, name: str, class_of: Callable[[str], Any]) -> tuple[str, Any]:
        entries = getattr(self, section)
        if name not in entries:
            raise ConfigError(f"{section} has no entry {name!r}; it has {', '.join(entries) or 'none'}")
        settings = {key: value for key, value in entries[name].items() if key not in _OF_THE_RUN}
        method = settings.pop("method", name)
        return method, validated(class_of(method).Config, settings, where=f"{section}.{name}")

    def trained_backbone(self, name: str) -> BackboneTraining:
        """Return one entry of `backbones`.

        Raises:
            ConfigError: no such entry.
        """
        if name not in self.backbones:
            raise ConfigError(f"backbones has no entry {name!r}; it has {', '.join(self.backbones) or 'none'}")
        return self.backbones[name]

    @property
    def systems(self) -> list[str]:
        """What is scored by itself: the embeddings as they are, and each enhancer's."""
        return ["raw", *self.train]

    def base_of(self, backbone: str) -> str:
        """Return which backbone's embeddings are the anchors of one that is trained near some."""
        return self.backbones[backbone].starts_from or self.backbone.name

    def frontend(self, name: str) -> FrontendTraining:
        """Return one entry of `frontends`.

        Raises:
            ConfigError: no such entry.
        """
        if name not in self.frontends:
            raise ConfigError(f"frontends has no entry {name!r}; it has {', '.join(self.frontends) or 'none'}")
        return self.frontends[name]

    @property
    def made(self) -> list[str]:
        """Return the run's own backbones, and the configured one behind each of the run's front ends."""
        return [*self.backbones, *self.frontends]

    @property
    def others(self) -> list[str]:
        """Return the embeddings of what the run makes, as they are and enhanced: "small", "small+vire"."""
        paired = [name for pair in self.pairs for name in pair]
        found: list[str] = []
        for own in self.made:
            found += [own, *(f"{own}+{system}" for system in self.enhance.get(own, ()))]
            found += [name for name in paired if name.startswith(f"{own}+")]
        return list(dict.fromkeys(found))

    def embeddings(self, system: str) -> str:
        """Return the name of the embeddings of a system of the configured backbone, "ge2e+vire"."""
        return self.backbone.name if system == "raw" else f"{self.backbone.name}+{system}"

    @property
    def alignments(self) -> dict[str, tuple[str, int]]:
        """Return entry of `align` and seed of each alignment: "nessa-1" is the second of several seeds."""
        return {
            f"{name}-{seed}" if entry.get("seeds", 1) > 1 else name: (name, seed)
            for name, entry in self.align.items()
            for seed in range(entry.get("seeds", 1))
        }

    @property
    def sided(self) -> list[tuple[str, str]]:
        """What is scored across backbones: each pair, "ge2e~small", by each alignment, "nessa" or "nessa+vire"."""
        then = {name: self.align[entry].get("then") for name, (entry, _) in self.alignments.items()}
        names = [f"{name}+{system}" if system else name for name, system in then.items()]
        return [("~".join(pair), name) for pair in self.pairs for name in names]

    @property
    def across(self) -> dict[str, Across]:
        """Return how pairs are scored, by the system that scores them."""
        found = {}
        for pair, name in self.sided:
            entry, _ = self.alignments[name.partition("+")[0]]
            enrolment, test = (self._by_itself(side) for side in pair.split("~"))
            found[f"{pair}:{name}"] = Across(pair, entry, enrolment, test)
        return found

    def _by_itself(self, embeddings: str) -> str:
        backbone, _, system = embeddings.partition("+")
        return (system or "raw") if backbone == self.backbone.name else embeddings


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][\w-]*", name) is not None
