import numpy as np
import pytest

from reseed.stages.reporting.results.distances import distances


def on_circle(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_scatter_and_distance_are_those_of_the_angles():
    clean_UD = on_circle(0, 20, 90, 110)
    noisy_UVD = on_circle(30, 50, 120, 140)[:, None]
    found = distances(clean_UD, noisy_UVD, np.array([0, 0, 1, 1]))
    assert found.clean.mean == pytest.approx(1 - np.cos(np.radians(20)))
    # Each noisy vector against the speaker's other clean one: 10 and 50 degrees away.
    assert found.noisy.mean == pytest.approx(1 - np.cos(np.radians([10, 50])).mean())
    assert found.between.mean == found.between.low == pytest.approx(1 - np.cos(np.radians(90)))
    assert found.row("raw")["clean_median"] == found.clean.median
    assert found.noisy_scatter == pytest.approx(found.clean_scatter)  # the same angles apart
    assert found.row("raw")["noisy_hubness"] == found.noisy_hubness


def test_without_noisy_views_there_is_no_scatter_of_them():
    clean_UD = on_circle(0, 20, 90, 110)
    assert distances(clean_UD, np.zeros((4, 0, 2)), np.array([0, 0, 1, 1])).noisy is None
    assert distances(clean_UD, np.zeros((4, 0, 2)), np.array([0, 0, 1, 1])).row("raw")["noisy_scatter"] is None
