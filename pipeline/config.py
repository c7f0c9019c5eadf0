"""The typed configuration tree of a run. Each section is declared beside the code that uses it; here they meet.

Precedence: defaults < YAML < `--set section.key=value`. A key that nobody declared is an error.
"""

import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, model_validator

from reseed.pipeline import layout
from reseed.pipeline.components import Components
from reseed.pipeline.names import AlignedEmbeddings, Embeddings
from reseed.pipeline.sections import CorpusSettings, ExtractionSettings, RunCalibration, SourceSettings
from reseed.pipeline.settings import Model, apply_override, validated
from reseed.stages.audio.recipe import sources_needed
from reseed.stages.audio.sources import listing_digest
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.stages.synthesise import SynthesiseSettings
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.stages.trials import TrialSettings
from reseed.store import ConfigError
from reseed.store.atomic import digest

_FILES_OF_BACKBONES = ("weights", "model")


@dataclass(frozen=True)
class Scored:
    """The files of one system: its scores, its identification, and the store that was scored."""

    scores: Path
    identification: Path
    store: Path


class RunConfig(Components):
    """One run: a corpus, a backbone, what is extracted, which enhancers are trained, how they are judged.

    Attributes:
        name: names the folder runs/NAME.
        title, note: stand at the top of the report.
        device: "cpu", "cuda" or "auto".
        synthesise: a synthetic corpus to make first, in place of corpus.root.
        calibrate: scores to likelihood ratios, and fusion; none: scores stay as they are.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$")
    title: str = ""
    note: str = ""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    synthesise: SynthesiseSettings | None = None
    corpus: CorpusSettings = CorpusSettings()
    trials: TrialSettings = TrialSettings()
    extract: ExtractionSettings
    score: ScoreSettings = ScoreSettings()
    calibrate: RunCalibration | None = None
    report: ReportSettings = ReportSettings()

    @model_validator(mode="after")
    def _is_sound(self) -> typing.Self:
        if (self.corpus.root is None and not self.corpus.sources) == (self.synthesise is None):
            raise ValueError("give either corpus.root (a folder of recordings) or a synthesise section")
        if self.corpus.train == self.corpus.evaluation:
            raise ValueError(
                f"corpus.train and corpus.evaluation are both {self.corpus.train!r}; score unseen speakers"
            )
        for name in (*self.train, self.corpus.train, self.corpus.evaluation, self.corpus.evaluation_babble or "dev"):
            if not re.fullmatch(r"[A-Za-z0-9][\w+-]*", name):
                raise ValueError(f"the name {name!r} of a system or split must be letters, digits, _, + and -")
        if self.train and ("clean" not in self.extract.train.views or len(self.extract.train.views) < 2):
            raise ValueError("extract.train.views needs the view clean and another one to train enhancers on")
        if self.score.enrolment_view not in self.extract.evaluation.views:
            raise ValueError(f"extract.evaluation.views lacks the enrolment view {self.score.enrolment_view!r}")
        crop_s = self.extract.train.crops.duration_s
        for name, training in (self.backbones | self.frontends).items():
            stored = name in self.frontends or self.backbones[name].anchored
            if stored and abs(training.crop_s - crop_s) > 1e-6:
                raise ValueError(
                    f"{name} hears crops of {training.crop_s:g} s, extract.train.crops of {crop_s:g} s are stored; "
                    "set crop_s to theirs"
                )
        if self.calibrate is not None:
            self._check_calibration(self.calibrate)
        if "raw" in self.train:
            raise ValueError("train.raw: the name raw is that of the embeddings as they are; choose another")
        return self

    def _check_calibration(self, calibrate: RunCalibration) -> None:
        if self.score.enrolment_view not in self.extract.train.views:
            raise ValueError(
                f"extract.train.views lacks the enrolment view {self.score.enrolment_view!r} to calibrate by"
            )
        unknown = [name for names in calibrate.fuse for name in names if name not in ("raw", *self.train)]
        if unknown:
            raise ValueError(f"calibrate.fuse names {unknown[0]!r}; there are raw, {', '.join(self.train)}")
        if any(len(names) < 2 for names in calibrate.fuse):
            raise ValueError("calibrate.fuse takes two systems or more at a time, e.g. [[raw, vire]]")

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

    def source(self, split: str, kind: str) -> SourceSettings | None:
        """Return where the recordings of one kind and split lie; None where nothing says so."""
        named = self.corpus.sources.get(f"{kind}/{split}")
        root = layout.SYNTHETIC_ROOT if self.synthesise else self.corpus.root
        if named is not None or root is None:
            return named
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
        given = (self.backbone.settings.get(key) for key in _FILES_OF_BACKBONES)
        return digest([listing_digest(Path(path)) for path in given if isinstance(path, str)])

    def backbone_settings(self) -> Any:
        """Return the validated Config of the chosen backbone."""
        from reseed.stages.backbones.table import backbone_class

        return validated(backbone_class(self.backbone.name).Config, self.backbone.settings, where="backbone.settings")


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's YAML, apply overrides such as "train.seed.epochs=3", and validate.

    Raises:
        ConfigError: no file, no YAML, an unknown key (the nearest valid one is named) or a bad value.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; configs/demo.yaml is an example") from None
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} holds no settings; configs/demo.yaml is an example")
    for override in overrides:
        apply_override(raw, override)
    config = validated(RunConfig, raw, where=str(path))
    settings = {
        key: str(Path(value).expanduser().resolve()) if key in _FILES_OF_BACKBONES and isinstance(value, str) else value
        for key, value in config.backbone.settings.items()
    }
    return config.model_copy(
        update={
            "corpus": _absolute(config.corpus, "root"),
            "trials": _absolute(config.trials, "list"),
            "backbone": config.backbone.model_copy(update={"settings": settings}),
        }
    )


def check_components(config: RunConfig) -> None:
    """Validate the sections that belong to the chosen backbone and enhancers, before any work is done."""
    config.backbone_settings()
    for system in config.train:
        config.enhancer(system)
    for name in config.align:
        config.aligner(name)


def dump(config: RunConfig) -> str:
    """Return the resolved configuration as YAML that loads to the same configuration."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _absolute(section: Model, key: str) -> Model:
    path = getattr(section, key)
    return section if path is None else section.model_copy(update={key: path.expanduser().resolve()})
