"""The page as a browser shows it: needs a chromium on the machine, asks for no network."""

import pytest

from reseed.stages.common.theme import THEMES
from reseed.stages.report import ReportSettings, report
from tests.browser import launched, needs_browser, opened
from tests.stages.scoring.example import SYSTEMS, add_scorings, fuse, make_example

pytestmark = needs_browser

# Whether text, ticks and axes are drawn in the ink of the light theme or of the dark one.
_INK = """images => images.map(image => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [800, 500];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, 800, 500);
  const pixels = context.getImageData(0, 0, 800, 500).data, counts = new Array(256).fill(0);
  for (let at = 0; at < pixels.length; at += 4) {
    const [red, green, blue, alpha] = pixels.slice(at, at + 4);
    if (alpha > 250 && Math.max(red, green, blue) - Math.min(red, green, blue) < 16) counts[green] += 1;
  }
  return counts[0x2f] > counts[0xe1] ? "light" : "dark";
})"""
VIEWS = {"clean": {}, "noise_5db": {"noise": 5.0}, "noise_0db": {"noise": 0.0}}


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    example = make_example(root, views=VIEWS, systems=("raw", "wccn"), described=True)
    add_scorings(example, "as_norm", "as_norm+calibrated")
    fused = fuse(example, "raw", "wccn", "as_norm+calibrated", root / "scores" / "fused.parquet")
    report(
        scores=[*example.scores, fused],
        identification=example.identification,
        stores=example.stores,
        utterances=example.utterances,
        report=root / "report",
        title="In a browser",
        note="Generated vectors.",
        config="name: example\n",
        settings=ReportSettings(bootstrap_replicates=20),
    )
    return root / "report" / "index.html"


@pytest.fixture(scope="module")
def browser():
    with launched() as opened_browser:
        yield opened_browser


@pytest.fixture(scope="module", params=["light", "dark"])
def seen(browser, page_path, request):
    """The page in either theme, to look at."""
    with opened(browser, page_path.as_uri(), request.param) as shown:
        yield shown


@pytest.fixture
def used(browser, page_path):
    """The page anew, to press and to change."""
    with opened(browser, page_path.as_uri(), "light") as shown:
        yield shown


def test_the_page_opens_without_complaint_and_asks_for_nothing_but_itself(seen, page_path):
    assert seen.messages == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [page_path.as_uri()]


def test_the_table_has_a_row_per_condition_and_one_for_the_noisy_mean(seen):
    rows = seen.page.locator("#eer-cosine tbody tr")
    assert rows.evaluate_all("rows => rows.map(row => row.dataset.condition)") == [
        "clean",
        "",
        "noise_5db",
        "noise_0db",
    ]
    assert seen.page.locator("#eer-cosine thead th").all_inner_texts() == ["condition", "raw", "wccn"]


def test_every_figure_is_drawn(seen):
    widths = seen.page.locator("figure img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert len(widths) == 2 * 6 + 2
    assert min(widths) > 0


def test_the_page_never_scrolls_sideways_from_screen_to_phone(used):
    used.page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    for width in (1280, 390):
        used.page.set_viewport_size({"width": width, "height": 800})
        assert used.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_contents_lead_to_what_is_there(used):
    links = used.page.locator("nav.contents a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert "#scoring-cosine" in links
    assert "#all-systems" in links
    assert [link for link in links if used.page.locator(link).count() != 1] == []
    used.page.set_viewport_size({"width": 1700, "height": 800})
    contents, main = (used.page.locator(place).bounding_box() for place in ("nav.contents", "h1"))
    assert contents["x"] + contents["width"] <= main["x"]


def test_what_scrolls_sideways_can_be_scrolled_by_the_keyboard(used):
    assert used.page.locator("figure[tabindex]").count() == 0
    used.page.set_viewport_size({"width": 390, "height": 800})
    used.page.wait_for_function("document.querySelector('figure[tabindex=\"0\"]')")


def test_every_figure_can_be_had_as_a_file_beside_the_page(seen, page_path):
    links = seen.page.locator("a[href$='.svg']").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert len(links) == 2 * seen.page.locator("figure").count()
    assert all((page_path.parent / link).stat().st_size for link in links)


def test_the_page_follows_the_theme_that_the_reader_prefers(seen):
    background = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(",")))
    assert (brightness > 384) == (seen.scheme == "light")


def test_figures_and_their_keys_follow_the_theme_too(seen):
    assert seen.page.locator("figure picture").count() == 0  # one image follows the theme
    assert set(seen.page.locator("figure img").evaluate_all(_INK)) == {seen.scheme}
    theme = next(theme for theme in THEMES if theme.name == seen.scheme)
    key = seen.page.locator("#eer-cosine .key").nth(1).evaluate("key => getComputedStyle(key).backgroundColor")
    assert key == f"rgb{tuple(bytes.fromhex(theme.systems[1].removeprefix('#')))}"


def test_the_first_way_of_scoring_is_open_and_the_others_open_by_a_press(used):
    sections = used.page.locator("details.scoring")
    assert sections.evaluate_all("all => all.map(one => [one.id, one.open])") == [
        ["scoring-cosine", True],
        ["scoring-as_norm", False],
    ]
    table = used.page.locator("#eer-as_norm")
    assert not table.is_visible()
    sections.nth(1).locator("> summary").click()
    assert table.is_visible()
    assert table.locator("thead th").all_inner_texts() == ["condition", "raw", "wccn", "raw+wccn"]


def test_a_card_opens_and_names_the_cohort_and_the_calibration(used):
    card = used.page.locator("details.card").nth(1)
    card.locator("summary").click()
    said = card.inner_text()
    assert "cohort: store stores/wccn/train, top 300." in said
    assert "p_target 0.05, weight_F 1.5." in said


