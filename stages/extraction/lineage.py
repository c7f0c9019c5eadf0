"""Where what a store was made from lies, and the graph of it: from recordings to scores."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reseed.stages.backbones.settings import CONFIGS
from reseed.stages.trial_scoring.files import read_origin
from reseed.store import EmbeddingStore, ReseedError, StoreError
from reseed.store.format import Header
from reseed.store.header import read_header
from reseed.store.inputs import Parent
from reseed.store.url import AnyPath


@dataclass(frozen=True)
class Node:
    """Something that a store was made from, or that was made from it.

    Attributes:
        kind: "recordings", "noise", "backbone", "frontend", "model", "store" or "scores".
        state: "found", "missing", or "changed" where a store that lies there now has another fingerprint.
        digest: fingerprint of a store or manifest, digest of weights; empty for scores.
    """

    kind: str
    path: str
    digest: str
    state: str


Edge = tuple[Node, Node]


def find_path(path: str | Path, store: AnyPath) -> Path:
    """Find what a store names by a path of then: from here, or from a folder above the store."""
    candidates = [Path(path), *(above / path for above in _above(store))]
    return next((candidate for candidate in candidates if candidate.exists()), Path(path))


def _above(store: AnyPath) -> Sequence[Path]:
    """Return the folders that a store lies in; of one that lies elsewhere none is opened by itself."""
    return store.resolve().parents if isinstance(store, Path) else ()


def extracted_store(store: AnyPath) -> EmbeddingStore:
    """Return the store that vectors of this one were extracted into: itself, or what it was derived from.

    Raises:
        StoreError: it is derived from a store that is gone or has changed.
    """
    seen: set[AnyPath] = set()
    while (above := parent_store(store, read_header(store))) is not None:
        seen.add(store.resolve())
        if above.resolve() in seen:
            raise StoreError(f"{store} is said to be made from itself, by way of {above}; no store can be")
        store = above
    return EmbeddingStore(store)


def parent_store(store: AnyPath, header: Header) -> AnyPath | None:
    """Return where the store lies that this one was derived from; None where it was not derived from one.

    Raises:
        StoreError: that store is gone or has changed.
    """
    parent = header.declaration.parent("parent")
    if parent is None:
        return None
    path = find_path(parent.path, store)
    if read_header(path).fingerprint != parent.digest:
        raise StoreError(f"{store} was made from {parent.path}, which is another store now")
    return path


@dataclass(frozen=True)
class Ancestry:
    """What a store comes from, as far as that lies there as it was.

    Attributes:
        parent: the store it was derived from; None where it was not derived from one.
        extracted: the store that its vectors were extracted into from audio: itself, or what it was derived from.
        problem: why there is none.
    """

    parent: AnyPath | None = None
    extracted: EmbeddingStore | None = None
    problem: str = "it was not extracted from audio"


def ancestry(store: AnyPath, header: Header) -> Ancestry:
    """Find what a store comes from; nothing that is gone, damaged or changed is an error here."""
    parent = None
    try:
        parent = parent_store(store, header)
        extracted = extracted_store(parent or store)
    except (ReseedError, OSError) as error:
        return Ancestry(parent, problem=str(error))
    return Ancestry(parent, extracted if extracted.header.declaration.parent("backbone") else None)


def lineage_graph(store: AnyPath, header: Header) -> tuple[Node, list[Edge]]:
    """Return the node of a store and all edges around it, from what is made from to what is made."""
    node = Node("store", str(store), header.fingerprint, "found")
    scores = ((node, Node("scores", str(path), "", "found")) for path in score_files(store, header))
    return node, list(dict.fromkeys([*_sources(node, store, header, {store.resolve()}), *scores]))


def _sources(node: Node, store: AnyPath, header: Header, seen: set[AnyPath]) -> Iterator[Edge]:
    for parent in header.declaration.lineage:
        if parent.role != "parent":
            yield _source(parent, store), node
            continue
        path = find_path(parent.path, store)
        try:
            above = read_header(path)
        except StoreError:
            yield Node("store", str(path), parent.digest, "missing"), node
            continue
        state = "found" if above.fingerprint == parent.digest else "changed"
        source = Node("store", str(path), above.fingerprint, state)
        if path.resolve() not in seen:  # a header may name any store, its own too
            yield from _sources(source, path, above, seen | {path.resolve()})
        yield source, node


def _source(parent: Parent, store: AnyPath) -> Node:
    """Return the node of recordings, of a network or of a model."""
    kind = {"utterances": "recordings"}.get(parent.role, parent.role)
    files: list[Path] = []
    if parent.role == "backbone" and parent.name is not None and parent.name in CONFIGS:
        files = CONFIGS[parent.name].files(parent.settings or {})
    elif parent.path != parent.name:
        files = [Path(parent.path)]
    if not files:  # weights that come with a package
        return Node(kind, parent.path, parent.digest, "found")
    found = [find_path(file, store) for file in files]
    return Node(kind, str(found[0]), parent.digest, "found" if all(file.exists() for file in found) else "missing")


def score_files(store: AnyPath, header: Header) -> Iterator[Path]:
    """Yield the score files of the run that a store lies in which were scored from it.

    Those that are damaged are among them: who reads them is told.
    """
    run = next((above.parent for above in _above(store) if above.name == "stores"), None)
    for path in sorted(map(_from_here, (run / "scores").rglob("*.parquet"))) if run else ():
        try:
            origin = read_origin(path)
        except ReseedError as error:
            if error.__cause__ is None:
                continue  # ranks, and what else lies beside scores
            yield path
            continue
        if origin.fingerprint == header.fingerprint:
            yield path


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
