"""`quality`: what a stored vector tells of the recording behind it -> quality.parquet, for calibration.

quality.parquet     utterance_id, condition (the view), duration_s, norm, snr_db

Shapes: U utterances, C crops, V views, D embedding dimension.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reseed.stages.common.speakers import joined_column
from reseed.stages.scoring.cosine import unit_rows
from reseed.stages.scoring.curves import Floats
from reseed.stages.scoring.snr import CLEAN_DB, SnrEstimate, fit_snr
from reseed.stages.trial_scoring.files import QUALITY_SCHEMA
from reseed.stages.trial_scoring.inputs.lists import read_durations
from reseed.store import EmbeddingStore, ManifestError, ScoringError
from reseed.store.outputs import check_apart, check_table_output
from reseed.store.sealed import write_table
from reseed.store.url import AnyPath

_FITTED_N = 100_000


def quality(*, store: AnyPath, reference: AnyPath, utterances: Path, quality: Path) -> str:
    """Write quality.parquet and return one sentence on it.

    Args:
        store: the vectors to measure.
        reference: a store of the same space whose noisy views say their SNR: what the estimate is fitted on.
        utterances: utterances.parquet, which says how long each recording is.
        quality: written; norm is the length of the mean of the stored crops of an utterance: where these have unit
            length it says how well they agree.

    Raises:
        StoreError, ManifestError: a file cannot be read, or the manifest lacks an utterance.
        ScoringError: the stores are of two spaces, or the reference tells no SNR.
    """
    check_apart([quality], [store, reference, utterances], ScoringError)
    check_table_output(quality, "a file of quality measures", QUALITY_SCHEMA, error=ScoringError)
    source, known = EmbeddingStore(store), EmbeddingStore(reference)
    if source.space != known.space:
        raise ScoringError(
            f"{store} holds embeddings of {source.space}, the reference {reference} those of {known.space}; give a "
            "reference of that space"
        )
    estimate = _fitted(known)
    ids_U, duration_U = _durations(source, utterances)
    norm_UV, snr_UV = _measured(source, estimate)
    views = len(source.views)
    columns = [
        ids_U.take(pa.array(np.repeat(np.arange(len(ids_U)), views))).dictionary_encode(),
        pa.array(source.views * len(ids_U), pa.string()).dictionary_encode(),
        pa.array(np.repeat(duration_U.to_numpy(), views)),
        pa.array(norm_UV.ravel()),
        pa.array(snr_UV.ravel()),
    ]
    write_table(quality, pa.table(columns, schema=QUALITY_SCHEMA), compression="zstd")
    return f"{quality}: {len(ids_U)} utterances in {views} views; SNR estimated to {estimate.error_db:.1f} dB (RMS)"


def _fitted(reference: EmbeddingStore) -> SnrEstimate:
    """Fit the estimate of the SNR on about 100,000 random vectors; every tenth utterance is kept for the error."""
    vectors, snrs, held_out = [], [], []
    generator = np.random.default_rng(0)
    share = min(1.0, _FITTED_N / max(1, len(reference)))
    for position in range(len(reference.shards)):
        rows = reference.shard(position).rows(["utterance_id", "snr_db"])
        chosen = np.flatnonzero(generator.random(rows.num_rows) < share)
        vectors.append(unit_rows(reference.shard(position).vectors()[chosen]))
        snrs.append(pc.fill_null(rows["snr_db"], CLEAN_DB).to_numpy()[chosen])
        number = rows["utterance_id"].combine_chunks().dictionary_encode().indices.to_numpy()[chosen]
        held_out.append(number % 10 == 9)
    try:
        return fit_snr(np.concatenate(vectors), np.concatenate(snrs), np.concatenate(held_out))
    except ScoringError as error:
        raise ScoringError(f"{reference.path}: {error}") from error


def _durations(source: EmbeddingStore, utterances: Path) -> tuple[pa.Array, pa.Array]:
    """Return the utterances of a store, and how long they are as a manifest has it: [U] each."""
    ids_U = pa.array(source.utterance_ids(), pa.string())
    duration_U = joined_column("duration_s", ids_U, read_durations(utterances))
    if duration_U.null_count:
        missing = ids_U.filter(pc.is_null(duration_U))
        raise ManifestError(
            f"{utterances} lacks {len(missing)} utterances of {source.path}, e.g. {missing[0]}; give the manifest it "
            "was extracted from"
        )
    return ids_U, duration_U


def _measured(source: EmbeddingStore, estimate: SnrEstimate) -> tuple[Floats, Floats]:
    """Return norm and estimated SNR of each utterance and view, [U, V]."""
    norms: list[Floats] = []
    snrs: list[Floats] = []
    for block_UCVD in source.utterance_blocks():
        crops_UCVD: NDArray[np.float64] = block_UCVD.astype(float)
        norms.append(np.linalg.norm(crops_UCVD.mean(axis=1), axis=-1))
        snrs.append(estimate.of(unit_rows(crops_UCVD)).mean(axis=1))
    return np.concatenate(norms), np.concatenate(snrs)
