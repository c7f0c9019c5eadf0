import re
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from scipy.special import ndtr

from reseed.stages.common.figures import plotted
from reseed.stages.common.theme import THEMES
from reseed.stages.reporting.plots.conditions import plan_bands
from reseed.stages.reporting.plots.det import det_panels, fewest_false_alarms, marker_at, roc_panels
from reseed.stages.reporting.plots.histogram import ScorePanel, score_histograms, thresholds
from reseed.stages.reporting.plots.projection import SpacePanel, aligned_with
from reseed.stages.reporting.plots.snr import draw_panels, plan_panels
from reseed.stages.reporting.results.measure import DetCurve
from reseed.stages.reporting.results.styles import system_styles
from reseed.stages.reporting.results.systems import System
from reseed.stages.scoring.detection_costs import Costs
from tests.stages.reporting.example import results_of
from tests.stages.reporting.results.test_summary import measured

SYSTEMS = [System(name, "ge2e", "cosine") for name in ("raw", *"abcdefghi")]
RATES = dict(zip(SYSTEMS, np.linspace(0.05, 0.4, len(SYSTEMS)), strict=True))
STYLES = system_styles({system: system.name for system in SYSTEMS})


def curve_of(false_alarm_K, miss_K, eer):
    return DetCurve(false_alarm_K, miss_K, eer, hull_false_alarm_H=np.geomspace(1e-5, 1), hull_miss_H=np.full(50, eer))


def test_every_system_has_another_style():
    assert len({(style.hue, style.marker) for style in STYLES.values()}) == len(SYSTEMS)
    for theme in THEMES:
        assert len({(style.colour(theme), style.marker) for style in STYLES.values()}) == len(SYSTEMS)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_a_speaker_never_has_the_colour_of_a_system(theme):
    assert set(theme.speakers).isdisjoint(theme.systems)
    assert len(set(theme.speakers)) == len(theme.speakers)


def test_a_system_keeps_its_style_whatever_comes_after_it():
    fewer = system_styles({system: system.name for system in SYSTEMS[:3]})
    assert [fewer[system] for system in fewer] == [STYLES[system] for system in fewer]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("rate", [0.0, 1e-5, 0.01, 0.3, 0.6])
@pytest.mark.parametrize("panels", [det_panels, roc_panels])
def test_curves_draw_at_any_error_rate_in_any_theme_and_leave_matplotlib_as_it_was(rate, theme, panels):
    before = dict(mpl.rcParams)
    at = max(rate, 1e-5)
    curve = curve_of(np.array([1 - 1e-5, at, 1e-5]), np.array([1e-5, at, 1 - 1e-5]), rate)
    svg = panels({"clean": {SYSTEMS[0]: curve}, "noisy": {}}, STYLES, theme)
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert theme.ink in svg
    assert dict(mpl.rcParams) == before


def test_the_marker_of_a_det_curve_stands_at_the_eer_and_not_where_the_thinned_curve_crosses():
    curve = curve_of(np.array([0.9, 0.3, 0.01]), np.array([0.01, 0.25, 0.9]), eer=0.2)
    assert ndtr(marker_at(curve)) == pytest.approx(0.2)


def test_the_axis_of_false_alarms_begins_at_the_least_rate_that_is_not_0():
    false_alarms = [[1 - 1e-5, 0.2, 1e-5], [1 - 1e-5, 0.004, 1e-5]]
    curves = [curve_of(np.array(rates), np.array([1e-5, 0.5, 1]), 0.2) for rates in false_alarms]
    assert fewest_false_alarms(dict(zip(SYSTEMS, curves, strict=False))) == 0.004
    assert fewest_false_alarms({SYSTEMS[0]: curves[0]}) == 0.02


def test_nothing_to_draw_is_no_figure():
    assert det_panels({"clean": {}, "noisy": {}}, STYLES, THEMES[0]) is None
    assert roc_panels({"clean": {}, "noisy": {}}, STYLES, THEMES[0]) is None
    assert draw_panels([], [], STYLES, THEMES[0]) is None


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
    assert (babble.kind, babble.quiet_kind) == ("reverb + babble", "reverb")
    assert babble.quiet[SYSTEMS[0]].eer == pytest.approx(10)


