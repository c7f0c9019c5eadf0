"""A real browser for tests of pages; where there is none they are skipped and say so."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

_PATIENCE_MS = 600_000  # with a busy machine

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page is not opened")


@contextmanager
def launched() -> Iterator[object]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=_PATIENCE_MS)
        yield browser
        browser.close()


@contextmanager
def opened(browser, address: str, scheme: str = "light") -> Iterator[SimpleNamespace]:
    """The opened page, what its console said, and what it asked for."""
    messages, requests = [], []
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(_PATIENCE_MS)
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda asked: requests.append(asked.url))
    page.goto(address)
    yield SimpleNamespace(page=page, messages=messages, requests=requests, scheme=scheme)
    page.close()
