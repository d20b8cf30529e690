"""A headless Chromium that opens pages from files and watches what they do, and what it can tell of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.tools import require

CONTRAST_AA = 4.5

# Contrast ratios as WCAG 2 defines them, of every visible text against the nearest background behind it.
LOW_CONTRAST = """(least) => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = channels(color).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const opaque = (color) => channels(color).length < 4 || channels(color)[3] === 1;
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (opaque(color)) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [...document.querySelectorAll("body *")].filter((element) =>
    element.getClientRects().length && element.tagName !== "title" && element.tagName !== "desc" &&
    [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()));
  if (texts.length < 50) throw new Error(`only ${texts.length} texts found`);
  return texts.map((element) => {
    const style = getComputedStyle(element);
    const color = element instanceof SVGElement ? style.fill : style.color;
    const [low, high] = [luminance(color), luminance(background(element))].sort((a, b) => a - b);
    return [(high + 0.05) / (low + 0.05), element.textContent.trim().slice(0, 40), color, background(element)];
  }).filter(([ratio]) => ratio < least);
}"""


# Texts of drawings that overlap one another, or leave the box or the drawing that they are in.
MISPLACED_TEXTS = """() => {
  const found = [];
  const inside = (a, b) =>
    a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  const shown = [...document.querySelectorAll("svg[role=img]")].filter((svg) => svg.getClientRects().length);
  if (!shown.length) throw new Error("no drawing is shown");
  for (const svg of shown) {
    const texts = [...svg.querySelectorAll("text")];
    const boxes = texts.map((text) => text.getBoundingClientRect());
    texts.forEach((text, at) => {
      const rect = text.parentNode.tagName === "g" ? text.parentNode.querySelector("rect") : null;
      if (!inside(boxes[at], (rect || svg).getBoundingClientRect())) found.push(["outside", text.textContent]);
      for (let other = 0; other < at; other++) {
        const [a, b] = [boxes[at], boxes[other]];
        if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4)
          found.push(["overlap", text.textContent, texts[other].textContent]);
      }
    });
  }
  return found;
}"""


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
    from playwright.sync_api import sync_playwright

    path = require("a browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        yield browser
        browser.close()


def open_all(page) -> None:
    """Opens what is folded."""
    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
