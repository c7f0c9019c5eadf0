"""An extension: the shards of a finished store with views that it lacks, as if all had been extracted in one go.

Only the new views are rendered and embedded; the vectors that are there are joined with them, bit for bit.

Shapes: U utterances, C crops, V views, D embedding dimension.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reseed.stages.audio.manifest import Utterance, digest_of
from reseed.stages.extraction.declaration import check_extends, extended_declaration, extracted_inputs
from reseed.stages.extraction.extraction import Extraction
from reseed.stages.extraction.rendering import Rendered, not_finite
from reseed.store import Declaration, EmbeddingStore, Reject, StoreError, shard_name, write_shard
from reseed.store.format import Shard
from reseed.store.inputs import Edit
from reseed.store.layouts import Vectors
from reseed.store.seals import Seal, sound_seal
from reseed.store.shards import ShardReader


@dataclass(frozen=True)
class ShardToBe:
    """A shard with all views, before it is written.

    Attributes:
        reader: of the shard as it is.
        rejects: the utterances of it that have no vectors.
        places: where its utterances stand in the manifest, those that were rejected among them.
        source: digest of what it is made from.
    """

    reader: ShardReader
    rejects: Sequence[Reject]
    places: Sequence[int]
    declaration: Declaration
    source: str

    @property
    def shard(self) -> Shard:
        return self.reader.shard

    @property
    def name(self) -> str:
        return shard_name(self.shard.index, self.declaration.fingerprint, self.source)


@dataclass(frozen=True)
class Extension:
    """What makes the shards of a store with all views of those that it has.

    Attributes:
        extraction: of all views.
    """

    before: EmbeddingStore
    extraction: Extraction

    @classmethod
    def open(cls, before: EmbeddingStore, extraction: Extraction) -> "Extension":
        """Check that what is there can be kept.

        Raises:
            StoreError: another backbone, other crops or sources, another recipe of a view that is there, or a view of
                the store that is not asked for; names what differs.
        """
        check_extends(before.path, before.header.declaration, extraction.declaration)
        return cls(before, extraction)

    @property
    def new_views(self) -> list[str]:
        """The views that the store lacks."""
        return [name for name in self.extraction.declaration.views if name not in self.before.views]

    def declaration(self, edits: Sequence[Edit] | None = None) -> Declaration:
        """Declare the extended store, or the state of it that only some of its edits had come to."""
        there = self.before.header.declaration
        chosen = there.inputs.edits if edits is None else edits
        return extended_declaration(there, self.extraction.declaration, chosen, self.before.path)

    def plan(self) -> list[ShardToBe]:
        """Say of each shard what it is made from.

        Raises:
            StoreError: a shard is damaged, or the manifest lists other recordings than it was made from.
        """
        return [self._to_be(self.before.shard(position)) for position in range(len(self.before.shards))]

    def write(self, to_be: ShardToBe) -> None:
        """Render the new views of a shard, and write it with all views.

        Raises:
            StoreError: a recording has changed since the shard was made, or is gone.
        """
        rows = self._rows(to_be.places)
        made = self.extraction.render(rows, self.new_views)
        stored = to_be.reader.utterances
        if lost := [reject for reject in made.unread if reject.utterance_id in stored]:
            raise StoreError(
                f"{self.before.path} holds {lost[0].utterance_id!r}, of which no new view can be made: "
                f"{lost[0].reason}; restore the recording, or drop the utterance"
            )
        rejects = self._rejects(to_be, made, rows)
        vectors, table = self._joined(to_be.reader, made)
        write_shard(
            self.before.folder, to_be.shard.index, vectors, table, to_be.declaration, rejects, source=to_be.source
        )

    def _to_be(self, reader: ShardReader) -> ShardToBe:
        shard, there, order = reader.shard, self.before.header.declaration, self.extraction.order
        seal = sound_seal(self.before.folder, shard.name, there.vectors)
        rejects = [reject for reject in seal.rejects if reject.utterance_id in self._known]
        wanted = dict.fromkeys([*reader.utterances, *(reject.utterance_id for reject in rejects)])
        if missing := [name for name in wanted if name not in self._places]:
            raise StoreError(f"{order.utterances} does not list {missing[0]!r}, which {self.before.path} was made from")
        places = sorted(self._places[name] for name in wanted)
        source = digest_of(b"".join(self.extraction.row_digests[32 * place :][:32] for place in places))
        as_made = shard.name == shard_name(shard.index, seal.fingerprint, source)
        if not as_made and not self._is_same_manifest:
            raise StoreError(
                f"{order.utterances} lists other recordings than {self.before.path} was made from, or ones that cannot "
                f"be told from others since shard {shard.name} was edited; give the manifest of then"
            )
        declaration = self.declaration(self._edits_of(seal))
        return ShardToBe(reader, rejects, places, declaration, source if as_made else shard.digest)

    def _edits_of(self, seal: Seal) -> Sequence[Edit]:
        """Return the edits that the store had when a shard was made: all, where that is not to be found."""
        there = self.before.header.declaration
        edits = there.inputs.edits
        for count in range(len(edits)):
            then = replace(there, inputs=replace(there.inputs, edits=edits[:count]))
            if then.fingerprint == seal.fingerprint:
                return edits[:count]
        return edits

    @cached_property
    def _places(self) -> Mapping[str, int]:
        rows = self.extraction.rows
        return {row.utterance_id: place for place, row in enumerate(rows)}

    @cached_property
    def _known(self) -> Collection[str]:
        """Utterances that the store holds or lists as rejects; others were dropped."""
        rejected = (reject.utterance_id for reject in self.before.rejects())
        return {*self.before.utterance_ids(), *rejected}

    @cached_property
    def _is_same_manifest(self) -> bool:
        there = extracted_inputs(self.before.header.declaration, self.before.path)
        return there.manifests["utterances"] == digest_of(self.extraction.row_digests)

    def _rows(self, places: Sequence[int]) -> list[Utterance]:
        if not places:
            return []
        stretch = self.extraction.rows[places[0] : places[-1] + 1]
        return [stretch[place - places[0]] for place in places]

    def _rejects(self, to_be: ShardToBe, made: Rendered, rows: Sequence[Utterance]) -> list[Reject]:
        """Return the rejects of a shard in the order in which an extraction finds them."""
        reason = not_finite(self.before.header.declaration.dtype)
        before = {reject.utterance_id: reject for reject in to_be.rejects}
        now = {reject.utterance_id: reject for reject in made.not_finite if reject.utterance_id not in before}
        unread = [reject for reject in to_be.rejects if reject.reason != reason]
        found = {**now, **{name: reject for name, reject in before.items() if reject.reason == reason}}
        return [*unread, *(found[row.utterance_id] for row in rows if row.utterance_id in found)]

    def _joined(self, reader: ShardReader, made: Rendered) -> tuple[Vectors, pa.Table]:
        """Return vectors and catalogue of the utterances that have all views, in row order."""
        declaration = self.extraction.declaration
        crops, views, old, new = declaration.crops, declaration.view_names, self.before.views, self.new_views
        names = list(dict.fromkeys(str(row["utterance_id"]) for row in made.catalogue))
        places, stored = {name: place for place, name in enumerate(names)}, list(reader.utterances)
        kept = [name for name in stored if name in places]
        if kept != [name for name in names if name in reader.utterances]:
            listed = self.extraction.order.utterances
            raise StoreError(f"{listed} lists utterances in another order than {self.before.path}; sort it as it was")
        old_U, new_U = [reader.utterances[name] for name in kept], [places[name] for name in kept]
        old_UCVD = reader.vectors().reshape(-1, crops, len(old), declaration.dim)[old_U]
        new_UCVD = made.vectors_MD.reshape(-1, crops, len(new), declaration.dim)[new_U]
        joined_UCVD = np.empty((len(kept), crops, len(views), declaration.dim), declaration.dtype)
        joined_UCVD[:, :, [views.index(name) for name in old]] = old_UCVD
        joined_UCVD[:, :, [views.index(name) for name in new]] = new_UCVD
        row_UCV = np.empty(joined_UCVD.shape[:3], np.int64)
        before = reader.rows()
        row_UCV[:, :, [views.index(name) for name in old]] = _numbers(crops, len(old), old_U)
        row_UCV[:, :, [views.index(name) for name in new]] = len(before) + _numbers(crops, len(new), new_U)
        added = self._with_annotations(self.extraction.table(made.catalogue), before, reader)
        both = pa.concat_tables([before, added], promote_options="default")
        return joined_UCVD.reshape(-1, declaration.dim), both.take(pa.array(row_UCV.ravel()))

    def _with_annotations(self, rows: pa.Table, before: pa.Table, reader: ShardReader) -> pa.Table:
        """Give new rows what was added to the catalogue of their crop, where that is the same in all views."""
        views, crops = len(self.before.views), self.before.crops
        named = list(zip(rows["utterance_id"].to_pylist(), rows["crop"].to_pylist(), strict=True))
        for name in [name for name in before.column_names if name not in rows.column_names]:
            said, known = before[name].to_pylist(), reader.utterances
            each_view = (said[start : start + views] for start in range(0, len(said), views))
            alike = [values[0] if all(value == values[0] for value in values) else None for values in each_view]
            values = [alike[known[one] * crops + crop] if one in known else None for one, crop in named]
            rows = rows.append_column(before.schema.field(name), pa.array(values, before.schema.field(name).type))
        return rows


def _numbers(crops: int, views: int, utterances: Sequence[int]) -> NDArray[np.int64]:
    """Return the numbers of the rows of some utterances: [U, C, V]."""
    rows = crops * views
    first_U11 = np.array(utterances, np.int64).reshape(-1, 1, 1) * rows
    return first_U11 + np.arange(rows).reshape(crops, views)
