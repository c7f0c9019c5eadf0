"""What a run makes, and of what: read off its configuration, in the order of the report."""

from dataclasses import dataclass
from pathlib import Path

from reseed.pipeline import layout
from reseed.pipeline.config import RunConfig
from reseed.pipeline.names import AlignedEmbeddings, AlignedPair, Embeddings, Pair
from reseed.stages.audio.recipe import sources_needed
from reseed.stages.reporting.results.files import BackbonePair
from reseed.stages.trial_scoring.origin import CENTRE
from reseed.store import ConfigError
from reseed.store.url import AnyPath

VECTORS = "vectors"


@dataclass(frozen=True)
class Recordings:
    """Recordings of one kind in one split: "noise/train"."""

    kind: str
    split: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.split}"

    @property
    def manifest(self) -> Path:
        return layout.manifest(self.split, self.kind)

    @property
    def listing(self) -> Path:
        return layout.listing(self.split, self.kind)


@dataclass(frozen=True)
class Source:
    """Where recordings lie, and which of those that lie there are wanted; see SourceSettings."""

    path: AnyPath
    dataset: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Scored:
    """The files of one system: its scores, its identification, and the store that was scored."""

    scores: Path
    identification: Path
    store: Path


@dataclass(frozen=True)
class Plan:
    """What one run makes."""

    run: RunConfig

    @property
    def train(self) -> str:
        """The split that is learnt from."""
        return self.run.corpus.train

    @property
    def evaluation(self) -> str:
        """The split whose trials are scored."""
        return self.run.corpus.evaluation

    @property
    def configured(self) -> str:
        """The backbone that is used as it is; of vectors that a run is given, what they are called."""
        return VECTORS if self.run.corpus.stores else self.run.backbone.called

    @property
    def kind(self) -> str:
        """What is enrolled and tested: recordings of speech, or vectors that nothing is known of."""
        return VECTORS if self.run.corpus.stores else "speech"

    def recordings(self, split: str) -> dict[str, Recordings]:
        """Return what extraction of a split reads, by the option of `reseed extract` that takes its manifest."""
        if self.run.corpus.stores:
            return {}
        recipe = self.run.extract.train if split == self.train else self.run.extract.evaluation
        found = {source: Recordings(source, split) for source in sources_needed(recipe.views)}
        if "babble" in found:
            babble = self.run.corpus.evaluation_babble if split == self.evaluation else None
            found["babble"] = Recordings("speech", babble or split)
        return {"utterances": Recordings("speech", split), **found}

    def heard_by(self, name: str) -> dict[str, Recordings]:
        """Return what training a backbone or front end hears beside the speech, by the option that takes its manifest.

        Babble is of the speech itself.
        """
        kinds = sources_needed((self.run.backbones | self.run.frontends)[name].views)
        return {kind: Recordings(kind, self.train) for kind in kinds if kind != "babble"}

    def source(self, recordings: Recordings) -> Source:
        """Return where recordings lie.

        Raises:
            ConfigError: nothing says so.
        """
        named = self.run.corpus.sources.get(str(recordings))
        if named is not None:
            return Source(named.path, named.dataset, named.split)
        root: AnyPath | None = layout.SYNTHETIC_ROOT if self.run.synthesise else self.run.corpus.root
        if root is None:
            raise ConfigError(f"corpus.sources has no {recordings}, and no corpus.root holds it")
        return Source(layout.recordings(root, recordings.split, recordings.kind), split=recordings.split)

    @property
    def extracted(self) -> dict[str, list[str]]:
        """The splits that each backbone extracts: training speech only where something is learnt from it.

        A cohort, a map, an enhancer, or a backbone that is anchored to it.
        """
        run, every = self.run, [self.configured, *self.run.trained_backbones]
        learnt = {self.configured, *(Embeddings.parse(name).backbone for pair in run.pairs for name in pair)}
        learnt |= {backbone for backbone, systems in run.enhance.items() if systems}
        learnt |= {run.base_of(name) for name, training in run.backbones.items() if training.anchored}
        needed = every if run.score.need_cohort else learnt
        return {name: [*([self.train] if name in needed else []), self.evaluation] for name in every}

    def enhancers_of(self, backbone: str) -> list[str]:
        """Return the entries of `train` that enhance what a trained backbone gives.

        Beside those named, it is centring, which all are compared with, where its training speech is extracted anyway.
        """
        implied = [CENTRE] if CENTRE in self.run.train and self.train in self.extracted[backbone] else []
        return list(dict.fromkeys([*implied, *self.run.enhance.get(backbone, ())]))

    @property
    def scored_by_themselves(self) -> list[Embeddings]:
        """The embeddings that are enrolled and tested against themselves: as they are and enhanced."""
        found = [Embeddings.of_scores(system, self.configured) for system in self.run.systems]
        paired = [Embeddings.parse(name) for pair in self.run.pairs for name in pair]
        for backbone in self.run.trained_backbones:
            found += [Embeddings(backbone, system) for system in ("", *self.enhancers_of(backbone))]
            found += [each for each in paired if each.backbone == backbone]
        return list(dict.fromkeys(found))

    @property
    def aligned_pairs(self) -> list[AlignedPair]:
        """What is scored across backbones: each pair by each alignment."""
        return [
            AlignedPair(Pair(Embeddings.parse(enrolment), Embeddings.parse(test)), name, alignment.enhancer)
            for enrolment, test in self.run.pairs
            for name, alignment in self.run.alignments.items()
        ]

    @property
    def backbone_pairs(self) -> dict[str, BackbonePair]:
        """How pairs are scored, by the system that scores them."""
        return {
            aligned.system: BackbonePair(
                str(aligned.pair),
                self.run.alignments[aligned.alignment].entry,
                aligned.pair.enrolment.system(self.configured),
                aligned.pair.test.system(self.configured),
            )
            for aligned in self.aligned_pairs
        }

    @property
    def scored(self) -> list[Scored]:
        """All that is scored; of a pair the test side's embeddings are shown."""
        embeddings = {each.scores(self.configured): str(each) for each in self.scored_by_themselves}
        embeddings |= {str(pair): str(AlignedEmbeddings(pair, "test")) for pair in self.aligned_pairs}
        return [
            Scored(layout.scores(name), layout.identification(name), layout.store(shown, self.evaluation))
            for name, shown in embeddings.items()
        ]

    @property
    def fused(self) -> dict[str, tuple[str, ...]]:
        """The systems that are fused, by the name of what comes of them."""
        return {"+".join(names): names for names in self.run.calibrate.fuse} if self.run.calibrate else {}

    @property
    def calibrated(self) -> list[str]:
        """What has calibrated scores."""
        return [*self.run.systems, *self.fused] if self.run.calibrate else []

    @property
    def cohort(self) -> Path | None:
        """The manifest of the training speech that scores are normalised against; none where none is needed."""
        if not self.run.score.need_cohort:
            return None
        return layout.rest(self.train) if self.run.calibrate else layout.manifest(self.train, self.kind)
