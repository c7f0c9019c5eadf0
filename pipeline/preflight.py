"""What can be known before any work: whether all that a run needs is there, and whether it will suffice.

Folders and lists are read, no recording is decoded. What would certainly fail is an error, and all of it is said at
once; what rests on an estimate, or may be meant, is a warning.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel

from reseed.pipeline.config import RunConfig
from reseed.pipeline.inputs import Inputs
from reseed.pipeline.listings import Listing, listing
from reseed.pipeline.loading import component_mistakes
from reseed.pipeline.plan import Plan, Recordings
from reseed.pipeline.speech_checks import SpeechChecks
from reseed.pipeline.vector_checks import vector_errors
from reseed.stages.audio.demographics import read_demographics
from reseed.stages.audio.patterns import is_pattern
from reseed.stages.audio.shared import seeming_copies
from reseed.stages.audio.vad_settings import silero_file
from reseed.stages.backbones.settings import PackagedConfig, config_class
from reseed.stages.common.device import resolved
from reseed.stages.common.space import SURE, free_bytes_at, in_bytes, stored_bytes
from reseed.stages.common.terminal import log
from reseed.stages.synthesise import check_installed
from reseed.store import ConfigError, ReseedError
from reseed.store.url import Url

_LOADED_BYTES = 1 << 29  # of a backbone whose files are larger, loading it to see takes seconds
_JOB_BYTES = 9 * 10**8  # of memory that one job of extraction takes with the smallest backbone, as measured
_NO_FILES = (
    "corpus.root",
    "corpus.sources.",
    "corpus.stores.",
    "extract.stores",
)  # settings of folders: read, and written
_PERHAPS = 1.2  # of what stores are expected to take: scores, models and records come on top


class Preflight:
    """All that is looked at before a run.

    Args:
        folder: of the run.
        is_local: its jobs run on this machine, so that packages, devices and memory can be looked at.

    Attributes:
        errors, warnings: a line each.
    """

    def __init__(self, config: RunConfig, folder: Path, *, is_local: bool) -> None:
        self.config, self.folder, self.is_local = config, folder, is_local
        self.plan = Plan(config)
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.listings: dict[str, Listing] = {}

    def run(self) -> list[str]:
        """Look at everything and return the warnings.

        Raises:
            ConfigError: the run would fail; says all that is known to be in its way.
        """
        mistakes = component_mistakes(self.config)
        self.errors += mistakes
        self.errors += self._missing_recordings()
        self.errors += vector_errors(self.plan)
        if not mistakes:
            self.errors += self._missing_files()
        if not mistakes and self.is_local:
            self.errors += self._not_installed()
        self._list()
        speech = SpeechChecks(self.plan, self.listings)
        self.errors += speech.errors()
        self.warnings += speech.warnings()
        self.warnings += [] if mistakes else self._seedless()
        self.warnings += self._copies()
        self._compare_with_disk()
        self.warnings += self._short_memory()
        errors = list(dict.fromkeys(self.errors))
        if errors:
            heading = f"{len(errors)} things are in the way, so nothing was started"
            raise ConfigError(*(errors if len(errors) == 1 else [heading, *(f"  {error}" for error in errors)]))
        return self.warnings

    @cached_property
    def recordings(self) -> list[Recordings]:
        """All recordings that the run reads."""
        plan = self.plan
        heard = [plan.heard_by(name) for name in self.config.trained_backbones]
        sides = [plan.recordings(plan.train), plan.recordings(plan.evaluation), *heard]
        return list(dict.fromkeys(each for side in sides for each in side.values()))

    def _seedless(self) -> Iterator[str]:
        """Yield which alignments are to be repeated under several seeds and have none."""
        from reseed.stages.aligners.shared import MOST_ROWS  # here, since torch takes seconds
        from reseed.stages.aligners.table import aligner_class

        for name in dict.fromkeys(found.entry for found in self.config.alignments.values() if found.seed):
            method = self.config.aligner(name).method
            if not aligner_class(method).seeded:
                yield (
                    f"align.{name}.seeds: {method} has no seed: of two stores that share no more than {MOST_ROWS:,} "
                    "vectors it learns the same maps each time; leave seeds out"
                )

    def _missing_files(self) -> Iterator[str]:
        named = [*_paths(self.config), *_paths(self.config.backbone_settings(), "backbone.settings.")]
        for key, path in named:
            if not key.startswith(_NO_FILES) and not path.is_file():
                yield f"{key}: {path} {'is no file' if path.exists() else 'does not exist'}"
        table = self.config.corpus.prepare.speakers
        if table is not None and table.is_file():
            yield from _failure(lambda: read_demographics(table))

    def _missing_recordings(self) -> Iterator[str]:
        if self.config.synthesise:
            return
        root, missing = self.config.corpus.root, []
        for recordings in self.recordings:
            try:
                path = self.plan.source(recordings).path
            except ConfigError as error:
                yield str(error)
                continue
            if isinstance(path, Url) or is_pattern(path):
                continue
            if not path.exists() and str(recordings) in self.config.corpus.sources:
                yield f"corpus.sources.{recordings}: {path} does not exist"
            elif not path.exists():
                missing.append(str(recordings))
        if missing and isinstance(root, Path) and not root.exists():
            yield f"the corpus {root.resolve()} does not exist; set corpus.root to the folder that holds speech/"
        elif missing and isinstance(root, Path):
            there = ", ".join(sorted(f"speech/{path.name}" for path in root.glob("speech/*"))) or "no speech folder"
            yield f"the corpus {root} has no folder {', '.join(missing)}; it has {there}"

    def _not_installed(self) -> Iterator[str]:
        """Yield which packages and devices are missing, and why the backbone cannot be loaded."""
        config, settings = self.config, self.config.backbone_settings()
        if config.corpus.stores:
            yield from _failure(lambda: resolved(config.device))
            return
        if config.synthesise is not None:
            yield from _failure(check_installed)
        absent = list(_failure(settings.check_installed))
        yield from dict.fromkeys([*absent, *self._training_from_absent()])
        vads = (config.corpus.prepare.vad, config.extract.train.crops.vad, config.extract.evaluation.crops.vad)
        if any(vad is not None and vad.method == "silero" for vad in vads):
            yield from _failure(silero_file)
        yield from _failure(lambda: resolved(config.device))
        files = settings.files(settings.model_dump())
        if not absent and all(map(Path.is_file, files)) and sum(path.stat().st_size for path in files) < _LOADED_BYTES:
            yield from _failure(lambda: self.dimensions)

    def _training_from_absent(self) -> Iterator[str]:
        """Yield which packages are missing whose weights the training of a backbone starts from."""
        for name in self.config.backbones:
            training = self.config.backbone_training(name)
            kind = config_class(training.backbone)
            if training.weights is None and training.starts_from is None and issubclass(kind, PackagedConfig):
                yield from _failure(kind.published)

    @cached_property
    def dimensions(self) -> int:
        """Dimensions of the configured backbone's embeddings, which is loaded."""
        from reseed.stages.backbones.table import load_backbone  # torch takes seconds to import

        given = self.config.backbone_settings().model_dump(mode="json", exclude_defaults=True)
        return load_backbone(self.config.backbone.name, given).embedding_dim

    def _list(self) -> None:
        """List what the run reads."""
        kept = [str(each.listing) for each in self.recordings if (self.folder / each.listing).exists()]
        for recordings in self.recordings:
            try:
                path = self.plan.source(recordings).path
                is_here = isinstance(path, Url) or is_pattern(path) or path.exists()
                if self.config.synthesise is None and not is_here:
                    continue
                found = listing(self.plan, recordings, self.folder)
            except (ReseedError, OSError) as error:
                self.errors.append(str(error))
                continue
            self.listings[str(recordings)] = found
            if not found.rows:
                self.errors.append(f"{self.plan.source(recordings).path}: there is no recording for {recordings}")
        if kept:
            text = "of a store nothing is listed again, of a large folder what has another time"
            log(f"{', '.join(kept)} in {self.folder} say what is there: {text}; to have all looked at, remove them")

    def _copies(self) -> Iterator[str]:
        """Yield what training and evaluation seem to share, by places, sizes and samples of the bytes."""
        if self.config.synthesise is not None:
            return
        plan, heard = self.plan, map(self.plan.heard_by, self.config.trained_backbones)
        training, evaluation = (
            {
                str(each): self.listings[str(each)].rows
                for roles in side
                for each in roles.values()
                if str(each) in self.listings
            }
            for side in ([plan.recordings(plan.train), *heard], [plan.recordings(plan.evaluation)])
        )
        for (of_training, of_evaluation), count in sorted(seeming_copies(training, evaluation).items()):
            text = f"{count:,} of {len(evaluation[of_evaluation]):,} recordings of {of_evaluation} are in {of_training}"
            yield f"{text} too: evaluation hears what training has heard, and its figures flatter"

    def _compare_with_disk(self) -> None:
        """Compare the stores that the run will write with the disk."""
        for option, folder in (("runs", self.folder), ("stores", self.config.extract.stores)):
            above = folder and next(path for path in (folder, *folder.resolve().parents) if path.exists())
            if above and not (above.is_dir() and os.access(above, os.W_OK)):
                self.errors.append(f"{above} is no folder that can be written to; choose another one with --{option}")
        self.errors += _failure(tempfile.gettempdir)
        needed = self._store_bytes()
        if needed is None:
            return
        free = free_bytes_at(self.folder)
        text = f"{self.folder}: its stores take about {in_bytes(needed)}, the disk has {in_bytes(free)} left"
        if free < SURE * needed:
            self.errors.append(f"{text}; choose another folder with --runs, fewer views or crops, or dtype: float16")
        elif free < _PERHAPS * needed:
            self.warnings.append(f"{text}, which may not suffice")

    def _store_bytes(self) -> int | None:
        """Return the bytes of the stores that are not there yet; None where that cannot be known."""
        speech = {split: self.listings.get(f"speech/{split}") for split in (self.plan.train, self.plan.evaluation)}
        if not self.is_local or self.errors or not all(found and found.is_whole for found in speech.values()):
            return None
        total = 0
        for path in {path for path in Inputs(self.plan).targets() if path.name == "store.json"}:
            split, found = path.parent.name, speech[path.parent.name]
            assert found is not None
            extract = self.config.extract.train if split == self.plan.train else self.config.extract.evaluation
            rows = len(found.rows) * extract.crops.count * len(extract.views)
            is_shared = self.config.extract.stores is not None and path.parent.parent.name in self.plan.extracted
            if not is_shared and not (self.folder / path).exists():  # another run may have extracted a shared one
                there = sum(each.stat().st_size for each in (self.folder / path.parent / "shards").glob("*"))
                total += max(0, stored_bytes(rows, self.dimensions, extract.dtype) - there)
        return total

    def _short_memory(self) -> Iterator[str]:
        from reseed.stages.training.cache.memory import free_host_bytes  # torch takes seconds to import

        if self.is_local and not self.config.corpus.stores and (free := free_host_bytes()) < _JOB_BYTES:
            yield f"{in_bytes(free)} of memory are free, and a job of extraction takes {in_bytes(_JOB_BYTES)} or more"


def preflight(config: RunConfig, folder: Path, *, is_local: bool) -> list[str]:
    """Look at all that can be known before a run, and return the warnings; see `Preflight`.

    Raises:
        ConfigError: the run would fail; says all that is known to be in its way.
    """
    return Preflight(config, folder, is_local=is_local).run()


def _failure(check: Callable[[], object]) -> Iterator[str]:
    """Yield what a check raises."""
    try:
        check()
    except (ReseedError, OSError) as error:
        yield str(error)


def _paths(section: BaseModel, above: str = "") -> Iterator[tuple[str, Path]]:
    """Yield every path in a section and those below it, with the name of its setting."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        entries = value if isinstance(value, dict) else {"": value}
        for entry, found in entries.items():
            key = f"{above}{name}{f'.{entry}' if entry else ''}"
            if isinstance(found, Path):
                yield key, found
            elif isinstance(found, BaseModel):
                yield from _paths(found, f"{key}.")
