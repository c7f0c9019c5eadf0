"""What each step of a run reads, asked by the wildcards of its rule: the Snakefile and pipeline/rules/ say the rest.

A step waits for files; of a folder, e.g. a store, it is the file that says that it is finished. Its command is given
the folder.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from reseed.pipeline import layout
from reseed.pipeline.config import RunConfig
from reseed.pipeline.names import SIDES, AlignedEmbeddings, AlignedPair, Embeddings, Pair, enhanced_by, parse_embeddings
from reseed.pipeline.plan import Plan, Recordings
from reseed.stages.audio.listing import listing_digest
from reseed.stages.interop.table import files_of
from reseed.store.format import HEADER_NAME
from reseed.store.url import Url

Value = TypeVar("Value")


@dataclass(frozen=True)
class Option:
    """A file that a step waits for, and the option that gives it, or the folder that it finishes, to the command."""

    name: str
    file: Path

    def __str__(self) -> str:
        return f"--{self.name}={self.file.parent if self.file.suffix == '.json' else self.file}"


def of(function: Callable[..., Value], *wildcards: str) -> Callable[[Any], Value]:
    """Return what Snakemake calls with the wildcards of a job: `function` of those named.

    Each answer is worked out once: it asks several times of each job, and a store may have a thousand.
    """
    known = cache(function)
    return lambda given: known(*(getattr(given, name) for name in wildcards))


def files(function: Callable[..., Sequence[Option]], *wildcards: str) -> Callable[[Any], list[Path]]:
    """Return the same for the files of options."""
    return of(lambda *values: [option.file for option in function(*values)], *wildcards)


def options(function: Callable[..., Sequence[Option]], *wildcards: str) -> Callable[[Any], str]:
    """Return the same for options as a command line has them."""
    return of(lambda *values: shlex.join(map(str, function(*values))), *wildcards)


def folder(function: Callable[..., Path], *wildcards: str) -> Callable[[Any], Path]:
    """Return the same for the folder that a file finishes."""
    return of(lambda *values: function(*values).parent, *wildcards)


@dataclass(frozen=True)
class Inputs:
    """What the steps of one run read."""

    plan: Plan

    @property
    def run(self) -> RunConfig:
        return self.plan.run

    def manifests(self, split: str) -> list[Option]:
        """Return what extraction of a split reads."""
        return [Option(name, recordings.manifest) for name, recordings in self.plan.recordings(split).items()]

    def vectors(self, split: str) -> list[Path]:
        """Return the files that the vectors of a split are imported from."""
        source = self.run.corpus.stores[split]
        if (source / HEADER_NAME).is_file():
            return [source / HEADER_NAME]
        return files_of(source)

    def labels(self, split: str) -> Path:
        """Return the list that says who speaks in which utterance of a split, or of what class an item is."""
        return layout.manifest(split, self.plan.kind)

    def leakage(self) -> dict[str, list[Option]]:
        """Return what training hears and what evaluation hears; of vectors, the stores."""
        if self.run.corpus.stores:
            splits = {"training": self.plan.train, "evaluation": self.plan.evaluation}
            return {
                side: [Option(self.plan.kind, layout.store_json(self.plan.configured, split))]
                for side, split in splits.items()
            }
        heard = [option for name in self.run.trained_backbones for option in self.sounds(name)]
        training = {option.name: option for option in (*self.manifests(self.plan.train), *heard)}
        return {"training": list(training.values()), "evaluation": self.manifests(self.plan.evaluation)}

    def leakage_options(self) -> str:
        """Return the options that say which manifests are of which side."""
        sides = self.leakage().items()
        return shlex.join([f"--{side}={str(option).removeprefix('--')}" for side, heard in sides for option in heard])

    def listing(self, split: str, kind: str) -> str:
        """Return a digest of which files a folder holds: files that are added, removed or changed are prepared anew.

        Published data sets do not change, and hold a million files.
        """
        source = self.plan.source(Recordings(kind, split))
        is_fixed = self.run.synthesise or source.dataset
        return "" if is_fixed else listing_digest(source.path, layout.listing(split, kind))

    def source_options(self, split: str, kind: str) -> str:
        """Return the options that say where recordings lie and which of them are wanted."""
        source = self.plan.source(Recordings(kind, split))
        given = [f"--source={source.path}", *([f"--split={source.split}"] if source.split else [])]
        given += [f"--listing={layout.listing(split, kind)}"] if isinstance(source.path, Url) else []
        return shlex.join([*given, *([f"--set=corpus.prepare.dataset={source.dataset}"] if source.dataset else [])])

    def sounds(self, name: str) -> list[Option]:
        """Return what training a backbone or front end hears beside the speech."""
        return [Option(kind, recordings.manifest) for kind, recordings in self.plan.heard_by(name).items()]

    def start(self, backbone: str) -> list[Option]:
        """Return what training a backbone starts from and stays near."""
        base = self.run.base_of(backbone)
        found = [Option("base", layout.backbone_json(base))] if base in self.run.backbones else []
        anchored = self.run.backbones[backbone].anchored
        return [*found, *([Option("anchors", layout.store_json(base, self.plan.train))] if anchored else [])]

    def trained(self, backbone: str) -> list[Option]:
        """Return what the run trains of a backbone or front end; the configured backbone needs no training."""
        if backbone in self.run.frontends:
            return [Option("frontend", layout.frontend_json(backbone))]
        return [Option("trained", layout.backbone_json(backbone))] if backbone in self.run.backbones else []

    def backbone_digest(self, name: str) -> str:
        """Return a digest of the settings that a backbone or front end is trained by."""
        return self.run.training_digest(self._entry_of(name))

    def _entry_of(self, name: str) -> str:
        return f"frontends.{name}" if name in self.run.frontends else f"backbones.{name}"

    def section(self, split: str) -> str:
        """Return the section of `extract` that says how a split is extracted."""
        return "train" if split == self.plan.train else "evaluation"

    def extraction_digest(self, backbone: str, split: str) -> str:
        """Return a digest of what an extraction depends on beside its files."""
        own = "backbone" if backbone == self.plan.configured else self._entry_of(backbone)
        return self.run.digest(own, "seed", "extract.shards", "extract.jobs", f"extract.{self.section(split)}")

    def learnt_from(self, model: str) -> Path:
        """Return the store that an enhancer is learnt from."""
        return layout.store_json(enhanced_by(model, self.plan.configured).before, self.plan.train)

    def entry(self, model: str) -> str:
        """Return the entry of `train` that a model is of."""
        return enhanced_by(model, self.plan.configured).enhancer

    def training_digest(self, model: str) -> str:
        return self.run.training_digest(f"train.{self.entry(model)}")

    def enhanced_from(self, enhanced: str, split: str) -> Path:
        """Return the store that is enhanced."""
        return layout.store_json(parse_embeddings(enhanced).before, split)

    def enhancer(self, enhanced: str) -> Path:
        """Return the model that enhances."""
        return layout.model_json(parse_embeddings(enhanced).model(self.plan.configured))

    def scored(self, name: str) -> Path:
        """Return the store behind a score file."""
        return layout.store_json(Embeddings.of_scores(name, self.plan.configured), self.plan.evaluation)

    def held_out(self, system: str) -> Path:
        """Return the store of the training speech of a system of the configured backbone."""
        return layout.store_json(Embeddings.of_scores(system, self.plan.configured), self.plan.train)

    def system(self, name: str) -> str:
        """Return what the report calls a score file's system."""
        return Embeddings.of_scores(name, self.plan.configured).system(self.plan.configured)

    def cohort(self, name: str) -> list[Option]:
        """Return what the scores of a score file are normalised against."""
        return self._cohort(Embeddings.of_scores(name, self.plan.configured))

    def _cohort(self, test: layout.Named, enrolment: layout.Named | None = None) -> list[Option]:
        cohort, train = self.plan.cohort, self.plan.train
        if cohort is None:
            return []
        found = [Option("cohort", layout.store_json(test, train)), Option("cohort-utterances", cohort)]
        return found if enrolment is None else [*found, Option("enrolment-cohort", layout.store_json(enrolment, train))]

    def calibrated_from(self, name: str) -> list[Option]:
        """Return the scores behind a calibrated score file, of one system or of several that are fused."""
        return [
            option
            for system in self.plan.fused.get(name, [name])
            for option in (
                Option("held-out", layout.held_out_scores(system)),
                Option("scores", layout.scores(system)),
            )
        ]

    def quality(self) -> list[Option]:
        """Return the measures that calibration takes into account."""
        if not (self.run.calibrate and self.run.calibrate.quality):
            return []
        held_out, scored = layout.quality(self.plan.train), layout.quality(self.plan.evaluation)
        return [Option("held-out-quality", held_out), Option("quality", scored)]

    def paired(self, pair: str) -> list[Option]:
        """Return the stores that an alignment is learnt from."""
        return [Option(side, self.mapped_from(pair, side, self.plan.train)) for side in SIDES]

    def mapped_from(self, pair: str, side: str, split: str) -> Path:
        """Return the store that one side of a pair is mapped from."""
        sides = Pair.parse(pair)
        return layout.store_json(sides.enrolment if side == "enrolment" else sides.test, split)

    def alignment_digest(self, alignment: str) -> str:
        return self.run.training_digest(f"align.{self.run.alignments[alignment].entry}")

    def aligned(self, pair: str, aligned: str) -> list[Option]:
        """Return the stores of both sides of a pair that is scored."""
        test, enrolment = self._sides(pair, aligned)
        stores = {"store": test, "enrolment": enrolment}
        return [Option(name, layout.store_json(side, self.plan.evaluation)) for name, side in stores.items()]

    def pair_cohort(self, pair: str, aligned: str) -> list[Option]:
        """Return what the scores of a pair are normalised against."""
        return self._cohort(*self._sides(pair, aligned))

    def _sides(self, pair: str, aligned: str) -> tuple[AlignedEmbeddings, AlignedEmbeddings]:
        found = AlignedPair.parse(f"{pair}/{aligned}")
        return AlignedEmbeddings(found, "test"), AlignedEmbeddings(found, "enrolment")

    def reported_scores(self) -> list[Option]:
        """Return every score file; calibrated ones last."""
        paths = [*(scored.scores for scored in self.plan.scored), *map(layout.calibrated, self.plan.calibrated)]
        return [Option("scores", path) for path in paths]

    def reported_identification(self) -> list[Option]:
        return [Option("identification", scored.identification) for scored in self.plan.scored]

    def reported_stores(self) -> list[Option]:
        return [Option("store", scored.store) for scored in self.plan.scored]

    def reported_frontends(self) -> list[Option]:
        return [Option("frontend", layout.frontend_json(name)) for name in self.run.frontends]

    def targets(self) -> list[Path]:
        """Return every artefact of the run.

        Snakemake takes a run for finished when the last one is there, even if a step that was to be repeated has
        failed or been killed and its old output is gone; so each is asked for by name.
        """
        run, plan = self.run, self.plan
        jobs = 0 if run.corpus.stores else run.extract.jobs
        stores = [(backbone, split) for backbone, splits in plan.extracted.items() for split in splits]
        sides = [AlignedEmbeddings(pair, side) for pair in plan.aligned_pairs for side in SIDES]
        enhanced = [Embeddings(plan.configured, system) for system in run.train if plan.cohort or run.calibrate]
        return [
            *(self.labels(split) for split in (plan.train, plan.evaluation)),
            *(option.file for split in (plan.train, plan.evaluation) for option in self.manifests(split)),
            *(option.file for name in run.trained_backbones for option in self.trained(name)),
            *(layout.extracted(*store, str(job)) for store in stores for job in range(jobs)),
            *(layout.store_json(*store) for store in stores),
            layout.TRIALS,
            layout.LEAKAGE,
            *map(layout.model_json, run.train),
            *(layout.store_json(each, plan.train) for each in enhanced),
            *(layout.store_json(each, plan.evaluation) for each in plan.scored_by_themselves),
            *(layout.store_json(each, plan.evaluation) for each in sides),
            *(scored.scores for scored in plan.scored),
            *map(layout.calibrated, plan.calibrated),
            *([layout.AUDIT] if run.corpus.stores else []),
            layout.PAGE,
            layout.METRICS,
        ]
