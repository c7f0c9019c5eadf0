import re
from urllib.parse import unquote

from reseed.stages.common.figures import Plot, figure, plotted, to_svg
from reseed.stages.common.theme import THEMES


def drawn(theme) -> str:
    with figure(theme, 3.0) as fig:
        axes = fig.subplots()
        axes.plot([0.123456789, 2.0], [1 / 3, 1.0], "o-", color=theme.systems[1])
        axes.set_xlabel("a < b & 50 %")
        return to_svg(fig)


def test_one_image_has_the_colours_of_all_themes():
    plot = plotted("name", "Title", "Caption", drawn)
    svg = unquote(plot.image.removeprefix("data:image/svg+xml,"))
    light, dark = re.search(
        r"<style>svg\{(.*?)\}@media \(prefers-color-scheme:dark\)\{svg\{(.*?)\}\}</style>", svg
    ).groups()
    for theme, colours in zip(THEMES, (light, dark), strict=True):
        for colour in (theme.ink, theme.systems[1]):
            assert colour in colours
    assert not re.search(r"#[0-9a-f]{6}", svg.split("</style>")[1])
    assert '"' not in plot.image
    both = sum(len(text) for text in plot.svgs.values())
    assert len(plot.image) < both * 0.6


def test_figures_that_differ_in_more_than_colours_are_two_images():
    plot = Plot("name", "Title", "Caption", {"light": "<svg><image/></svg>", "dark": "<svg><rect/></svg>"})
    assert plot.image is None
    assert plot.source("dark").startswith("data:image/svg+xml;base64,")


def test_coordinates_have_two_places_and_ids_are_the_same_in_every_theme():
    light, dark = (drawn(theme) for theme in THEMES)
    assert not re.search(r' d="[^"]*\.\d{3}', light)
    assert re.sub("#[0-9a-f]{6}", "", light) == re.sub("#[0-9a-f]{6}", "", dark)
    ids = re.findall(r' id="([^"]+)"', light)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', light)) <= set(ids)
