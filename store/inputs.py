"""What a store was made from, as records: its declared inputs by maker, its edits, and its lineage.

store.json holds them as JSON. Keys that this version does not know are kept, and written again.

    Record                      a JSON object
    ├── Parent                  one thing that a store was made from, and where it lay
    ├── Edit                    one change of a finished store
    └── DeclaredInputs          what the fingerprint digests, of any maker
        ├── ExtractedInputs     by `reseed extract`, from recordings
        ├── ImportedInputs      by `reseed import`, from a file of vectors
        └── DerivedInputs       from another store
            ├── EnhancedInputs  by `reseed enhance`
            └── MappedInputs    by `reseed map`
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Self

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A JSON object; a field that is as by default is left out of it.

    Attributes:
        further: keys that this version does not know.
    """

    further: Json = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: Json) -> Self:
        """Make it of JSON."""
        known = cls._keys()
        further = {key: value for key, value in raw.items() if key not in known}
        return cls(**{known[key].name: value for key, value in raw.items() if key in known}, further=further)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON: what `parse` was given."""
        values = {key: (getattr(self, known.name), known.default) for key, known in self._keys().items()}
        return {**{key: value for key, (value, default) in values.items() if value != default}, **self.further}

    @classmethod
    def fits(cls, raw: Json) -> bool:
        """Whether JSON has all keys that it needs."""
        return all(key in raw for key, known in cls._keys().items() if known.default is MISSING)

    @classmethod
    def _keys(cls) -> dict[str, Field[Any]]:
        return {known.metadata.get("key", known.name): known for known in fields(cls) if known.name != "further"}


@dataclass(frozen=True, kw_only=True)
class Parent(Record):
    """One thing that a store was made from.

    Attributes:
        role: "utterances", "noise" and other manifests, "backbone", "frontend"; "parent" (a store), "model"; "source".
        path: where it lay then; of a backbone without files of its own, its name.
        digest: fingerprint of a store, digest of a manifest or of weights.
        name: kind of backbone or front end.
        settings: those of the backbone.
    """

    role: str
    path: str
    digest: str
    name: str | None = None
    settings: Json | None = None


@dataclass(frozen=True, kw_only=True)
class Edit(Record):
    """One change of a finished store.

    Attributes:
        what: "append", "retry" or "drop".
        digest: of what was appended or dropped.
    """

    what: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class DeclaredInputs(Record):
    """What a store was declared to be made from: names, numbers and digests, no paths.

    Attributes:
        plugins: code of other packages that took part: name of the component -> its distribution, version and digest;
            None: there is none.
    """

    edits: tuple[Edit, ...] = ()
    plugins: Json | None = None

    @classmethod
    def parse(cls, raw: Json) -> Self:
        """Make it of JSON."""
        return super().parse({**raw, "edits": tuple(map(Edit.parse, raw.get("edits", ())))})

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON: what `parse` was given."""
        values = super().to_json()
        values.pop("edits", None)
        return {**values, "edits": [edit.to_json() for edit in self.edits]} if self.edits else values


@dataclass(frozen=True, kw_only=True)
class ExtractedInputs(DeclaredInputs):
    """What the vectors of recordings were declared to be made from.

    Attributes:
        backbone: its identity.
        precision: "float32", or what autocast computed in; None in stores from before there was a choice.
        crops: how utterances are cut.
        rendering: versions of what renders the views.
        manifests: role -> digest.
    """

    backbone: Json
    precision: str | None = None
    crops: Json
    seed: int
    rendering: Json
    manifests: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ImportedInputs(DeclaredInputs):
    """What imported vectors were declared to be made from.

    Attributes:
        source: format, digest and columns of what was read.
        origin: fingerprint, inputs and lineage that an exported store says of itself.
    """

    source: Json = field(metadata={"key": "import"})
    origin: Json | None


@dataclass(frozen=True, kw_only=True)
class DerivedInputs(DeclaredInputs):
    """What the vectors of another store were mapped by.

    Attributes:
        parent: fingerprint of that store.
        method: name of the enhancer or aligner.
        config: its settings.
    """

    parent: str
    method: str = field(metadata={"key": "enhancer"})
    config: Json


@dataclass(frozen=True, kw_only=True)
class EnhancedInputs(DerivedInputs):
    """What enhanced vectors were declared to be made from.

    Attributes:
        model: digest of its weights.
        adapted_to: digest of the vectors that the model adapted to, those of the parent; empty: it does not adapt.
    """

    model: str
    seed: int
    adapted_to: str = ""


@dataclass(frozen=True, kw_only=True)
class MappedInputs(DerivedInputs):
    """What vectors of an aligned pair were declared to be made from.

    Attributes:
        alignment: digest of its weights.
        side: "enrolment" or "test".
    """

    alignment: str
    side: str


def parse_inputs(raw: Json) -> DeclaredInputs:
    """Make the declared inputs of JSON: of the first maker all of whose keys are there."""
    return next(
        (maker for maker in (ExtractedInputs, EnhancedInputs, MappedInputs, ImportedInputs) if maker.fits(raw)),
        DeclaredInputs,
    ).parse(raw)


def of_other_data(inputs: DeclaredInputs) -> bool:
    """Whether vectors were imported that no store has exported: nothing says that they are of audio."""
    return isinstance(inputs, ImportedInputs) and inputs.origin is None