def test_bands_show_clean_then_the_noisy_mean_then_each_noise():
    measurements = [
        measured("raw", view, eer) for view, eer in [("noise_5db", 0.2), ("clean", 0.1), ("music_5db", 0.4)]
    ]
    bands = plan_bands(results_of(measurements))
    assert [label for label, _ in bands] == ["clean", "mean of 2 noisy", "noise 5 dB", "music 5 dB"]
    assert bands[1][1][SYSTEMS[0]].eer == pytest.approx(30)


def test_a_mirrored_panel_is_turned_back():
    points = np.random.default_rng(0).normal(size=(6, 2))
    panel = SpacePanel(points, points[:, None], "axes")
    mirrored = SpacePanel(points * [-1, 1], points[:, None] * [-1, 1], "axes")
    np.testing.assert_allclose(aligned_with(mirrored, panel).noisy_UV2, panel.noisy_UV2, atol=1e-12)


def test_systems_of_one_label_scored_in_several_ways_are_drawn_alike():
    systems = [System(name, "ge2e", scoring) for scoring in ("cosine", "as_norm") for name in ("raw", "a", "b")]
    styles = system_styles({system: system.name for system in systems})
    assert len(set(styles.values())) == 3
    assert styles[systems[1]] == styles[systems[4]]


def test_thresholds_are_where_both_errors_meet_and_where_the_cost_is_lowest():
    target, nontarget = np.array([0.3, 0.6, 0.8, 0.9]), np.array([0.1, 0.2, 0.5, 0.7])
    # At 0.6: one of four targets is missed, one of four non-targets accepted. At 0.8: half missed, none accepted.
    assert thresholds(target, nontarget, Costs(0.05)) == (0.6, 0.8)
    assert thresholds(target, nontarget, Costs(0.9))[1] == 0.3
    assert thresholds(target, nontarget, Costs(0.05, c_miss=171))[1] == 0.3
    assert thresholds(target, np.array([0.95] * 4), Costs(0.05))[1] is None


def test_a_dark_figure_is_what_is_drawn_in_the_colours_of_the_dark_page():
    curves = {
        system: curve_of(np.array([0.9, at, 0.01]), np.array([0.01, at, 0.9]), at) for system, at in RATES.items()
    }
    panels = [[ScorePanel("scores", np.linspace(0, 1, 50), np.linspace(-1, 0.5, 50), 0.0, 0.3)]]
    for draw in (
        lambda theme: det_panels({"clean": curves, "noisy": {}}, STYLES, theme),
        lambda theme: score_histograms(panels, theme),
    ):
        plot = plotted("name", "title", "caption", draw)
        for theme in THEMES:
            assert without_ids(plot.svgs[theme.name]) == without_ids(draw(theme))


def without_ids(svg: str) -> str:
    """Leave out names that matplotlib derives from colours, among other things."""
    return re.sub(r'(id="|#)[a-z]?[0-9a-f]{10}\b', r"\1", svg)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_histograms_draw_scores_of_any_spread(theme):
    same = ScorePanel("all the same", np.ones(3), np.ones(4), 1.0, None)
    wide = ScorePanel("wide", np.linspace(-1e6, 1e6, 50), np.linspace(-9, 9, 50), 0.0, 5.0)
    svg = score_histograms([[same, wide], [wide]], theme)
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert theme.classes[1] in svg
    assert score_histograms([], theme) is None


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_targets_and_non_targets_differ_in_lightness_and_not_in_hue_alone(theme):
    light, dark = (
        sum(
            weight * (value / 255) ** 2.2
            for weight, value in zip((0.21, 0.72, 0.07), bytes.fromhex(c[1:]), strict=True)
        )
        for c in theme.classes
    )
    assert (light + 0.05) / (dark + 0.05) > 1.5
