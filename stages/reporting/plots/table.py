"""The figures of one way of scoring, in the order of the page; each is planned once and drawn in every theme."""

from collections.abc import Callable

from reseed.stages.common.figures import Plot
from reseed.stages.reporting.plots.conditions import eer_by_condition
from reseed.stages.reporting.plots.det import det, roc
from reseed.stages.reporting.plots.heat_map import eer_map
from reseed.stages.reporting.plots.histogram import scores
from reseed.stages.reporting.plots.snr import eer_by_snr
from reseed.stages.reporting.results.collect import Results

PLOTS: tuple[Callable[[Results], Plot | None], ...] = (eer_by_snr, eer_by_condition, eer_map, det, roc, scores)
