import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from stages.reporting.figures import system_looks
from stages.reporting.load import System
from stages.reporting.plot_conditions import plan_bands
from stages.reporting.plot_det import det_panels
from stages.reporting.plot_snr import plan_panels
from stages.reporting.projection import Panel, turned_like
from stages.reporting.summary import summarise
from tests.stages.reporting.test_summary import measured

SYSTEMS = [System(name, "ge2e", "cosine") for name in ("raw", *"abcdefghi")]
LOOKS = system_looks({system: system.name for system in SYSTEMS})


def test_every_system_looks_different():
    assert len({(look.colour, look.marker) for look in LOOKS.values()}) == len(SYSTEMS)


def test_a_system_looks_the_same_whatever_comes_after_it():
    fewer = system_looks({system: system.name for system in SYSTEMS[:3]})
    assert [fewer[system] for system in fewer] == [LOOKS[system] for system in fewer]


@pytest.mark.parametrize("rate", [1e-5, 0.01, 0.3, 0.6])
def test_det_curves_draw_at_any_error_rate_and_leave_matplotlib_as_it_was(rate):
    before = dict(mpl.rcParams)
    curve = np.array([1 - 1e-5, rate, 1e-5]), np.array([1e-5, rate, 1 - 1e-5])
    svg = det_panels({"clean": {SYSTEMS[0]: curve}, "noisy": {}}, LOOKS)
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert dict(mpl.rcParams) == before


def test_nothing_to_draw_is_no_figure():
    assert det_panels({"clean": {}, "noisy": {}}, LOOKS) is None


def test_a_kind_of_noise_gets_a_panel_where_it_has_two_snrs_and_ends_at_what_it_is_added_to():
    recipes = {
        "clean": {},
        "reverb": {"reverb": True},
        "n0": {"noise": 0},
        "n10": {"noise": 10},
        "m5": {"music": 5},
        "wide": {"noise": [0, 20]},
        "rb5": {"reverb": True, "babble": 5},
        "rb10": {"reverb": True, "babble": 10},
    }
    measurements = [measured("raw", view, 0.1 * index, recipe=recipes[view]) for index, view in enumerate(recipes)]
    noise, babble = plan_panels(measurements)
    assert (noise.kind, noise.ticks, noise.quiet_kind) == ("noise", [0, 10], "clean")
    assert [point.eer for point in noise.curves[SYSTEMS[0]]] == pytest.approx([20, 30])
    assert noise.quiet[SYSTEMS[0]].at == noise.quiet_at > 10
    assert (babble.kind, babble.quiet_kind) == ("reverb+babble", "reverb")
    assert babble.quiet[SYSTEMS[0]].eer == pytest.approx(10)


def test_bands_show_clean_then_the_noisy_mean_then_each_noise():
    measurements = [
        measured("raw", view, eer) for view, eer in [("noise_5db", 0.2), ("clean", 0.1), ("music_5db", 0.4)]
    ]
    bands = plan_bands(measurements, summarise(measurements))
    assert [label for label, _ in bands] == ["clean", "mean of 2 noisy", "noise 5 dB", "music 5 dB"]
    assert bands[1][1][SYSTEMS[0]].eer == pytest.approx(30)


def test_a_mirrored_panel_is_turned_back():
    points = np.random.default_rng(0).normal(size=(6, 2))
    panel = Panel(points, points[:, None], 0.5)
    mirrored = Panel(points * [-1, 1], points[:, None] * [-1, 1], 0.5)
    np.testing.assert_allclose(turned_like(mirrored, panel).noisy_UV2, panel.noisy_UV2, atol=1e-12)
