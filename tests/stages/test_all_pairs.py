import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.all_pairs import NEIGHBOURS_SCHEMA, all_pairs
from reseed.stages.scoring.cosine import utterance_embeddings
from reseed.stages.scoring.metrics import eer
from reseed.store import Declaration, ScoringError, StoreError, finalise, write_shard
from reseed.store.inputs import DeclaredInputs
from tests.stages.stores import SPEAKERS, overwrite_vector, write_store


def scored(tmp_path, store, **changes):
    settings = {"view": "noise", "top": 4, "neighbours": tmp_path / "neighbours.parquet"}
    return all_pairs(store=store.path, **{**settings, **changes})


def unlabelled_store(path, speakers, with_column=True):
    """Six utterances of one view; None is an unknown speaker."""
    vectors = np.random.default_rng(1).normal(size=(6, 8)).astype(np.float32)
    catalogue = pa.table(
        {
            "utterance_id": [f"u{number}" for number in range(6)],
            "speaker_id": pa.array(speakers, pa.string()),
            "view": ["clean"] * 6,
            "crop": [0] * 6,
        }
    )
    declaration = Declaration(
        8, "float32", {"clean": {}}, 1, "toy:1", DeclaredInputs(further={"speakers": str(speakers)})
    )
    kept = catalogue if with_column else catalogue.drop_columns(["speaker_id"])
    finalise(path, declaration, [write_shard(path, 0, vectors, kept, declaration)], 6)


@pytest.mark.parametrize("shards", [1, 3])
def test_neighbours_and_eer_are_those_of_the_whole_matrix(tmp_path, shards):
    store = write_store(tmp_path / "store", utterances=40, shards=shards)
    result = scored(tmp_path, store)
    units = utterance_embeddings(np.asarray(store.vectors("noise")).reshape(40, 2, -1))
    matrix, speaker = units @ units.T, np.arange(40) % SPEAKERS
    upper = np.triu_indices(40, 1)
    same = (speaker[:, None] == speaker)[upper]
    exact = eer(matrix[upper][same], matrix[upper][~same])
    assert result.eer - result.eer_resolution <= exact <= result.eer
    assert (result.pairs, result.same_speaker, result.different_speaker) == (780, same.sum(), (~same).sum())
    assert result.same_quantiles[1] == pytest.approx(np.quantile(matrix[upper][same], 0.5), abs=0.02)
    np.fill_diagonal(matrix, -np.inf)
    expected = np.argsort(-matrix, axis=1)[:, :4]
    rows = pq.read_table(tmp_path / "neighbours.parquet").to_pylist()
    assert [row["neighbour_id"] for row in rows] == [f"utt-{number:03d}" for number in expected.ravel()]
    assert [row["utterance_id"] for row in rows] == [f"utt-{number:03d}" for number in np.repeat(np.arange(40), 4)]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4] * 40
    assert [row["same_speaker"] for row in rows] == (speaker[:, None] == speaker[expected]).ravel().tolist()
    np.testing.assert_allclose(
        [row["score"] for row in rows], np.take_along_axis(matrix, expected, 1).ravel(), atol=1e-6
    )


def test_the_facts_are_json_and_the_summary_says_them_in_words(tmp_path):
    store = write_store(tmp_path / "store", utterances=40)
    result = scored(tmp_path, store)
    facts = json.loads(json.dumps(result.to_json()))
    assert (facts["pairs"], facts["bins"], facts["view"]) == (780, 8192, "noise")
    assert f"780 pairs of 40 utterances ({result.same_speaker} of one speaker" in result.summary()
    assert f"EER {result.eer:.3%}, at most {result.eer_resolution:.3%} too high" in result.summary()
    assert str(tmp_path / "neighbours.parquet") in result.summary()


@pytest.mark.parametrize("with_column", [True, False])
def test_a_store_without_speakers_gives_neighbours_but_no_eer(tmp_path, with_column):
    unlabelled_store(tmp_path / "store", [None] * 6, with_column)
    result = all_pairs(store=tmp_path / "store", view="clean", top=2, neighbours=tmp_path / "n.parquet")
    assert (result.eer, result.eer_resolution, result.same_speaker, result.same_quantiles) == (None, None, 0, [])
    assert "no EER: it needs pairs of one speaker and of two" in result.summary()
    table = pq.read_table(tmp_path / "n.parquet")
    assert table.schema.equals(NEIGHBOURS_SCHEMA)
    assert table["same_speaker"].null_count == table.num_rows == 12


def test_pairs_with_an_unknown_speaker_are_null_and_in_no_histogram(tmp_path):
    unlabelled_store(tmp_path / "store", ["a", None, "a", "b", None, "b"])
    result = all_pairs(store=tmp_path / "store", view="clean", top=9, neighbours=tmp_path / "n.parquet")
    assert (result.pairs, result.same_speaker, result.different_speaker, result.top) == (15, 2, 4, 5)
    rows = pq.read_table(tmp_path / "n.parquet").to_pylist()
    unknown = {"u1", "u4"}
    for row in rows:
        assert (row["same_speaker"] is None) == bool({row["utterance_id"], row["neighbour_id"]} & unknown)


def test_an_unknown_view_names_those_there_are(tmp_path):
    store = write_store(tmp_path / "store")
    with pytest.raises(StoreError, match="has the views clean, noise, reverb, not 'music'"):
        scored(tmp_path, store, view="music")


def test_a_vector_without_direction_is_an_error_that_says_where(tmp_path, monkeypatch):
    monkeypatch.setattr("reseed.stages.all_pairs._BLOCK_ELEMENTS", 4 * 2 * 16)
    monkeypatch.setenv("RESEED_CHECK_VECTORS", "0")  # or it is found to be damaged first
    store = write_store(tmp_path / "store")
    overwrite_vector(store, row=5 * 2 * 3 + 1, value=0.0)
    with pytest.raises(ScoringError, match="view noise, from utterance 4 on: 1 of 8 vectors have no direction"):
        scored(tmp_path, store)
    assert not (tmp_path / "neighbours.parquet").exists()
