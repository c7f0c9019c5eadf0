"""The sections of a run that belong to no stage: where recordings lie, what is extracted in how many jobs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, model_validator
from pydantic_core import PydanticKnownError

from reseed.stages.audio.datasets.table import DATASETS
from reseed.stages.audio.listing import KINDS
from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.backbones.settings import CONFIGS
from reseed.stages.common.plugins import plain
from reseed.stages.common.section import AbsolutePath, Conflict, Entries, OneOf, Section, Takes, absolute
from reseed.stages.import_ import ImportSettings
from reseed.stages.prepare import PrepareSettings
from reseed.stages.trial_scoring.settings import CalibrationSettings
from reseed.store import ConfigError
from reseed.store.url import Url, is_url


def _absolute_or_url(given: object) -> Path | Url:
    if isinstance(given, Url) or (isinstance(given, str) and is_url(given)):
        return Url(str(given))
    if not isinstance(given, str | Path):
        raise PydanticKnownError("string_type")
    return absolute(Path(given))


# A path that holds wherever the run goes on, or a URL of a store.
AbsolutePlace = Annotated[
    Path | Url,
    PlainValidator(_absolute_or_url),
    PlainSerializer(str, when_used="json"),
    Takes("a path or a URL"),
]
DASK = r"^(local(:[1-9]\d*)?|[a-z]+://.+)$"


class SourceSettings(Section):
    """Where the recordings of one kind and split lie, if not in the corpus folder.

    Attributes:
        path: a folder of audio or of archives, a list, an archive, a Kaldi directory, a pattern of several of these, or
            an unpacked public data set; of all but the last also a URL, such as s3://bucket/speech.
        dataset: the public data set that lies there; null: none.
        split: of a data set: its own name of a part, or several joined by +; of a list that names splits: the one to
            keep.
    """

    path: AbsolutePlace = Field(examples=["/data/musan"])
    dataset: Annotated[str, OneOf(DATASETS)] | None = None
    split: str | None = None


class CorpusSettings(Section):
    """Where the recordings lie, and which of their splits are used for what.

    Attributes:
        root: a folder, or its URL, with speech/SPLIT and, as far as views ask for them, noise/SPLIT, music/SPLIT and
            rir/SPLIT (room responses).
        sources: recordings that lie elsewhere, by KIND/SPLIT; kinds are speech, noise, music and rir.
        train: the split that enhancers are trained on.
        evaluation: the split whose trials are scored.
        evaluation_babble: the split whose speakers babble in views of the evaluation split; null: that split itself,
            whose babble may then hold the voice of an enrolled speaker.
        prepare: how recordings are listed and accepted.
        stores: vectors in place of recordings, by split: a store, or what `reseed import` reads. Nothing is extracted
            then; the split that is not corpus.train is evaluated, unless corpus.evaluation names one.
        vectors: how those are read that are no store.
    """

    root: AbsolutePlace | None = None
    sources: Entries[SourceSettings] = Field(
        default={}, examples=[{"noise/train": {"dataset": "musan", "path": "/data/musan"}}]
    )
    train: str = "train"
    evaluation: str = "dev"
    evaluation_babble: str | None = None
    prepare: PrepareSettings = PrepareSettings()
    stores: Entries[AbsolutePath] = Field(default={}, examples=[{"train": "train.npy", "test": "test.npy"}])
    vectors: ImportSettings = ImportSettings()

    @model_validator(mode="before")
    @classmethod
    def _evaluates_the_other_store(cls, given: Any) -> Any:
        """Take the split of `stores` that is not trained on for the one that is evaluated, unless one is named."""
        stores = given.get("stores") if isinstance(given, dict) else None
        if isinstance(stores, dict) and "evaluation" not in given:
            others = [
                name for name, store in stores.items() if store is not None and name != given.get("train", "train")
            ]
            return {**given, "evaluation": others[0]} if len(others) == 1 else given
        return given

    def conflicts(self) -> Iterator[Conflict]:
        for name, source in self.sources.items():
            kind, _, split = name.partition("/")
            key, of_source = f"sources.{name}", (f"sources.{name}",)
            if kind not in KINDS or not split or "/" in split:
                yield Conflict(
                    key, f"must be KIND/SPLIT, e.g. noise/train, with a KIND of {', '.join(KINDS)}", of_source
                )
            elif source.dataset is not None and isinstance(source.path, Url):
                text = f"is an address, and {source.dataset} is read from a folder of this machine; list it, or copy it"
                yield Conflict(f"{key}.path", text, of_source)
            elif source.dataset is not None:
                try:
                    DATASETS.of(source.dataset).parts(kind, source.split)
                except ConfigError as error:
                    yield Conflict(key, str(error), of_source)


class BackboneChoice(Section):
    """The backbone, and its own settings.

    Attributes:
        name: which backbone; also one of another package (plugins.md), or package.module:Class.
        settings: its own settings.
    """

    name: Annotated[str, Takes(f"one of {', '.join(CONFIGS)}")] = "ge2e"
    settings: dict[str, Any] = Field(default={}, examples=[{"weights": "weights.pt"}])

    @property
    def called(self) -> str:
        """What its embeddings are called: its name, with `_` for the dots and the colon of `package.module:Class`."""
        return plain(self.name)


class ExtractionSettings(Section):
    """What is extracted of either split, in how many shards, by how many jobs.

    Attributes:
        train: views and crops of the split corpus.train.
        evaluation: views and crops of the split corpus.evaluation.
        shards: shards of a store, the most that an interruption loses being one of each job; null: as many as keep each
            to minutes of work.
        jobs: processes that extract a store, each with its share of the shards.
        dask: spread the shards of each job over workers of Dask: on this machine, or at a scheduler's address; null:
            over none.
        stores: a folder of stores that runs share: one extraction is done once, and each run has links to its files;
            null: each run extracts its own. It lies on the disk of the runs; `reseed run --stores` is the same.
    """

    train: ExtractSettings = Field(examples=[{"recipe": "seed"}])
    evaluation: ExtractSettings = Field(examples=[{"recipe": "grid"}])
    shards: int | None = Field(default=None, ge=1, le=99_999)
    jobs: int = Field(default=2, ge=1, le=100_000)
    dask: Annotated[str, Takes("local, local:4 (workers) or an address such as tcp://host:8786")] | None = Field(
        default=None, pattern=DASK
    )
    stores: AbsolutePath | None = None


class RunCalibration(CalibrationSettings):
    """Calibration within a run: fitted on trials among speakers of the training split that are held out for it.

    Attributes:
        share: share of the speakers with several utterances who are held out for it; neither cohort nor PLDA has them.
        fuse: systems whose scores are fused.
    """

    share: float = Field(default=0.5, gt=0, lt=1)
    fuse: Annotated[tuple[tuple[str, ...], ...], Takes("a list of lists of systems")] = Field(
        default=(), examples=[[["raw", "vire"]]]
    )
