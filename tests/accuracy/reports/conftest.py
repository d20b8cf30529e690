"""A headless Chromium that opens pages from files and watches what they do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.tools import require


@dataclass
class Opened:
    """A page and what it did.

    Attributes:
        page: Playwright's.
        url: where it is from.
        requests: addresses that it asked for, its own first, those that its policy refused too.
        refused: those that its policy refused.
        messages: what went to the console, errors and dialogs.
    """

    page: Any
    url: str
    requests: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def failed(self, request: Any) -> None:
        """Takes down a request that the page's policy refused."""
        if request.failure == "csp":
            self.refused.append(request.url)


@dataclass
class Chromium:
    """Opens pages."""

    browser: Any
    folder: Path

    def open(self, html: str, *, width: int = 1280, scheme: str = "light") -> Opened:
        """Opens a page from a file, as somebody does who downloaded it."""
        path = self.folder / "report.html"
        path.write_text(html, encoding="utf-8")
        page = self.browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        opened = Opened(page, path.as_uri())
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("requestfailed", opened.failed)
        page.on("console", lambda message: opened.messages.append(message.text))
        page.on("pageerror", lambda error: opened.messages.append(str(error)))
        page.on("dialog", lambda dialog: opened.messages.append(dialog.message))
        page.goto(opened.url)
        return opened


@pytest.fixture
def chromium(browser: Any, tmp_path: Path) -> Iterator[Chromium]:
    """Closes what a test opened."""
    chromium = Chromium(browser, tmp_path)
    yield chromium
    for context in browser.contexts:
        context.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = require("a browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        yield browser
        browser.close()
