"""Results made by hand, for tests of what the page says of them."""

from reseed.stages.reporting.results.collect import Results
from reseed.stages.reporting.results.styles import system_labels, system_styles
from reseed.stages.reporting.results.summary import shared_views, summarise


def results_of(measurements=(), systems=(), **changes):
    shown = list(dict.fromkeys([m.system for m in measurements] + [scored.system for scored in systems]))
    found = {
        "systems": systems,
        "measurements": measurements,
        "summaries": summarise(measurements) if measurements else [],
        "styles": system_styles(system_labels(shown)),
        "shared_views": shared_views(measurements) if measurements else set(),
        "groupings": (),
        "groups": (),
        "backbone_pairs": (),
        "pooled": (),
        "speakers": 0,
        "replicates": 0,
    }
    return Results(**found | changes)
