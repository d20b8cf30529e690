"""The HTML report in a real browser: no request, no overflow, text that can be read, names that stay text."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from attnexport.accuracy.check.results import CheckReport
from attnexport.accuracy.reports import html
from tests.accuracy.reports.conftest import Chromium
from tests.accuracy.reports.made_reports import HOSTILE, failing_report, hostile_report, passing_report

SCREENS = [(width, scheme) for width in (360, 1280) for scheme in ("light", "dark")]
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


@cache
def render(made: Callable[[], CheckReport]) -> str:
    return html.render(made())


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
@pytest.mark.parametrize("made", [failing_report, hostile_report])
def test_page_fits_the_screen_and_asks_for_nothing(chromium: Chromium, made, width: int, scheme: str):
    opened = chromium.open(render(made), width=width, scheme=scheme)
    opened.page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    assert opened.requests == [opened.url]
    assert opened.messages == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_every_text_has_the_contrast_of_aa(chromium: Chromium, width: int, scheme: str):
    page = chromium.open(render(failing_report), width=width, scheme=scheme).page
    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    assert page.evaluate(LOW_CONTRAST, CONTRAST_AA) == []


def test_schemes_differ(chromium: Chromium):
    colors = {
        scheme: chromium.open(render(passing_report), scheme=scheme).page.evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        for scheme in ("light", "dark")
    }
    assert colors["light"] != colors["dark"]


def test_tables_scroll_in_their_own_box(chromium: Chromium):
    page = chromium.open(render(failing_report), width=360).page
    boxes = page.locator(".scroll")
    sizes = boxes.evaluate_all("boxes => boxes.map((box) => [box.scrollWidth, box.clientWidth, box.tabIndex])")
    assert any(content > shown for content, shown, _ in sizes)
    assert all(shown <= 360 and focus == 0 for _, shown, focus in sizes)
    assert page.locator("table").count() == page.locator(".scroll table > caption").count()


@pytest.mark.parametrize(("made", "word"), [(passing_report, "passed"), (failing_report, "failed")])
def test_verdict_is_the_first_thing_read(chromium: Chromium, made, word: str):
    page = chromium.open(render(made)).page
    assert page.locator("header .verdict .mark").inner_text() == word
    assert page.title().startswith(word.capitalize())
    box = page.locator("header .verdict").bounding_box()
    assert box["y"] + box["height"] < 400


def test_plot_has_a_point_for_every_layer_in_order(chromium: Chromium):
    report = failing_report()
    page = chromium.open(render(failing_report)).page
    figures = page.locator("figure.layers")
    assert figures.count() == 2
    for number, result in enumerate(report.contenders):
        assert result.bisection is not None
        points = figures.nth(number).locator("g.layer")
        titles = points.locator("title").evaluate_all("titles => titles.map((title) => title.textContent)")
        assert [title.split(" ")[0] for title in titles] == [layer.layer for layer in result.bisection.layers]
        places = points.evaluate_all("points => points.map((point) => point.getBoundingClientRect().x)")
        assert places == sorted(places)
        assert len(set(places)) == len(places)
    assert page.locator("text.guilty").all_text_contents() == ["blocks.7.attention"]


def test_hostile_names_stay_text(chromium: Chromium):
    opened = chromium.open(render(hostile_report))
    page = opened.page
    assert page.locator("script, img, iframe, object, link:not([href='data:,'])").count() == 0
    links = page.locator("a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    assert links == ["#contender-1", "#contender-2"]
    assert page.locator("h1").inner_text().startswith("<script>alert(1)</script> \"a\" 'b' |")
    attributes = page.evaluate("[...document.querySelectorAll('*')].flatMap((e) => e.getAttributeNames())")
    assert not [name for name in attributes if name.startswith("on") or name in ("style", "src")]
    assert HOSTILE.split("\x01")[1].strip() in page.locator("h1").inner_text()


def test_policy_stops_what_would_slip_through(chromium: Chromium):
    addresses = ["http://127.0.0.1:9/i.png", "http://127.0.0.1:9/s.css"]
    injected = (
        f"<script>document.title = 'ran'</script><img src='{addresses[0]}' onerror=\"document.title = 'ran'\">"
        f"<link rel='stylesheet' href='{addresses[1]}'>"
    )
    opened = chromium.open(render(passing_report).replace("</main>", f"{injected}</main>"))
    assert opened.page.locator("img").count() == 1
    assert sorted(opened.refused) == addresses
    assert opened.page.title() != "ran"
