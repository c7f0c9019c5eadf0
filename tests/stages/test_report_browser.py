"""The page as a browser shows it: needs a chromium on the machine, asks for no network."""

import shutil
from types import SimpleNamespace

import pytest

from stages.report import ReportSettings, report
from stages.reporting.theme import THEMES
from tests.stages.scoring.example import make_example

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page is not opened")

VIEWS = {"clean": {}, "noise_5db": {"noise": 5.0}, "noise_0db": {"noise": 0.0}}


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    example = make_example(root, views=VIEWS, systems=("raw", "wccn"))
    report(
        scores=example.scores,
        identification=example.identification,
        stores=example.stores,
        utterances=example.utterances,
        report=root / "report",
        title="In a browser",
        note="Generated vectors.",
        settings=ReportSettings(bootstrap_replicates=20),
    )
    return root / "report" / "index.html"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(params=["light", "dark"])
def seen(browser, page_path, request):
    """The opened page, what its console said, and what it asked for."""
    messages, requests = [], []
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=request.param)
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda asked: requests.append(asked.url))
    page.goto(page_path.as_uri())
    yield SimpleNamespace(page=page, messages=messages, requests=requests, scheme=request.param)
    page.close()


def test_the_page_opens_without_complaint_and_asks_for_nothing_but_itself(seen, page_path):
    assert seen.messages == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [page_path.as_uri()]


def test_the_table_has_a_row_per_condition_and_one_for_the_noisy_mean(seen):
    rows = seen.page.locator("#eer tbody tr")
    assert rows.evaluate_all("rows => rows.map(row => row.dataset.condition)") == [
        "clean",
        "",
        "noise_5db",
        "noise_0db",
    ]
    assert seen.page.locator("#eer thead th").all_inner_texts() == ["condition", "raw", "wccn"]


def test_every_figure_is_drawn(seen):
    widths = seen.page.locator("figure img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert len(widths) == 4
    assert min(widths) > 0


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_never_scrolls_sideways_from_screen_to_phone(seen, width):
    seen.page.set_viewport_size({"width": width, "height": 800})
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_follows_the_theme_that_the_reader_prefers(seen):
    background = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(",")))
    assert (brightness > 384) == (seen.scheme == "light")


def test_figures_and_their_keys_follow_the_theme_too(seen):
    shown = seen.page.locator("figure img").evaluate_all(
        "images => images.map(image => image.currentSrc === image.getAttribute('src'))"
    )
    assert set(shown) == {seen.scheme == "light"}
    theme = next(theme for theme in THEMES if theme.name == seen.scheme)
    key = seen.page.locator("#eer .key").nth(1).evaluate("key => getComputedStyle(key).backgroundColor")
    assert key == f"rgb{tuple(bytes.fromhex(theme.systems[1].removeprefix('#')))}"
