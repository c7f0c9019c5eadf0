import numpy as np

from reseed.stages.common.theme import LIGHT
from reseed.stages.reporting.plots.heat_map import eer_map, heat_map
from tests.stages.reporting.example import results_of
from tests.stages.reporting.results.test_summary import measured

EERS = np.array([[0.1, 0.05, 0.2], [0.2, 0.2, np.nan], [0.3, 0.3, 0.33]])


def test_a_cell_has_full_colour_at_half_and_at_twice_the_eer_of_the_first_system():
    plot = heat_map(EERS, ["clean", "noise", "music"], ["raw", "vire", "mse"])
    svg = plot.svgs["light"]
    for colour in (LIGHT.systems[1], LIGHT.systems[2]):  # half, twice
        assert svg.count(f"fill: {colour}") == 1 + 1  # a cell, and the end of the bar
    assert "raw" in plot.caption
    assert plot.image


def test_many_cells_have_no_numbers():
    few, many = (heat_map(np.full((3, count), 0.1), list("abc"), [f"s{n}" for n in range(count)]) for count in (3, 60))
    assert few.svgs["light"].count("<!-- 10.0 -->") == 9
    assert "<!-- 10.0 -->" not in many.svgs["light"]


def test_a_run_of_one_system_or_of_two_conditions_has_no_map():
    rows = [measured(name, view, 0.1) for name in ("raw", "seed") for view in ("clean", "noise_5db", "music_5db")]
    assert eer_map(results_of(rows))
    assert eer_map(results_of(rows[:3])) is None
    assert eer_map(results_of([row for row in rows if row.condition.view != "clean"])) is None