def test_the_card_of_a_fusion_names_what_each_member_was_normalised_by(used):
    card = used.page.locator("details.card").nth(2)
    assert "It weights wccn negatively under as_norm." in card.locator("summary").inner_text()
    card.locator("summary").click()
    said = card.inner_text()
    assert "Of raw, cohort: store stores/raw/train, top 300. Of wccn, cohort: store stores/wccn/train, top 300." in said
    assert "Fingerprint" not in said


def test_the_roc_unfolds_under_the_det(used):
    figures = used.page.locator("#scoring-cosine figure").evaluate_all("all => all.map(one => one.id)")
    assert figures.index("roc-cosine") == figures.index("det-cosine") + 1
    roc = used.page.locator("#roc-cosine")
    assert not roc.is_visible()
    used.page.locator("#scoring-cosine details.folded:has(#roc-cosine) > summary").click()
    assert roc.is_visible()


def column(table, place):
    return table.locator(f"tbody tr > :nth-child({place})").evaluate_all(
        "cells => cells.map(cell => cell.firstChild.textContent)"
    )


def test_a_pressed_heading_sorts_its_table_up_then_down_and_the_first_restores_the_order(used):
    table = used.page.locator("#eer-cosine")
    before = column(table, 2)
    button = table.locator("thead th").nth(1).locator("button")
    button.click()
    assert column(table, 2) == sorted(before, key=float) != before[::-1]
    assert table.locator("th[aria-sort]").evaluate_all("all => all.map(one => one.ariaSort)") == ["ascending"]
    button.click()
    assert column(table, 2) == sorted(before, key=float, reverse=True)
    assert table.locator("th[aria-sort]").evaluate_all("all => all.map(one => one.ariaSort)") == ["descending"]
    table.locator("thead th").nth(0).locator("button").click()
    assert column(table, 2) == before
    assert table.locator("th[aria-sort]").count() == 1
    assert used.messages == []


def test_a_table_sorts_from_the_keyboard_and_leaves_absent_numbers_last(used):
    table = used.page.locator("#overview")
    cells = column(table, 2)
    assert cells.count("–") == 1
    heading = table.locator("thead th").nth(1)
    heading.locator("button").focus()
    outline = heading.locator("button").evaluate("button => getComputedStyle(button).outlineStyle")
    for key in ("Enter", "Space"):
        used.page.keyboard.press(key)
        assert column(table, 2)[-1] == "–"
    assert heading.get_attribute("aria-sort") == "descending"
    assert outline == "solid"


def test_every_table_can_be_had_as_csv_latex_markdown_and_json_beside_the_page(seen, page_path):
    links = seen.page.locator(".files a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    tables = seen.page.locator("table").evaluate_all("tables => tables.map(table => table.id)")
    assert links == [f"tables/{name}.{suffix}" for name in tables for suffix in ("csv", "tex", "md", "json")]
    assert all((page_path.parent / link).stat().st_size for link in links)
    assert len(set(tables)) == len(tables)


def luminance(colour):
    """Relative luminance of "rgb(1, 2, 3)" (WCAG 2.2)."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_from_what_it_lies_on(seen):
    pairs = seen.page.evaluate(
        """() => [...document.querySelectorAll("p, td, th, small, dd, dt, h1, h2, h3, .quiet, a")].map(element => {
            let under = element;
            while (under && getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
            return [getComputedStyle(element).color, getComputedStyle(under).backgroundColor];
        })"""
    )
    for pair in {tuple(pair) for pair in pairs}:
        low, high = sorted(map(luminance, pair))
        assert (high + 0.05) / (low + 0.05) >= 4.5, pair


def test_names_with_markup_and_control_characters_are_shown_and_not_obeyed(browser, tmp_path, monkeypatch):
    evil = "\x1b]0;x\x07\u202e<img src=x onerror=alert(1)><script>alert(2)<!--]]>$\\frac"
    views = {"clean": {}, f"noise{evil}": {"noise": 5.0}}
    monkeypatch.setitem(SYSTEMS, f"wccn{evil}", SYSTEMS["wccn"])
    example = make_example(tmp_path, views=views, systems=("raw", f"wccn{evil}"), described=True)
    report(
        scores=example.scores,
        identification=example.identification,
        stores=example.stores,
        utterances=example.utterances,
        report=tmp_path / "report",
        title=f"Title {evil}",
        note=f"Note {evil}",
        config="name: example\n",
        settings=ReportSettings(bootstrap_replicates=5),
    )
    page = tmp_path / "report" / "index.html"
    assert all(line.isprintable() for line in page.read_text().replace("\u202f", " ").replace("\xa0", " ").split("\n"))
    with opened(browser, page.as_uri()) as shown:
        pictures = shown.page.evaluate("Promise.all([...document.images].map((image) => image.decode().then(() => 1)))")
        assert sum(pictures) == len(pictures) > 3
        assert shown.messages == []
        assert shown.page.locator("img[src=x]").count() == 0
        assert r"\x1b]0;x\x07\u202e<img src=x" in shown.page.locator("h1").inner_text()


def test_on_paper_no_table_or_figure_is_wider_than_the_page(used):
    used.page.emulate_media(media="print")
    used.page.set_viewport_size({"width": 702, "height": 1000})  # A4 within its margins
    used.page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    wide = "parts => parts.filter(part => part.getBoundingClientRect().right > innerWidth).map(part => part.id)"
    assert used.page.locator("table, figure").evaluate_all(wide) == []
    unrepeated = "parts => parts.filter(part => getComputedStyle(part).display !== 'contents').length"
    assert used.page.locator("th button").evaluate_all(unrepeated) == 0
