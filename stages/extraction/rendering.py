"""Some views of some utterances, drawn, mixed and embedded: the work behind a shard.

Threads decode and draw in advance while the backbone computes; batches are mixed on its device. In memory are the
vectors of the utterances given and a window of crops, however long a recording is.

A batch is of one view and of one block of utterances, whatever other views there are: a vector is the same to the last
bit whichever views are rendered beside it, or after it.

Shapes: B batch, D embedding dimension, M rows, T samples.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from reseed.stages.audio.decode import Waveform
from reseed.stages.audio.draw import Draw
from reseed.stages.audio.manifest import Utterance
from reseed.stages.common.threads import default_decoders, lanes, thread_map
from reseed.stages.extraction.embedder import Embedder
from reseed.stages.extraction.utterance import CatalogueRow, Cut, UtteranceReader
from reseed.store import AudioError, Reject
from reseed.store.remote import REQUESTS
from reseed.store.url import is_url


@dataclass(frozen=True)
class Rendered:
    """Some views of some utterances.

    Attributes:
        vectors_MD: in row order: utterance, crop, view.
        catalogue: a row for each of them.
        unread: utterances whose recordings cannot be used, in their order.
        not_finite: utterances of which a vector is not finite, in their order.
    """

    vectors_MD: NDArray[np.float32]
    catalogue: list[CatalogueRow]
    unread: list[Reject]
    not_finite: list[Reject]


@dataclass(frozen=True)
class _Crop:
    """One crop of an utterance, which has a place among the others and stands in a block of them."""

    place: int
    row: Utterance
    number: int
    cut: Cut
    waveform_T: Waveform
    block: int = 0


@dataclass(frozen=True)
class _Drawn:
    """One view of a crop, or why there is none."""

    crop: _Crop
    view: str
    listed: CatalogueRow
    draw: Draw | None
    fault: str = ""


@dataclass(frozen=True)
class Rendering:
    """One rendering of some utterances.

    Attributes:
        rows: the utterances; which ones stand together may decide the last bits of a vector.
        views: those of the reader's settings that are wanted, in row order.
        dtype: what vectors are stored as, in which they must be finite.
    """

    rows: Sequence[Utterance]
    reader: UtteranceReader
    embedder: Embedder
    views: Sequence[str]
    dtype: str
    _unread: dict[int, Reject] = field(default_factory=dict, init=False)

    def render(self) -> Rendered:
        """Render and embed all of it.

        Raises:
            ManifestError: a recording that a view needs cannot be used, or there is none.
        """
        drawn: list[_Drawn] = []
        vectors = [np.empty((0, self.embedder.backbone.embedding_dim), np.float32), *self._embedded(self._noted(drawn))]
        order = sorted(range(len(drawn)), key=lambda number: self._row_key(drawn[number]))
        order = [number for number in order if drawn[number].crop.place not in self._unread]
        vectors_MD, listed = np.concatenate(vectors)[order], [drawn[number].listed for number in order]
        finite_M = self._finite(vectors_MD)
        lost = dict.fromkeys(str(listed[number]["utterance_id"]) for number in np.flatnonzero(~finite_M))
        return Rendered(
            vectors_MD[finite_M],
            [row for row, finite in zip(listed, finite_M, strict=True) if finite],
            [reject for _, reject in sorted(self._unread.items())],
            [Reject(name, "extract", not_finite(self.dtype)) for name in lost],
        )

    def _row_key(self, drawn: _Drawn) -> tuple[int, int, int]:
        return drawn.crop.place, drawn.crop.number, self.views.index(drawn.view)

    def _finite(self, vectors_MD: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which rows are of an utterance whose vectors are all finite."""
        rows = self.reader.settings.crops.count * len(self.views)
        with np.errstate(over="ignore"):
            finite_M = np.isfinite(vectors_MD.astype(self.dtype)).all(axis=1)
        return np.repeat(finite_M.reshape(-1, rows).all(axis=1), rows)

    def _noted(self, drawn: list[_Drawn]) -> Iterator[tuple[_Drawn, Draw]]:
        """Yield draws in the order in which they are embedded, and list them."""
        settings, threads = self.reader.settings, self._threads
        window = threads + (2 if settings.crops.duration_s is None else 2 * settings.batch)
        for found in thread_map(self._draw, self._crops(), threads, window):
            if found.draw is None:
                self._reject(found.crop.place, found.crop.row, found.fault)
            else:
                drawn.append(found)
                yield found, found.draw

    def _crops(self) -> Iterator[tuple[str, _Crop]]:
        """Yield block by block, of each view by itself, what is to be drawn."""
        crops, threads = self.reader.settings.crops, self._threads
        size = max(1, self.reader.settings.batch // crops.count)
        window = threads + (2 if crops.duration_s is None else size)  # whole utterances may be long
        opened = thread_map(self._open, range(len(self.rows)), threads, window)
        for block, found in enumerate(_blocks(opened, size)):
            yield from ((view, replace(crop, block=block)) for view in self.views for crops in found for crop in crops)

    def _open(self, place: int) -> list[_Crop]:
        """Decode the crops of an utterance; none where that cannot be done, which is noted."""
        row = self.rows[place]
        try:
            return [_Crop(place, row, number, *crop) for number, crop in enumerate(self.reader.crops(row))]
        except AudioError as error:
            self._reject(place, row, str(error))
            return []

    def _draw(self, wanted: tuple[str, _Crop]) -> _Drawn:
        view, crop = wanted
        try:
            listed, draw = self.reader.draw(crop.row, crop.number, crop.cut, crop.waveform_T, view)
        except AudioError as error:
            return _Drawn(crop, view, {}, None, str(error))
        return _Drawn(crop, view, listed, draw)

    def _reject(self, place: int, row: Utterance, fault: str) -> None:
        self._unread.setdefault(place, Reject(row.utterance_id, "extract", f"{row.path} {fault}"))

    @property
    def _threads(self) -> int:
        least = REQUESTS if any(is_url(row.path) for row in self.rows[:1]) else 1
        return self.reader.settings.decoders or max(least, default_decoders(self.embedder.device.type))

    def _embedded(self, drawn: Iterable[tuple[_Drawn, Draw]]) -> Iterator[NDArray[np.float32]]:
        """Yield vectors [B, D] batch by batch; a device computes one while the next is being put together.

        The cores of a CPU compute a batch each: whole batches side by side give the same bits on any number of cores.
        """
        batches = _batched(drawn, self.reader.settings.batch)
        embedder = self.embedder
        side_by_side = 1 if embedder.device.type == "cuda" or self.reader.settings.compile else lanes()
        if side_by_side > 1:
            yield from thread_map(lambda batch: embedder(batch).numpy(), batches, side_by_side, 2 * side_by_side)
            return
        computing: deque[Tensor] = deque()
        for batch in batches:
            computing.append(embedder(batch))
            if len(computing) > 1:
                yield computing.popleft().cpu().numpy()
        yield from (embedding_BD.cpu().numpy() for embedding_BD in computing)


def not_finite(dtype: str) -> str:
    """Return why an utterance is rejected of which a vector is not finite."""
    return f"gives a vector that is not finite in {dtype}"


def _blocks(opened: Iterable[list[_Crop]], size: int) -> Iterator[list[list[_Crop]]]:
    """Yield up to `size` utterances at a time, whose crops are all of one length."""
    for _, alike in groupby(filter(None, opened), lambda crops: len(crops[0].waveform_T)):
        while block := list(islice(alike, size)):
            yield block


def _batched(drawn: Iterable[tuple[_Drawn, Draw]], size: int) -> Iterator[list[Draw]]:
    """Yield up to `size` draws at a time, all of one block and view: of one length, so that none is padded."""
    alike = groupby(drawn, lambda found: (found[0].crop.block, found[0].view))
    for _, found in alike:
        while batch := [draw for _, draw in islice(found, size)]:
            yield batch
