"""`divide`: the utterances of a manifest, by speaker, into those held out for calibration and the rest."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.audio.manifest import CONTENT_SCHEMA, DEMOGRAPHICS_SCHEMA, MANIFEST, ROW_GROUP, UTTERANCES_SCHEMA
from reseed.stages.common.speakers import LABELS_SCHEMA
from reseed.store import ManifestError
from reseed.store.atomic import atomic_paths, digest
from reseed.store.outputs import check_apart, check_table_output
from reseed.store.sealed import write_table

_SCHEMA = pa.unify_schemas([UTTERANCES_SCHEMA, CONTENT_SCHEMA, DEMOGRAPHICS_SCHEMA])


def divide(*, utterances: Path, held_out: Path, rest: Path, share: float, seed: int) -> str:
    """Write both manifests and return one sentence on them.

    A speaker's utterances go together. Speakers of one utterance make no target trial and stay with the rest, as do
    utterances of unknown speakers.

    Args:
        share: of the speakers with two utterances or more, which are held out.

    Raises:
        ManifestError: too few such speakers for two on either side.
    """
    check_apart([held_out, rest], [utterances], ManifestError)
    for path in (held_out, rest):
        check_table_output(path, "a manifest", _SCHEMA, {*_SCHEMA.names} - {*LABELS_SCHEMA.names}, ManifestError)
    with MANIFEST.open(utterances) as file:
        MANIFEST.require(file, LABELS_SCHEMA.names)
        table = file.read()
    counts = {row["values"]: row["counts"] for row in pc.value_counts(table["speaker_id"]).to_pylist()}
    counts.pop(None, None)
    useful = sorted(speaker for speaker, count in counts.items() if count > 1)
    drawn = sorted(useful, key=lambda speaker: digest({"seed": seed, "speaker": speaker}))
    chosen = set(drawn[: round(share * len(useful))])
    if min(len(chosen), len(useful) - len(chosen)) < 2:
        raise ManifestError(
            f"{utterances}: {len(useful)} speakers have two or more utterances; {share:g} of them held out leaves "
            "fewer than two speakers on one side, too few to calibrate by"
        )
    out = pc.is_in(table["speaker_id"], value_set=pa.array(sorted(chosen), pa.string()))
    with atomic_paths(held_out, rest) as temporaries:
        for temporary, mask in zip(temporaries, (out, pc.invert(out)), strict=True):
            write_table(temporary, table.filter(mask), row_group_size=ROW_GROUP)
    return f"{held_out}: {len(chosen)} of {len(useful)} speakers with two or more utterances held out"
