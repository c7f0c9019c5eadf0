import numpy as np
import pytest
import torch

from reseed.stages.scoring import all_pairs as module
from reseed.stages.scoring.all_pairs import BINS, histogram_eer, histogram_quantiles, scan_pairs
from reseed.stages.scoring.cosine import unit_rows
from reseed.stages.scoring.metrics import eer
from reseed.store import ScoringError


def voices(count: int = 53, speakers: int = 6, dim: int = 16, seed: int = 0):
    draw = np.random.default_rng(seed)
    speaker = draw.integers(0, speakers, count)
    vectors = draw.normal(size=(speakers, dim))[speaker] + 1.5 * draw.normal(size=(count, dim))
    return unit_rows(vectors).astype(np.float32), speaker


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_U", 8)


def matrix(units):
    scores = units.astype(np.float64) @ units.T.astype(np.float64)
    np.fill_diagonal(scores, -np.inf)
    return scores


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [2, 7, 8, 9, 53])
def test_neighbours_are_those_of_the_sorted_matrix(device, count):
    units, speaker = voices(count)
    found = scan_pairs(units, speaker, top=5, device=device)
    expected = np.argsort(-matrix(units), axis=1)[:, : min(5, count - 1)]
    assert (found.neighbour_UK == expected).all()
    np.testing.assert_allclose(found.score_UK, np.take_along_axis(matrix(units), expected, 1), atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("unknown", [0, 11, 53])
def test_histograms_count_every_pair_of_known_speakers_once(device, unknown):
    units, speaker = voices()
    speaker[np.random.default_rng(5).permutation(53)[:unknown]] = -1
    found = scan_pairs(units, speaker, top=1, device=device)
    same, different = [], []
    for a in range(53):
        for b in range(a + 1, 53):
            if speaker[a] >= 0 and speaker[b] >= 0:
                (same if speaker[a] == speaker[b] else different).append(matrix(units)[a, b])
    assert (found.same_H.sum(), found.different_H.sum()) == (len(same), len(different))
    for counted, scores in ((found.same_H, same), (found.different_H, different)):
        # A score at the edge of two bins may fall on either side of it in single precision.
        expected = np.histogram(scores, BINS, (-1, 1))[0]
        assert np.abs(np.cumsum(counted) - np.cumsum(expected)).max() <= 1


def test_the_eer_lies_between_its_bounds_which_one_bin_keeps_apart():
    units, speaker = voices(400, speakers=20)
    found = scan_pairs(units, speaker, top=1)
    upper = np.triu_indices(400, 1)
    scores, same = matrix(units)[upper], (speaker[:, None] == speaker)[upper]
    low, high = histogram_eer(found.same_H, found.different_H)
    assert low <= eer(scores[same], scores[~same]) <= high
    assert high - low < 2e-3


def test_bounds_meet_where_no_bin_holds_both_classes():
    same, different = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    same[[10, 30]], different[[20, 5]] = 1, 1
    assert histogram_eer(same, different) == pytest.approx((0.25, 0.25))


def test_one_bin_for_all_says_that_nothing_is_known():
    one = np.bincount([7], minlength=BINS) * 5
    assert histogram_eer(one, one) == pytest.approx((0.0, 0.5))


def test_one_class_alone_has_no_eer():
    with pytest.raises(ScoringError, match="0 target and 1 non-target"):
        histogram_eer(np.zeros(BINS, np.int64), np.bincount([3], minlength=BINS))


def test_quantiles_of_a_histogram_are_those_of_its_scores_to_a_bin():
    scores = np.random.default_rng(0).uniform(-0.5, 0.9, 10_000)
    counted = np.histogram(scores, BINS, (-1, 1))[0]
    expected = np.quantile(scores, [0.01, 0.5, 0.99])
    np.testing.assert_allclose(histogram_quantiles(counted, (0.01, 0.5, 0.99)), expected, atol=1e-3)
    assert histogram_quantiles(np.zeros(BINS, np.int64), (0.5,)) == []


def test_a_row_is_never_its_own_neighbour_but_its_twin_is():
    units = np.repeat(voices(5)[0], 2, axis=0)
    found = scan_pairs(units, np.arange(10) // 2, top=3)
    assert (found.neighbour_UK[:, 0] == np.arange(10) ^ 1).all()
    np.testing.assert_allclose(found.score_UK[:, 0], 1, atol=1e-6)
    assert found.same_H[-1] == 5


def test_equal_scores_are_ordered_by_row():
    found = scan_pairs(np.ones((6, 1), np.float32), np.zeros(6, int), top=5)
    assert found.neighbour_UK[3].tolist() == [0, 1, 2, 4, 5]


def test_a_memory_map_is_read_as_it_lies(tmp_path):
    units, speaker = voices()
    np.save(tmp_path / "units.npy", units)
    mapped = np.load(tmp_path / "units.npy", mmap_mode="r")
    assert (scan_pairs(mapped, speaker, 3).neighbour_UK == scan_pairs(units, speaker, 3).neighbour_UK).all()


@pytest.mark.parametrize(("rows", "top"), [(1, 3), (0, 3), (5, 0)])
def test_too_few_rows_or_neighbours_are_an_error(rows, top):
    with pytest.raises(ScoringError, match=f"got {rows} and {top}"):
        scan_pairs(np.ones((rows, 2), np.float32), np.zeros(rows, int), top)
