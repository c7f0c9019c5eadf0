"""The typed configuration tree of a run. Each section is declared beside the code that uses it; here they meet."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from reseed.pipeline.components import Components
from reseed.pipeline.kinds import described, in_one_line
from reseed.pipeline.sections import CorpusSettings, ExtractionSettings, RunCalibration
from reseed.pipeline.settings import validated
from reseed.stages.audio.conditions import CLEAN
from reseed.stages.audio.listing import listing_digest
from reseed.stages.audio.recipe import ExtractSettings, View
from reseed.stages.backbones.settings import BackboneConfig, config_class
from reseed.stages.backbones.training.settings import SpeechTraining
from reseed.stages.common.choice import did_you_mean
from reseed.stages.common.plugins import codes_of, is_foreign
from reseed.stages.common.section import Conflict, Entries, Takes
from reseed.stages.common.terms import TERMS, Wording, unknown_terms, wording
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.stages.synthesise import SynthesiseSettings
from reseed.stages.trial_scoring.origin import CENTRE, RAW
from reseed.stages.trial_scoring.scorers.plda import PldaSettings
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.stages.trials import TrialSettings
from reseed.store.atomic import digest

_LATER = {  # settings of corpus.prepare
    "channels": "mean",
    "tarred_audio_filepaths": None,
    "order": "id",
    "vad": None,
    "min_speech_s": None,
}
_OF_VECTORS = ("stores", "vectors")  # settings of corpus that say nothing of recordings
# Sections that a run of vectors has no use for.
OF_AUDIO = ("synthesise", "extract", "backbone", "backbones", "frontends", "enhance", "pairs", "align")
_NOT_EXTRACTED = ExtractSettings(views={CLEAN: View()})
# What Enhancer.needs_noise says, without importing torch.
NEED_NO_NOISE = {CENTRE, "length_norm", "whiten", "lda", "nda"}


class RunConfig(Components):
    """One run: a corpus, a backbone, what is extracted, which enhancers are trained, how they are judged.

    Attributes:
        name: names the run, and its folder runs/NAME.
        title: heading of the report; empty: the name.
        note: text under that heading.
        device: what computes; auto takes a GPU where there is one.
        check_vectors: hash the vectors of a store before they are read; false leaves it out, for stores on slow disks.
        terms: what the report and messages call things, in the singular; of speech utterance, speaker, noise and view,
            of other vectors item, class, perturbation and view.
        threads: CPU threads that a training computes with; its weights depend on them in their last bits, so that the
            machine has no say in it. All else computes in one thread, as often side by side as there are cores.
        corpus: where the recordings lie, or vectors in their place.
        synthesise: a synthetic corpus to make first, in place of corpus.root.
        trials: which recordings are compared with which.
        extract: how recordings are rendered and embedded; needed unless corpus.stores has vectors.
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
    check_vectors: bool = True
    terms: Annotated[Entries[str], Takes(f"words for {', '.join(TERMS)}")] = Field(
        default={}, examples=[{"item": "picture", "class": "person", "perturbation": "distortion"}]
    )
    threads: int = Field(default=1, ge=1, le=1024)
    synthesise: SynthesiseSettings | None = None
    corpus: CorpusSettings = CorpusSettings()
    trials: TrialSettings = TrialSettings()
    extract: ExtractionSettings = Field(
        default=ExtractionSettings(train=_NOT_EXTRACTED, evaluation=_NOT_EXTRACTED),
        examples=[{"train": {"recipe": "seed"}, "evaluation": {"recipe": "grid"}}],
    )
    score: ScoreSettings = ScoreSettings()
    calibrate: RunCalibration | None = None
    report: ReportSettings = ReportSettings()

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        yield from self._name_conflicts_of_splits()
        for name in unknown_terms(self.terms):
            yield Conflict(f"terms.{name}", f"is no term; there are {', '.join(TERMS)}{did_you_mean(name, TERMS)}")
        yield from self._vector_conflicts() if self.corpus.stores else self._corpus_conflicts()
        if "extract" in self.model_fields_set and not self.corpus.stores:
            yield from self._view_conflicts()
            yield from self._cohort_conflicts()
            yield from self._crop_conflicts()
        yield from self._fusion_conflicts()

    def _vector_conflicts(self) -> Iterator[Conflict]:
        """Yield what a run of vectors lacks, and what says nothing to it."""
        splits, stores = (self.corpus.train, self.corpus.evaluation), self.corpus.stores
        if {*splits} != {*stores}:
            text = f"has {', '.join(stores)}; give two, one that is trained on ({splits[0]}) and one that is evaluated"
            yield Conflict("corpus.stores", text, ("corpus",))
        idle = [name for name in OF_AUDIO if getattr(self, name) != type(self).model_fields[name].get_default()]
        if self.calibrate and self.calibrate.quality:
            yield Conflict("calibrate.quality", "measures recordings; leave it out of a run of vectors", ("calibrate",))
        idle += [f"corpus.{name}" for name in ("root", "sources") if getattr(self.corpus, name)]
        for name in idle:
            yield Conflict(name, "says nothing to a run of vectors; leave it out, or corpus.stores", (name, "corpus"))

    def _corpus_conflicts(self) -> Iterator[Conflict]:
        if "extract" not in self.model_fields_set:
            example = in_one_line(type(self).model_fields["extract"].examples[0])  # type: ignore[index]
            yield Conflict(
                "extract", f"is missing; give {described(ExtractionSettings)}, e.g. {example}", ("extract", "corpus")
            )
        reads = ("corpus.root", "corpus.sources", "synthesise")
        has_recordings = self.corpus.root is not None or bool(self.corpus.sources)
        if not has_recordings and self.synthesise is None:
            text = "is missing; give the folder of your recordings, or a section synthesise"
            yield Conflict("corpus.root", text, reads)
        if has_recordings and self.synthesise is not None:
            yield Conflict("synthesise", "makes a corpus, but corpus says where one lies; leave out one of them", reads)

    def _name_conflicts_of_splits(self) -> Iterator[Conflict]:
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
        need_noise = self.needs_noise
        if need_noise and "clean" not in views:
            text = "lacks the view clean, which enhancers learn to restore"
            yield Conflict("extract.train.views", text, reads, ("extract.train.views.clean",))
        elif need_noise and len(views) < 2:
            yield Conflict("extract.train.views", "lacks a view other than clean, for enhancers to learn from", reads)
        enrolled = self.score.enrolment_view
        for section in ("evaluation", "train") if self.calibrate else ("evaluation",):
            place, views = f"extract.{section}.views", getattr(self.extract, section).views
            if enrolled not in views:
                text = f"is {enrolled!r}, but {place} has {', '.join(views)}{did_you_mean(enrolled, views)}"
                read = ("score.enrolment_view", "calibrate", place)
                yield Conflict("score.enrolment_view", text, read, (f"{place}.{enrolled}",))

    @property
    def wording(self) -> Wording:
        """The words of this run's messages."""
        return wording(self.terms, is_speech=not self.corpus.stores)

    @property
    def needs_noise(self) -> bool:
        """Whether something is trained that learns from noisy views of what is clean."""
        steps = {step for name, entry in self.train.items() for step in _steps(name, entry)}
        return any(step not in NEED_NO_NOISE and not is_foreign("reseed.enhancers", step) for step in steps)

    def _cohort_conflicts(self) -> Iterator[Conflict]:
        stored, needed = self.extract.train.views, self.score.need_cohort
        plda = self.score.plda.views if self.score.of_plda else None
        for key, named in (("cohort", self.score.cohort.views if needed else None), ("plda", plda)):
            for view in (view for view in named or () if view not in stored):
                text = f"names {view!r}, but extract.train.views has {', '.join(stored)}{did_you_mean(view, stored)}"
                reads = (f"score.{key}.views", "score.scorings", "extract.train")
                yield Conflict(f"score.{key}.views", text, reads, (f"extract.train.views.{view}",))

    def _crop_conflicts(self) -> Iterator[Conflict]:
        stored_s = self.extract.train.crops.duration_s
        stored: dict[str, SpeechTraining] = {f"frontends.{name}": training for name, training in self.frontends.items()}
        stored |= {f"backbones.{name}": training for name, training in self.backbones.items() if training.anchored}
        for key, training in stored.items():
            if stored_s is None or abs(training.crop_s - stored_s) > 1e-6:
                stored_are = "are whole utterances" if stored_s is None else f"last {stored_s:g} s"
                text = f"is {training.crop_s:g}, but the stored crops that it hears {stored_are}"
                yield Conflict(f"{key}.crop_s", f"{text} (extract.train.crops.duration_s)", (key, "extract.train"))
        if stored and self.extract.train.crops.vad is not None:
            text = f"must be none: {next(iter(stored))} hears the stored crops with what lies between the speech"
            yield Conflict("extract.train.crops.vad", text, (*stored, "extract.train"))

    def _fusion_conflicts(self) -> Iterator[Conflict]:
        fusions = self.calibrate.fuse if self.calibrate else ()
        called = {"+".join(names): names for names in reversed(fusions)}
        for names in fusions:
            name, shown = "+".join(names), in_one_line(list(names))
            if name in self.train:
                text = f"{shown} would be called {name}, as an entry of train is; rename one of them"
                yield Conflict("calibrate.fuse", text, ("calibrate", "train"))
            elif called[name] != names:
                text = f"{in_one_line(list(called[name]))} and {shown} would both be called {name}; rename a system"
                yield Conflict("calibrate.fuse", text, ("calibrate", "train"))
            elif fusions.count(names) > 1:
                yield Conflict("calibrate.fuse", f"names {name} twice", ("calibrate",))
            if len(names) < 2:
                text = "takes two systems or more at a time, e.g. [[raw, vire]]"
                yield Conflict("calibrate.fuse", text, ("calibrate",))
            for name in names:
                if name not in self.systems:
                    text = f"names {name!r}; there are {', '.join(self.systems)}{did_you_mean(name, self.systems)}"
                    yield Conflict("calibrate.fuse", text, ("calibrate", "train"), (f"train.{name}",))

    def digest(self, *sections: str) -> str:
        """Return the SHA-256 of some sections ("seed", "extract.train"): what a rule's `params` compare."""
        chosen = []
        for section in sections:
            value = self.model_dump(mode="json")
            for key in section.split("."):
                value = value[key]
            chosen.append(value)
        return digest(chosen)

    def corpus_digest(self) -> str:
        """Return the digest of how recordings are prepared; later settings count where they are set."""
        corpus = self.model_dump(mode="json")["corpus"]
        for name, default in _LATER.items():
            if corpus["prepare"][name] == default:
                del corpus["prepare"][name]
        for name in _OF_VECTORS:
            del corpus[name]
        datasets = [source.dataset for source in self.corpus.sources.values() if source.dataset]
        return _with_code(digest([corpus]), "datasets", datasets)

    def score_digest(self) -> str:
        """Return the digest of how trials are scored; settings of adaptation count where they are set."""
        score = self.model_dump(mode="json")["score"]
        for name in ("coral_plus", "kaldi", "interpolation"):
            if getattr(self.score.plda, name) == PldaSettings.model_fields[name].default:
                del score["plda"][name]
        return _with_code(digest([score]), "scorers", self.score.scorings)

    def report_digest(self) -> str:
        """Return the digest of what a report says; settings that came later count where they are set."""
        report = self.model_dump(mode="json")["report"]
        if report["retrieval"] is None:
            del report["retrieval"]
        said = digest([report, self.name, self.title, self.note, *([self.terms] if self.terms else [])])
        return _with_code(said, "metrics", self.report.metrics)

    def trials_digest(self, generated: bool = False) -> str:
        """Return the digest of how trials are made; without a list of models it is that of before these were pooled."""
        trials = self.model_dump(mode="json")["trials"]
        if generated or trials["enrolment"] is None:
            trials["pool_enrolment"] = False
        return digest([trials, self.seed])

    def training_digest(self, entry: str) -> str:
        """Return the digest of what a training depends on; of one thread it is what it was before threads were set."""
        found = self.digest("seed", entry, *(["threads"] if self.threads > 1 else []))
        section, _, name = entry.partition(".")
        entries = {"train": self.train, "align": self.align}.get(section, {})
        kind = {"train": "enhancers", "align": "aligners"}.get(section, "")
        return _with_code(found, kind, _steps(name, entries[name])) if name in entries else found

    def backbone_files(self) -> str:
        """Return a digest of the files that the backbone is loaded from, by place, size and time of change."""
        files = config_class(self.backbone.name).files(self.backbone.settings)
        return _with_code(digest([listing_digest(path) for path in files]), "backbones", [self.backbone.name])

    def backbone_settings(self) -> BackboneConfig:
        """Return the validated Config of the chosen backbone."""
        return validated(config_class(self.backbone.name), self.backbone.settings, below="backbone.settings")


def _with_code(found: str, kind: str, names: Iterable[str]) -> str:
    """Return a digest, joined with the code of those components that are of other packages, if any are."""
    codes = codes_of(f"reseed.{kind}", kind.removesuffix("s"), names)
    return digest([found, codes]) if codes else found


def _steps(name: str, entry: Mapping[str, Any]) -> set[str]:
    """Return the steps of an entry of `train` that is a chain, else its method."""
    chain = entry.get("chain")
    steps = chain if isinstance(chain, list) else [entry.get("method", name)]
    return {str(part) for step in steps for part in (step if isinstance(step, dict) else [step])}
