"""`quality`: what a stored vector tells of the recording behind it -> quality.parquet, for calibration.

quality.parquet     utterance_id, condition (the view), duration_s, norm, snr_db

Shapes: N vectors, U utterances, C crops, V views, D embedding dimension.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from reseed.stages.common.speakers import joined_column
from reseed.stages.scoring.cosine import unit_rows
from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.files import QUALITY_SCHEMA
from reseed.stages.trial_scoring.inputs.lists import read_durations
from reseed.store import EmbeddingStore, ManifestError, ScoringError
from reseed.store.atomic import atomic_path

CLEAN_DB = 30.0  # what counts as the SNR of a recording that nothing was added to
_FITTED_N = 100_000
_PENALTIES = np.logspace(-3, 3, 7)


@dataclass(frozen=True)
class SnrEstimate:
    """A linear estimate of the SNR in dB from a unit vector, and its error on vectors it was not fitted on."""

    weight_D: Floats
    offset: float
    error_db: float

    def of(self, unit_ND: Floats) -> Floats:
        estimate_N: Floats = unit_ND @ self.weight_D + self.offset
        return estimate_N


def fit_snr(reference: EmbeddingStore) -> SnrEstimate:
    """Fit ridge regression of the SNR that views were rendered with, on about 100,000 random vectors of a store.

    Every tenth utterance is kept for the error. Nothing added counts as 30 dB, and so does anything fainter.

    Raises:
        ScoringError: the store has no vector of a known SNR.
    """
    vectors, snrs, kept = [], [], []
    generator = np.random.default_rng(0)
    share = min(1.0, _FITTED_N / max(1, sum(shard.rows for shard in reference.shards)))
    for position in range(len(reference.shards)):
        rows = reference.shard(position).rows(["utterance_id", "snr_db"])
        chosen = np.flatnonzero(generator.random(rows.num_rows) < share)
        vectors.append(unit_rows(reference.shard(position).vectors()[chosen]))
        snrs.append(pc.fill_null(rows["snr_db"], CLEAN_DB).to_numpy()[chosen])
        kept.append(rows["utterance_id"].combine_chunks().dictionary_encode().indices.to_numpy()[chosen] % 10 == 9)
    unit_ND, snr_N, kept_N = np.concatenate(vectors), np.concatenate(snrs).clip(max=CLEAN_DB), np.concatenate(kept)
    if not (snr_N < CLEAN_DB).any():
        raise ScoringError(f"{reference.path} has no vector of a known SNR; give the store of a split with noisy views")
    fitted_N = ~kept_N if kept_N.any() and not kept_N.all() else np.ones_like(kept_N)
    model = RidgeCV(alphas=_PENALTIES).fit(unit_ND[fitted_N], snr_N[fitted_N])
    estimate = SnrEstimate(model.coef_, float(model.intercept_), 0.0)
    judged_N = kept_N if kept_N.any() else fitted_N
    error_db = float(np.sqrt(np.mean((estimate.of(unit_ND[judged_N]) - snr_N[judged_N]) ** 2)))
    return SnrEstimate(estimate.weight_D, estimate.offset, error_db)


def quality(*, store: Path, reference: Path, utterances: Path, quality: Path) -> str:
    """Write quality.parquet and return one sentence on it.

    Args:
        store: the vectors to judge.
        reference: a store of the same space whose noisy views say their SNR: what the estimate is fitted on.
        utterances: utterances.parquet, which says how long each recording is.
        quality: written; norm is the length of the mean of the stored crops of an utterance: where these have unit
            length it says how well they agree.

    Raises:
        StoreError, ManifestError: a file cannot be read, or the manifest lacks an utterance.
        ScoringError: the stores are of two spaces, or the reference tells no SNR.
    """
    source, known = EmbeddingStore(store), EmbeddingStore(reference)
    if source.space != known.space:
        raise ScoringError(
            f"{store} holds embeddings of {source.space}, the reference {reference} those of {known.space}; give a "
            "reference of that space"
        )
    estimate = fit_snr(known)
    ids_U = pa.array(source.utterance_ids(), pa.string())
    durations = read_durations(utterances)
    duration_U = joined_column("duration_s", ids_U, durations)
    if duration_U.null_count:
        missing = ids_U.filter(pc.is_null(duration_U))
        raise ManifestError(
            f"{utterances} lacks {len(missing)} utterances of {store}, e.g. {missing[0]}; give the manifest it was "
            "extracted from"
        )
    norm_UV, snr_UV = _measured(source, estimate)
    views = len(source.views)
    table = pa.table(
        [
            ids_U.take(pa.array(np.repeat(np.arange(len(ids_U)), views))).dictionary_encode(),
            pa.array(source.views * len(ids_U), pa.string()).dictionary_encode(),
            pa.array(np.repeat(duration_U.to_numpy(), views)),
            pa.array(norm_UV.ravel()),
            pa.array(snr_UV.ravel()),
        ],
        schema=QUALITY_SCHEMA,
    )
    with atomic_path(quality) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return f"{quality}: {len(ids_U)} utterances in {views} views; SNR estimated to {estimate.error_db:.1f} dB (RMS)"


def _measured(source: EmbeddingStore, estimate: SnrEstimate) -> tuple[Floats, Floats]:
    """Return norm and estimated SNR of each utterance and view, [U, V]."""
    norms: list[Floats] = []
    snrs: list[Floats] = []
    for block_UCVD in source.utterance_blocks():
        crops_UCVD: NDArray[np.float64] = block_UCVD.astype(float)
        norms.append(np.linalg.norm(crops_UCVD.mean(axis=1), axis=-1))
        snrs.append(estimate.of(unit_rows(crops_UCVD)).mean(axis=1))
    return np.concatenate(norms), np.concatenate(snrs)
