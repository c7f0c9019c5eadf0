"""What a run is put together from: backbones, enhancers on top of them, and alignments between them.

reseed.pipeline.names says what each is called.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field

from reseed.pipeline.kinds import in_one_line
from reseed.pipeline.names import Embeddings
from reseed.pipeline.sections import BackboneChoice
from reseed.pipeline.settings import validated
from reseed.stages.backbones.settings import config_class
from reseed.stages.backbones.training.settings import BackboneTraining
from reseed.stages.common.choice import did_you_mean
from reseed.stages.common.section import Conflict, Entries, Section, Takes
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.trial_scoring.origin import RAW
from reseed.store import ConfigError

Entry = TypeVar("Entry")
_BACKBONES = ("backbone.name", "backbones", "frontends")
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
class LearnedAlignment:
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
        backbone: the network that turns speech into embeddings, used as it is.
        backbones: backbones that the run trains or fine-tunes, by name.
        train: enhancers that the run trains, by name: the enhancer that `method` names (default: the entry's name), its
            own settings beside it. `chain: [centre, {lda: 128}]` makes it a chain of steps. Where there are any, an
            entry `centre`, which all others are compared with, is there by default; `centre: null` switches it off.
        enhance: which entries of `train` enhance the embeddings of an entry of `backbones` or `frontends` too; `centre`
            does by default where the training speech is extracted with it.
        frontends: front ends that the run trains, by name: masks on the spectrum before the configured backbone.
        pairs: whose embeddings enrol and whose are tested, across backbones: of backbone.name and entries of
            `backbones` and `frontends`, as they are or, as NAME+SYSTEM, enhanced.
        align: maps of two backbones' embeddings into one space, by name: the alignment that `method` names (default:
            the entry's name), its own settings beside it. `seeds: 5` learns it under five seeds; `then: vire` enhances
            both sides after the map.
    """

    seed: int = Field(default=0, ge=0)
    backbone: BackboneChoice = BackboneChoice()
    backbones: Entries[BackboneTraining] = {}
    train: Entries[dict[str, Any]] = Field(examples=[{"vire": {}, "long": {"method": "mse", "epochs": 200}}])
    enhance: Entries[tuple[str, ...]] = Field(default={}, examples=[{"small": ["vire"]}])
    frontends: Entries[FrontendTraining] = {}
    pairs: Annotated[tuple[tuple[str, str], ...], Takes("a list of pairs of embeddings, [enrolment, test]")] = Field(
        default=(), examples=[[["ge2e", "small"], ["ge2e+vire", "small+vire"]]]
    )
    align: Entries[dict[str, Any]] = Field(default={}, examples=[{"nessa": {"seeds": 5, "then": "vire"}}])

    def conflicts(self) -> Iterator[Conflict]:
        yield from self._name_conflicts()
        yield from self._start_conflicts()
        yield from self._reference_conflicts()
        yield from self._alignment_conflicts()

    def _name_conflicts(self) -> Iterator[Conflict]:
        taken = (self.backbone.called, RAW, *self.train)
        for section, names in (("backbones", self.backbones), ("frontends", self.frontends)):
            for name in names:
                key = f"{section}.{name}"
                if not _is_plain(name):
                    yield Conflict(key, f"must be a name of letters, digits, _ and -, not {name!r}", (key,))
                elif name in taken or self._every_backbone.count(name) > 1:
                    others = [*taken, *(other for other in self.trained_backbones if other != name)]
                    text = f"must be a name that nothing else has; taken are {', '.join(dict.fromkeys(others))}"
                    yield Conflict(key, text, (key, "train"))

    def _start_conflicts(self) -> Iterator[Conflict]:
        """Yield where what a backbone starts from is not trained before it, or is another network."""
        earlier = {self.backbone.called: self.backbone.name}  # name -> network
        for name, training in self.backbones.items():
            base, reads = self.base_of(name), ("backbone.name", "backbones")
            if base not in earlier:
                text = f"names {base!r}; listed before it: {', '.join(earlier)}{did_you_mean(base, earlier)}"
                yield Conflict(f"backbones.{name}.starts_from", text, reads, (f"backbones.{base}",))
            elif (training.anchored or training.starts_from) and earlier[base] != training.backbone:
                text = f"is {training.backbone}, but starts from {base}, which is {earlier[base]}; set both alike"
                yield Conflict(f"backbones.{name}.backbone", text, reads)
            earlier[name] = training.backbone

    def _reference_conflicts(self) -> Iterator[Conflict]:
        for name in self.enhance:
            if name not in self.trained_backbones:
                trained = ", ".join(self.trained_backbones) or "nothing"
                text = f"names {name!r}; in backbones and frontends there is {trained}"
                yield Conflict("enhance", text, _BACKBONES, (f"backbones.{name}", f"frontends.{name}"))
        for name in dict.fromkeys(name for pair in self.pairs for name in pair):
            paired, known = Embeddings.parse(name), self._every_backbone
            if paired.backbone not in known or str(paired) != name:
                text = f"names {name!r}; there are {', '.join(known)}, each also enhanced, as NAME+SYSTEM"
                entries = (f"backbones.{paired.backbone}", f"frontends.{paired.backbone}")
                yield Conflict("pairs", text + did_you_mean(paired.backbone, known), ("pairs", *_BACKBONES), entries)
        for key, system in self._named_systems():
            if system not in self.train:
                there = ", ".join(self.train) or "no entries"
                text = f"names {system!r}; train has {there}{did_you_mean(system, self.train)}"
                yield Conflict(key, text, ("train", key), (f"train.{system}",))

    def _alignment_conflicts(self) -> Iterator[Conflict]:
        seeds = {name: entry.get("seeds", 1) for name, entry in self.align.items()}
        for name, given in seeds.items():
            key = f"align.{name}.seeds"
            if not _is_count(given):
                yield Conflict(key, f"must be a whole number of at least 1, not {in_one_line(given)}", (key,))
        for name in self.align:
            if not _is_plain(name):
                yield Conflict(f"align.{name}", f"must be a name of letters, digits, _ and -, not {name!r}", ("align",))
        names = [alignment for entry in self.align for alignment in self._seeded(entry)]
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                yield Conflict(f"align.{name}", "is also what one of the seeds of another entry is called", ("align",))
        if self.pairs and not self.align:
            yield Conflict("pairs", "needs a section align, e.g. align: {nessa: {}}", ("align", "pairs"))

    def _named_systems(self) -> Iterator[tuple[str, str]]:
        """Yield where entries of `train` are named, and which."""
        for backbone, systems in self.enhance.items():
            yield from ((f"enhance.{backbone}", system) for system in systems)
        yield from (("pairs", paired.enhancer) for paired in self._paired if paired.enhancer)
        for name, entry in self.align.items():
            if entry.get("then") is not None:
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
        from_configured = self.base_of(name) == self.backbone.called
        if from_configured and (training.anchored or training.starts_from is not None):
            files = config_class(self.backbone.name).files(self.backbone.settings)
            return training.model_copy(
                update={"starts_from": None, "weights": training.weights or next(iter(files), None)}
            )
        return training

    def frontend_training(self, name: str) -> FrontendTraining:
        """Return one entry of `frontends`.

        Raises:
            ConfigError: no such entry.
        """
        return _entry(self.frontends, "frontends", name)

    def base_of(self, backbone: str) -> str:
        """Return which backbone's embeddings are the anchors of one that is trained near some."""
        return self.backbones[backbone].starts_from or self.backbone.called

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
        return [self.backbone.called, *self.trained_backbones]

    @property
    def _paired(self) -> list[Embeddings]:
        """Both sides of every pair, each once."""
        return list(dict.fromkeys(Embeddings.parse(name) for pair in self.pairs for name in pair))

    @property
    def alignments(self) -> dict[str, LearnedAlignment]:
        """The alignments by name: "nessa-1" is the second of several seeds."""
        return {
            name: LearnedAlignment(entry, seed, settings.get("then") or "")
            for entry, settings in self.align.items()
            for seed, name in enumerate(self._seeded(entry))
        }

    def _seeded(self, entry: str) -> list[str]:
        """Return what the alignments of one entry of `align` are called."""
        seeds = self.align[entry].get("seeds", 1)
        return [f"{entry}-{seed}" for seed in range(seeds)] if _is_count(seeds) and seeds > 1 else [entry]


def _entry(entries: Mapping[str, Entry], section: str, name: str) -> Entry:
    if name not in entries:
        raise ConfigError(f"{section} has no entry {name!r}; it has {', '.join(entries) or 'none'}")
    return entries[name]


def _component(
    section: str, name: str, entry: Mapping[str, Any], class_of: Callable[[str], Any], seed: int
) -> Component:
    settings = dict(entry)
    method = settings.pop("method", "chain" if "chain" in settings else name)
    return Component(method, validated(class_of(method).Config, settings, below=f"{section}.{name}"), seed)


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][\w-]*", name) is not None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
