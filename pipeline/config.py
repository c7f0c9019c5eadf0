"""The typed configuration tree of a run. Each section is declared beside the code that uses it; here they meet."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reseed.pipeline import layout
from reseed.pipeline.components import Components
from reseed.pipeline.names import AlignedEmbeddings, Embeddings
from reseed.pipeline.sections import CorpusSettings, ExtractionSettings, RunCalibration, SourceSettings
from reseed.pipeline.settings import validated
from reseed.stages.audio.listing import listing_digest
from reseed.stages.audio.recipe import sources_needed
from reseed.stages.backbones.settings import BackboneConfig, config_class
from reseed.stages.backbones.training.settings import SpeechTraining
from reseed.stages.common.choice import did_you_mean
from reseed.stages.common.section import Conflict, Takes
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.stages.synthesise import SynthesiseSettings
from reseed.stages.trial_scoring.origin import RAW
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.stages.trials import TrialSettings
from reseed.store import ConfigError
from reseed.store.atomic import digest


@dataclass(frozen=True)
class Scored:
    """The files of one system: its scores, its identification, and the store that was scored."""

    scores: Path
    identification: Path
    store: Path


class RunConfig(Components):
    """One run: a corpus, a backbone, what is extracted, which enhancers are trained, how they are judged.

    Attributes:
        name: names the run, and its folder runs/NAME.
        title: heading of the report; empty: the name.
        note: text under that heading.
        device: what computes; auto takes a GPU where there is one.
        corpus: where the recordings lie.
        synthesise: a synthetic corpus to make first, in place of corpus.root.
        trials: which recordings are compared with which.
        extract: how recordings are rendered and embedded.
        score: how trials are scored.
        report: what the report computes.
        calibrate: turns scores into likelihood ratios, and fuses systems; null: scores stay as they are.
    """

    name: Annotated[str, Takes("a name of letters, digits, _, . and -")] = Field(
        pattern=r"^[A-Za-z0-9][\w.-]*$", examples=["demo"]
    )
    title: str = ""
    note: str = ""
    device: Annotated[str, Takes("auto, cpu, cuda or cuda:N (the GPU numbered N)")] = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$"
    )
    synthesise: SynthesiseSettings | None = None
    corpus: CorpusSettings = CorpusSettings()
    trials: TrialSettings = TrialSettings()
    extract: ExtractionSettings = Field(examples=[{"train": {"recipe": "seed"}, "evaluation": {"recipe": "grid"}}])
    score: ScoreSettings = ScoreSettings()
    calibrate: RunCalibration | None = None
    report: ReportSettings = ReportSettings()

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        yield from self._corpus_conflicts()
        yield from self._view_conflicts()
        yield from self._crop_conflicts()
        yield from self._fusion_conflicts()

    def _corpus_conflicts(self) -> Iterator[Conflict]:
        reads = ("corpus.root", "corpus.sources", "synthesise")
        has_recordings = self.corpus.root is not None or bool(self.corpus.sources)
        if not has_recordings and self.synthesise is None:
            text = "is missing; give the folder of your recordings, or a section synthesise"
            yield Conflict("corpus.root", text, reads)
        if has_recordings and self.synthesise is not None:
            yield Conflict("synthesise", "makes a corpus, but corpus says where one lies; leave out one of them", reads)
        if self.corpus.train == self.corpus.evaluation:
            text = f"is {self.corpus.train!r}, as corpus.train is; choose a split of other speakers"
            yield Conflict("corpus.evaluation", text, ("corpus.train", "corpus.evaluation"))
        splits = {key: getattr(self.corpus, key) for key in ("train", "evaluation", "evaluation_babble")}
        if RAW in self.train:
            text = "is the name of the embeddings as they are; choose another"
            yield Conflict(f"train.{RAW}", text, (f"train.{RAW}",))
        names = {f"corpus.{key}": split for key, split in splits.items() if split is not None}
        for key, name in {**names, **{f"train.{system}": system for system in self.train}}.items():
            if not re.fullmatch(r"[A-Za-z0-9][\w+-]*", name):
                yield Conflict(key, f"must be a name of letters, digits, _, + and -, not {name!r}", (key,))

    def _view_conflicts(self) -> Iterator[Conflict]:
        views = self.extract.train.views
        reads = ("train", "extract.train")
        if self.train and "clean" not in views:
            text = "lacks the view clean, which enhancers learn to restore"
            yield Conflict("extract.train.views", text, reads, ("extract.train.views.clean",))
        elif self.train and len(views) < 2:
            yield Conflict("extract.train.views", "lacks a view other than clean, for enhancers to learn from", reads)
        enrolled = self.score.enrolment_view
        for section in ("evaluation", "train") if self.calibrate else ("evaluation",):
            place, views = f"extract.{section}.views", getattr(self.extract, section).views
            if enrolled not in views:
                text = f"is {enrolled!r}, but {place} has {', '.join(views)}{did_you_mean(enrolled, views)}"
                read = ("score.enrolment_view", "calibrate", place)
                yield Conflict("score.enrolment_view", text, read, (f"{place}.{enrolled}",))

    def _crop_conflicts(self) -> Iterator[Conflict]:
        stored_s = self.extract.train.crops.duration_s
        stored: dict[str, SpeechTraining] = {f"frontends.{name}": training for name, training in self.frontends.items()}
        stored |= {f"backbones.{name}": training for name, training in self.backbones.items() if training.anchored}
        for key, training in stored.items():
            if abs(training.crop_s - stored_s) > 1e-6:
                text = f"is {training.crop_s:g}, but the stored crops that it hears last {stored_s:g} s"
                yield Conflict(f"{key}.crop_s", f"{text} (extract.train.crops.duration_s)", (key, "extract.train"))

    def _fusion_conflicts(self) -> Iterator[Conflict]:
        for names in self.calibrate.fuse if self.calibrate else ():
            if len(names) < 2:
                text = "takes two systems or more at a time, e.g. [[raw, vire]]"
                yield Conflict("calibrate.fuse", text, ("calibrate",))
            for name in names:
                if name not in self.systems:
                    text = f"names {name!r}; there are {', '.join(self.systems)}{did_you_mean(name, self.systems)}"
                    yield Conflict("calibrate.fuse", text, ("calibrate", "train"), (f"train.{name}",))

    def recordings(self, split: str) -> dict[str, tuple[str, str]]:
        """Return what extraction of a split reads: source -> (split, kind of recordings)."""
        recipe = self.extract.train if split == self.corpus.train else self.extract.evaluation
        found = {source: (split, source) for source in sources_needed(recipe.views)}
        if "babble" in found:
            babble = self.corpus.evaluation_babble if split == self.corpus.evaluation else None
            found["babble"] = (babble or split, "speech")
        return {"utterances": (split, "speech"), **found}

    @property
    def extracted(self) -> list[tuple[str, str]]:
        """Return which splits are extracted by which backbone: training speech only where something is learnt from it.

        A cohort, a map, an enhancer, or a backbone that is anchored to it.
        """
        own = self.backbone.name
        learnt = {own, *(Embeddings.parse(name).backbone for pair in self.pairs for name in pair)}
        learnt |= {backbone for backbone, systems in self.enhance.items() if systems}
        learnt |= {self.base_of(name) for name, training in self.backbones.items() if training.anchored}
        needed = [own, *self.trained_backbones] if self.score.need_cohort else learnt
        return [
            (backbone, split)
            for backbone in (own, *self.trained_backbones)
            for split in (self.corpus.train, self.corpus.evaluation)
            if split == self.corpus.evaluation or backbone in needed
        ]

    def heard_by(self, name: str) -> dict[str, Path]:
        """Return the manifests that training a backbone or front end hears beside the speech, by their options."""
        kinds = sources_needed((self.backbones | self.frontends)[name].views)
        return {kind: layout.manifest(self.corpus.train, kind) for kind in kinds if kind != "babble"}

    @property
    def scored(self) -> list[Scored]:
        """All that is scored, in the order of the report; of a pair the test side's embeddings are shown."""
        embeddings = {each.scores(self.backbone.name): str(each) for each in self.scored_by_themselves}
        embeddings |= {str(pair): str(AlignedEmbeddings(pair, "test")) for pair in self.aligned_pairs}
        return [
            Scored(layout.scores(name), layout.identification(name), layout.store(shown, self.corpus.evaluation))
            for name, shown in embeddings.items()
        ]

    @property
    def fused(self) -> dict[str, tuple[str, ...]]:
        """Return the systems that are fused, by the name of what comes of them."""
        return {"+".join(names): names for names in self.calibrate.fuse} if self.calibrate else {}

    @property
    def calibrated(self) -> list[str]:
        """What has calibrated scores."""
        return [*self.systems, *self.fused] if self.calibrate else []

    def cohort(self) -> Path | None:
        """Return the manifest of the training speech that scores are normalised against; none where none is needed."""
        if not self.score.need_cohort:
            return None
        return layout.rest(self.corpus.train) if self.calibrate else layout.manifest(self.corpus.train, "speech")

    def source(self, split: str, kind: str) -> SourceSettings:
        """Return where the recordings of one kind and split lie.

        Raises:
            ConfigError: nothing says so.
        """
        named = self.corpus.sources.get(f"{kind}/{split}")
        root = layout.SYNTHETIC_ROOT if self.synthesise else self.corpus.root
        if named is not None:
            return named
        if root is None:
            raise ConfigError(f"corpus.sources has no {kind}/{split}, and no corpus.root holds it")
        return SourceSettings.model_construct(path=layout.recordings(root, split, kind), split=split)

    def digest(self, *sections: str) -> str:
        """Return the SHA-256 of some sections ("seed", "extract.train"): what a rule's `params` compare."""
        chosen = []
        for section in sections:
            value = self.model_dump(mode="json")
            for key in section.split("."):
                value = value[key]
            chosen.append(value)
        return digest(chosen)

    def backbone_files(self) -> str:
        """Return a digest of the files that the backbone is loaded from, by place, size and time of change."""
        return digest([listing_digest(path) for path in config_class(self.backbone.name).files(self.backbone.settings)])

    def backbone_settings(self) -> BackboneConfig:
        """Return the validated Config of the chosen backbone."""
        return validated(config_class(self.backbone.name), self.backbone.settings, below="backbone.settings")
