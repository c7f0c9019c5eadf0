import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score
from sklearn.metrics.pairwise import cosine_similarity

from reseed.stages.scoring import identification
from reseed.stages.scoring.identification import rank_speakers


def units(angles_degrees: list[float]) -> np.ndarray:
    radians = np.radians(angles_degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def rank(angles, speakers, enrolled, tested):
    vectors = units(angles)
    ranks, count = rank_speakers(vectors, vectors, np.array(speakers), np.array(enrolled), np.array(tested))
    return ranks.tolist(), count


def test_the_rank_counts_the_speakers_that_are_closer():
    # Speakers 0, 1, 2 are enrolled at 0, 40 and 90 degrees; tests of speaker 0 at 10, 30 and 80 degrees.
    ranks, count = rank([0, 40, 90, 10, 30, 80], [0, 1, 2, 0, 0, 0], [0, 1, 2], [3, 4, 5])
    assert (ranks, count) == ([1, 2, 3], 3)


def test_an_enrolled_test_utterance_is_left_out_of_its_own_model():
    # Utterance 0 lies far from its speaker's other utterance and next to speaker 1.
    ranks, _ = rank([80, 0, 90], [0, 0, 1], [0, 1, 2], [0])
    assert ranks == [2]


def test_a_speaker_enrolled_by_the_test_utterance_alone_is_not_ranked():
    assert rank([0, 90], [0, 1], [0, 1], [0, 1])[0] == [0, 0]


def test_unknown_and_unenrolled_speakers_are_not_ranked():
    ranks, count = rank([0, 90, 10, 20], [0, 1, -1, 7], [0, 1], [2, 3])
    assert (ranks, count) == ([0, 0], 2)


def test_utterances_of_unknown_speakers_are_no_model():
    assert rank([0, 5, 90, 10], [0, -1, 1, 0], [0, 1, 2], [3]) == ([1], 2)


def test_ties_count_against_the_true_speaker():
    assert rank([0, 0, 0], [0, 1, 0], [0, 1], [2]) == ([2], 2)


def test_nobody_enrolled_gives_no_ranks():
    assert rank([0, 10], [-1, -1], [0], [1]) == ([0], 0)


def ranks_one_by_one(angles, speakers, enrolled, tested):
    """The definition, spelt out: the true speaker's place among the models, own utterance left out."""
    vectors = units(angles)
    ranks = []
    for test in tested:
        score = {}
        for speaker in {speakers[row] for row in enrolled}:
            own = [vectors[row] for row in enrolled if speakers[row] == speaker and row != test]
            if own:
                model = np.mean(own, axis=0)
                score[speaker] = vectors[test] @ model / np.linalg.norm(model)
        true = score.get(speakers[test])
        ranks.append(0 if true is None else sum(other >= true for other in score.values()))
    return ranks


@pytest.mark.parametrize("block", [1024, 7])
def test_ranks_are_those_counted_one_by_one_in_blocks_of_any_size(monkeypatch, block):
    draw = np.random.default_rng(0)
    angles, speakers = draw.uniform(0, 360, 40).tolist(), draw.integers(0, 5, 40).tolist()
    monkeypatch.setattr(identification, "_BLOCK_T", block)
    ranks, count = rank(angles, speakers, range(20), range(10, 40))
    assert ranks == ranks_one_by_one(angles, speakers, range(20), range(10, 40))
    assert (count, set(ranks)) == (5, {1, 2, 3, 4, 5})


@pytest.mark.parametrize("seed", range(100))
def test_accuracy_is_that_of_scikit_learn_on_the_cosines_with_the_mean_of_each_speaker(seed):
    draw = np.random.default_rng(seed)
    speakers = np.concatenate([np.arange(8).repeat(2), draw.integers(8, size=30)])  # two enrolled each, thirty tested
    vectors = draw.normal(size=(8, 6))[speakers] + draw.normal(size=(46, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ranks, _ = rank_speakers(vectors, vectors, speakers, np.arange(16), np.arange(16, 46))
    cosines = cosine_similarity(vectors[16:], vectors[:16].reshape(8, 2, 6).mean(axis=1))
    for first in (1, 5):
        assert np.mean(ranks <= first) == top_k_accuracy_score(speakers[16:], cosines, k=first, labels=range(8))
