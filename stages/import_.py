"""`reseed import`: vectors that reseed exported, or that were computed elsewhere, become a store.

Faces, emotions, text: whatever gives vectors. An id for each is all that is required.

Shapes: U utterances of a shard, K rows per utterance (crops x views).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from reseed.stages.common.section import Section
from reseed.stages.common.space import check_space
from reseed.stages.common.speakers import LABELS_SCHEMA, labels_of
from reseed.stages.common.terminal import log
from reseed.stages.interop.arrange import arranged
from reseed.stages.interop.columns import Columns, conform
from reseed.stages.interop.exchange import Batch, Reader
from reseed.stages.interop.plan import STAGE, ImportPlan, Scan, cell_name, make_plan, scan
from reseed.stages.interop.table import format_called, format_of
from reseed.stages.interop.view_columns import ViewColumns
from reseed.store import (
    ConfigError,
    Declaration,
    EmbeddingStore,
    Reject,
    StoreError,
    atomic,
    finalise,
    is_finalised,
    read_seal,
    shard_name,
    write_shard,
)
from reseed.store.inputs import ImportedInputs, Parent
from reseed.store.outputs import check_apart, check_store, check_table_output
from reseed.store.sealed import DamagedError, check_listed, write_table
from reseed.store.share import link_store


class ImportSettings(Section):
    """How a source is read.

    Attributes:
        space: name of the embedding space, e.g. arcface:r100; needed unless the source has one. Vectors of two spaces
            are never mixed: give one name to what comes from one network, and different names to the rest.
        id: column of the ids.
        embedding: column of the vectors (parquet), or which .npy member of a sample (webdataset).
        views: column of the vectors of each view, where a row has one for each; in place of embedding and view. Of a
            folder of arrays (npy), the array of each view.
        speaker: column of the labels; null: speaker_id, where there is one.
        view: column of the views; null: view, where there is one; a row without one is "clean".
        crop: column of the crops, numbered from 0; null: crop, where there is one; a row without one is crop 0.
        dtype: type of the stored vectors; null: that of the exported store, else float32.
        vectors: where the store keeps its vectors: in HDF5 or in Parquet files.
        rows_per_shard: rows of a shard at most; a shard is held in memory while it is written.
    """

    space: str | None = None
    id: str = "utterance_id"
    embedding: str = "embedding"
    views: dict[str, str] = Field(default={}, examples=[{"clean": "plain.npy", "blurred": "blurred.npy"}])
    speaker: str | None = None
    view: str | None = None
    crop: str | None = None
    dtype: Literal["float32", "float16"] | None = None
    vectors: Literal["hdf5", "parquet"] = "hdf5"
    rows_per_shard: int = Field(default=65_536, ge=1)


def import_store(
    *,
    source: Path,
    store: Path,
    format: str | None = None,
    settings: ImportSettings,
    utterances: Path | None = None,
    unnamed_space: str | None = None,
) -> str:
    """Make a store of embeddings in another format.

    Each utterance must come in all crops and views that the source holds, once, and finite; one that does not is a row
    of rejects.parquet, with its reason. The source is read three times: for the names, for its digest, for the vectors.
    Where it is in the order of a store (utterance, crop, view) the vectors are streamed; else see
    `stages.interop.arrange`. An interrupted import is resumed, an older store at `store` stands until it is done.

    A source that is a store already becomes another name of it, or a copy where it lies on another disk.

    Args:
        source: what the format takes (see the readers in `reseed.stages.interop`), or a store.
        format: a name in `reseed.stages.interop.table.FORMATS`; none: told from the endings of files.
        utterances: written; id and label of each utterance that is stored, as `trials`, `score` and `report` take them.
        unnamed_space: name of the embedding space where neither settings nor source have one.

    Returns:
        One sentence on what was stored.

    Raises:
        ConfigError: no such format; no name for the space, or another than the source carries.
        StoreError: a source that cannot be read, or something at `store` that is not a store.
    """
    check_apart([store, utterances], [source] if source.is_file() else [], StoreError)
    check_store(store)
    check_table_output(utterances, "a list of labels", LABELS_SCHEMA, error=StoreError)
    if not source.exists():
        raise StoreError(f"{source} does not exist; give what is to be imported")
    if (source / "store.json").is_file():
        sentence = _linked(source, store)
    else:
        named = format or format_of(source)
        arriving = _Import(source, named, _reader(source, named, settings), settings)
        space = arriving.space(unnamed_space)
        scanned, plan = arriving.plan()
        dim, batches = _peeked(arriving.batches(scanned.schema))
        sentence = _write(store, batches, plan, arriving.declare(plan, space, dim), settings.rows_per_shard)
    if utterances is not None:
        write_table(utterances, labels_of(store))
    return sentence


def _linked(source: Path, store: Path) -> str:
    check_apart([store], [source], StoreError)
    header = link_store(source, store, EmbeddingStore(source).header.declaration, or_copy=True)
    return f"{store}: {header.stored} utterances stored, those of {source}"


def _reader(source: Path, format: str, settings: ImportSettings) -> Reader:
    read = format_called(format).read
    return ViewColumns(read, source, settings.views) if settings.views else read(source, settings.embedding)


@dataclass(frozen=True)
class _Import:
    """A source, and how it is to be read."""

    source: Path
    format: str
    reader: Reader
    settings: ImportSettings

    @property
    def dtype(self) -> str:
        return self.settings.dtype or (self.reader.header.dtype if self.reader.header else "float32")

    def space(self, otherwise: str | None) -> str:
        """Return the name of the embedding space, given or carried; raises ConfigError unless there is just one."""
        carried = self.reader.header.space if self.reader.header else None
        given = self.settings.space or (None if carried else otherwise)
        if given is None and carried is None:
            raise ConfigError(f"{self.source} does not say in which embedding space its vectors lie; give --space")
        if given is not None and carried not in (None, given):
            raise ConfigError(f"{self.source} holds embeddings of {carried}, not of {given}; leave --space out")
        return given or carried or ""

    def plan(self) -> tuple[Scan, ImportPlan]:
        """Read the names of all rows, and plan the store from them."""
        header = self.reader.header
        self._check_files(header.files if header else {})
        scanned = scan(map(self._catalogue, self.reader.rows()), self.source)
        found = len(scanned.crop_N)
        # One file out of an exported directory may be imported by itself; the directory must be whole.
        if header is not None and self.source.is_dir() and found != header.rows:
            raise StoreError(
                f"{self.source} holds {found} of the {header.rows} rows exported; restore the missing files"
            )
        return scanned, make_plan(scanned, [view.name for view in header.views] if header else [], self.source)

    def _check_files(self, digests: Mapping[str, str]) -> None:
        """Compare the files of an exported directory with what it says of them, before anything in them is believed."""
        folder = self.source if self.source.is_dir() else self.source.parent
        for file in self.reader.files:
            try:
                if file.parent == folder:
                    check_listed(folder, file.name, digests)
            except DamagedError as error:
                raise StoreError(f"{file} is damaged: {error}; export the store again") from None

    def batches(self, schema: pa.Schema) -> Iterator[Batch]:
        """Yield the batches as the store takes them; what its dtype cannot hold becomes infinite, to be rejected."""
        for batch in self.reader.batches():
            with np.errstate(over="ignore"):
                vectors = np.asarray(batch.vectors, self.dtype)
            yield Batch(conform(self._catalogue(batch.rows), schema), vectors)

    def declare(self, plan: ImportPlan, space: str, dim: int) -> Declaration:
        """Declare the store: made from the bytes of the source and, through them, from what the source says it was."""
        header = self.reader.header
        recipes = {view.name: view.recipe for view in header.views} if header else {}
        digest = atomic.digest([atomic.sha256_once(path) for path in self.reader.files])
        names = {"id", "embedding", "speaker", "view", "crop", *(["views"] if self.settings.views else [])}
        columns = self.settings.model_dump(include=names)
        origin = header.model_dump(include={"fingerprint", "inputs", "lineage"}) if header else None
        lineage = {"source": digest} | ({"origin": header.fingerprint} if header else {})
        return Declaration(
            dim=dim,
            dtype=self.dtype,
            views={name: recipes.get(name, {}) for name in plan.views},
            crops=plan.crops,
            space=space,
            inputs=ImportedInputs(source={"format": self.format, "source": digest, "columns": columns}, origin=origin),
            lineage=tuple(Parent(role=role, path=str(self.source), digest=of) for role, of in lineage.items()),
            vectors=self.settings.vectors,
        )

    def _catalogue(self, rows: pa.Table) -> pa.Table:
        settings = self.settings
        columns = Columns(settings.id, settings.speaker, settings.view, settings.crop)
        return columns.catalogue(rows, self.source)


def _write(
    store: Path, batches: Iterable[Batch], plan: ImportPlan, declaration: Declaration, rows_per_shard: int
) -> str:
    rows = max(1, rows_per_shard // plan.per_utterance) * plan.per_utterance
    shards = -(-len(plan.order) // rows)
    names = [shard_name(index, declaration.fingerprint, str(rows)) for index in range(shards)]
    if is_finalised(store, declaration, names):
        return f"{store}: nothing to do, all {shards} shards are sealed"
    check_space(store, sum(read_seal(store, name, declaration.vectors) is None for name in names) * rows, declaration)
    for index, batch in enumerate(arranged(batches, plan, rows, store.parent)):
        if read_seal(store, names[index], declaration.vectors) is None:
            finite, rejects = _without_unusable(batch, plan)
            write_shard(store, index, finite.vectors, finite.rows, declaration, rejects, source=str(rows))
            log(f"{store}: shard {index} written ({index + 1} of {shards})")
    seals = [read_seal(store, name, declaration.vectors) for name in names]
    rejects = plan.rejects + [reject for seal in seals if seal is not None for reject in seal.rejects]
    if len(rejects) == plan.expected:
        raise StoreError(f"{store}: not one vector can be stored; {rejects[0].utterance_id!r} {rejects[0].reason}")
    header = finalise(store, declaration, names, plan.expected, rejects)
    return f"{store}: {header.stored} utterances stored, {header.rejected} rejected, space {declaration.space}"


def _peeked(batches: Iterator[Batch]) -> tuple[int, Iterator[Batch]]:
    """Return the dimension of the first batch, and all of them."""
    first = next(batches)
    return first.vectors.shape[1], chain([first], batches)


def _without_unusable(batch: Batch, plan: ImportPlan) -> tuple[Batch, list[Reject]]:
    """Leave out the utterances that have a vector which is not finite."""
    finite_UK = np.isfinite(batch.vectors).all(axis=1).reshape(-1, plan.per_utterance)
    is_whole_U = finite_UK.all(axis=1)
    rejects = []
    for utterance in np.flatnonzero(~is_whole_U).tolist():
        where = cell_name(int(finite_UK[utterance].argmin()), plan.views)
        utterance_id = batch.rows["utterance_id"][utterance * plan.per_utterance].as_py()
        rejects.append(Reject(utterance_id, STAGE, f"{where} holds no finite {batch.vectors.dtype} vector"))
    return batch.take(np.flatnonzero(np.repeat(is_whole_U, plan.per_utterance))) if rejects else batch, rejects
