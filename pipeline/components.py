"""What a run is put together from: backbones, enhancers on top of them, and alignments between them.

reseed.pipeline.names says what is made of what, by its name.
"""

import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import model_validator

from reseed.pipeline.sections import BackboneChoice
from reseed.pipeline.settings import validated
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.common.section import Section
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.reporting.results.files import BackbonePair
from reseed.store import ConfigError

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
        own = (self.backbone.name, *self.backbones, *self.frontends)
        taken = (self.backbone.name, "raw", *self.train)
        for section, names in (("backbones", self.backbones), ("frontends", self.frontends)):
            for name in names:
                if name in taken or own.count(name) > 1 or not _is_plain(name):
                    raise ValueError(
                        f"{section}.{name}: a name of letters, digits, _ and - is needed that nothing else has "
                        f"({', '.join(taken)})"
                    )
        for name in self.backbones:
            self._check_start(name)
        for made in self.enhance:
            if made not in own[1:]:
                known = ", ".join(own[1:]) or "no entries"
                raise ValueError(f"enhance names {made!r}; backbones and frontends have {known}")
        for name in {name: None for pair in self.pairs for name in pair}:
            if name.partition("+")[0] not in own:
                raise ValueError(f"pairs names {name!r}; there are {', '.join(own)}, and enhanced, NAME+SYSTEM")
        for where, system in self._named_systems():
            if system not in self.train:
                raise ValueError(f"{where} names {system!r}; train has {', '.join(self.train) or 'no entries'}")
        self._check_alignments()
        return self

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
        for name in (name for pair in self.pairs for name in pair):
            if "+" in name:
                yield "pairs", name.partition("+")[2]
        for name, entry in self.align.items():
            if "then" in entry:
                yield f"align.{name}.then", str(entry["then"])

    def enhancer(self, system: str) -> tuple[str, Any]:
        """Return (method, its validated Config) of one entry of `train`.

        Raises:
            ConfigError: no such system or method, or a setting its method does not have.
        """
        from reseed.stages.enhancers.table import (
            enhancer_class,  # torch takes seconds to import; most commands need none
        )

        return self._component("train", system, enhancer_class)

    def aligner(self, name: str) -> tuple[str, Any, int]:
        """Return (method, its validated Config, its seed) of an entry of `align`, or of one of its seeds, "nessa-1".

        Raises:
            ConfigError: no such entry or method, or a setting its method does not have.
        """
        from reseed.stages.aligners.table import aligner_class

        entry, seed = self.alignments.get(name, (name, 0))
        return *self._component("align", entry, aligner_class), self.seed + seed

    def _component(self, section: str, name: str, class_of: Callable[[str], Any]) -> tuple[str, Any]:
        entries = getattr(self, section)
        if name not in entries:
            raise ConfigError(f"{section} has no entry {name!r}; it has {', '.join(entries) or 'none'}")
        of_the_run = _OF_THE_RUN if section == "align" else ()
        settings = {key: value for key, value in entries[name].items() if key not in of_the_run}
        method = settings.pop("method", name)
        return method, validated(class_of(method).Config, settings, where=f"{section}.{name}")

    def trained_backbone(self, name: str) -> BackboneTraining:
        """Return one entry of `backbones`; where it starts from the configured backbone, with the weights of that.

        Raises:
            ConfigError: no such entry.
        """
        if name not in self.backbones:
            raise ConfigError(f"backbones has no entry {name!r}; it has {', '.join(self.backbones) or 'none'}")
        training = self.backbones[name]
        from_configured = self.base_of(name) == self.backbone.name
        if from_configured and (training.anchored or training.starts_from is not None):
            weights = training.weights or self.backbone.settings.get("weights")
            return training.model_copy(update={"starts_from": None, "weights": weights and Path(weights)})
        return training

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
        return {alignment: (entry, seed) for entry in self.align for seed, alignment in enumerate(self._seeded(entry))}

    def _seeded(self, entry: str) -> list[str]:
        """Return what the alignments of one entry of `align` are called."""
        seeds = self.align[entry].get("seeds", 1)
        return [f"{entry}-{seed}" for seed in range(seeds)] if seeds > 1 else [entry]

    @property
    def sided(self) -> list[tuple[str, str]]:
        """What is scored across backbones: each pair, "ge2e~small", by each alignment, "nessa" or "nessa+vire"."""
        then = {name: self.align[entry].get("then") for name, (entry, _) in self.alignments.items()}
        names = [f"{name}+{system}" if system else name for name, system in then.items()]
        return [("~".join(pair), name) for pair in self.pairs for name in names]

    @property
    def backbone_pairs(self) -> dict[str, BackbonePair]:
        """Return how pairs are scored, by the system that scores them."""
        found = {}
        for pair, name in self.sided:
            entry, _ = self.alignments[name.partition("+")[0]]
            enrolment, test = (self._by_itself(side) for side in pair.split("~"))
            found[f"{pair}:{name}"] = BackbonePair(pair, entry, enrolment, test)
        return found

    def _by_itself(self, embeddings: str) -> str:
        backbone, _, system = embeddings.partition("+")
        return (system or "raw") if backbone == self.backbone.name else embeddings


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][\w-]*", name) is not None
