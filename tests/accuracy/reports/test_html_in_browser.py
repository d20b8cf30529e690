"""The HTML report in a real browser: no request, no overflow, text that can be read, names that stay text."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pytest

import attnexport
from attnexport.accuracy.check.results import CheckReport
from attnexport.accuracy.reports import html
from attnexport.accuracy.reports.html import comparison_page
from tests.accuracy.reports.made_reports import (
    HOSTILE,
    deep_report,
    failing_report,
    full_report,
    hostile_report,
    passing_report,
)
from tests.tools.chromium import CONTRAST_AA, LOW_CONTRAST, MISPLACED_TEXTS, Chromium, open_all

SCREENS = [(width, scheme) for width in (360, 1280) for scheme in ("light", "dark")]


@cache
def render(made: Callable[[], CheckReport]) -> str:
    return html.render(made())


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
@pytest.mark.parametrize("made", [failing_report, hostile_report])
def test_page_fits_the_screen_and_asks_for_nothing(chromium: Chromium, made, width: int, scheme: str):
    opened = chromium.open(render(made), width=width, scheme=scheme)
    open_all(opened.page)
    assert opened.requests == [opened.url]
    assert opened.messages == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_every_text_has_the_contrast_of_aa(chromium: Chromium, width: int, scheme: str):
    page = chromium.open(render(failing_report), width=width, scheme=scheme).page
    open_all(page)
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
    open_all(page)
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
    assert figures.locator("text.guilty").all_text_contents() == ["blocks.7.attention"]


def test_hostile_names_stay_text(chromium: Chromium):
    opened = chromium.open(render(hostile_report))
    page = opened.page
    assert page.locator("script, img, iframe, object, link:not([href='data:,'])").count() == 0
    links = page.locator("a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    assert links == ["#contender-1", "#contender-2"]
    assert page.locator("header .path").inner_text().startswith("<script>alert(1)</script> \"a\" 'b' |")
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


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("made", [failing_report, deep_report])
def test_texts_of_drawings_can_be_read(chromium: Chromium, made, width: int):
    """Labels do not overlap, and names of any length stay in their boxes."""
    page = chromium.open(render(made), width=width).page
    open_all(page)
    assert page.evaluate(MISPLACED_TEXTS) == []
    sizes = page.locator("figure.model text:visible").evaluate_all(
        "texts => texts.map((text) => text.getBoundingClientRect().height)"
    )
    assert min(sizes) > 10


def test_no_cell_of_a_table_is_empty(chromium: Chromium):
    for made in (passing_report, failing_report, full_report):
        cells = chromium.open(render(made)).page.locator("td, th")
        empty = "cells => cells.filter((cell) => !cell.textContent.trim() && !cell.querySelector('svg')).length"
        bars = "cells => cells.filter((cell) => cell.matches('.bar') && !cell.querySelector('svg')).length"
        assert cells.evaluate_all(empty) == cells.evaluate_all(bars)


def test_numbers_of_a_column_have_equal_digits(chromium: Chromium):
    page = chromium.open(render(failing_report)).page
    section = page.locator("section[aria-labelledby=contender-2]")
    errors, examples = (
        section.locator(f".scroll[aria-label='{label}'] tbody tr").evaluate_all(
            "rows => rows.map((row) => [...row.querySelectorAll('td.number')].map((cell) => cell.innerText))"
        )
        for label in ("Errors by output and inputs", "Worst examples")
    )
    written = [cell for row in errors for cell in row if "e-" in cell or "e+" in cell]
    assert len(written) > 50
    assert all(re.fullmatch(r"\d\.\d\de[+-]\d\d( \*)?|\d\.\de[+-]\d\d", cell) for cell in written)
    decimals = [len(cell.rpartition(".")[2]) for row in examples for cell in row[1:] if "." in cell]
    assert len(decimals) > 10
    assert len(set(decimals)) == 1


def test_what_is_outside_is_said_by_more_than_colour(chromium: Chromium):
    page = chromium.open(render(failing_report)).page
    for place in ("figure.model.wide text.guilty", "figure.model.wide text.bad"):
        texts = page.locator(place).all_text_contents()
        assert texts
        assert all(text.startswith("▲ ") for text in texts)
    assert page.locator(".mark.failed path").count() == page.locator(".mark.failed").count()
    marks = {mark: page.locator(f".mark.{mark} path").first.get_attribute("d") for mark in ("passed", "failed")}
    assert marks["passed"] != marks["failed"]


def test_hazards_say_why_their_limit_lies_there(chromium: Chromium):
    text = chromium.open(render(failing_report)).page.locator(".hazard").inner_text()
    assert "4 of 12 beyond the limit of 65,504: float16 ends there" in text


def compared() -> str:
    """The page of two checks that differ."""
    return comparison_page.render(attnexport.compare(full_report(), failing_report()))


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_page_of_a_comparison_fits_the_screen_and_can_be_read(chromium: Chromium, width: int, scheme: str):
    opened = chromium.open(compared(), width=width, scheme=scheme)
    open_all(opened.page)
    assert (opened.requests, opened.messages) == ([opened.url], [])
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.page.evaluate(LOW_CONTRAST, CONTRAST_AA) == []
    cells = opened.page.locator("td, th")
    empty = "cells => cells.filter((cell) => !cell.textContent.trim() && !cell.querySelector('svg')).length"
    assert cells.evaluate_all(empty) == 0


def test_hostile_names_stay_text_in_a_comparison(chromium: Chromium):
    page = chromium.open(comparison_page.render(attnexport.compare(hostile_report(), hostile_report()))).page
    assert page.locator("script, img, iframe, object, a").count() == 0
    assert page.locator("header .path").inner_text().startswith("<script>alert(1)</script>")


def test_histograms_have_a_frame_and_the_model_has_none(chromium: Chromium):
    page = chromium.open(render(failing_report)).page
    widths = {
        place: page.locator(place).first.evaluate("figure => getComputedStyle(figure).borderTopWidth")
        for place in (".histograms figure", "figure.model.wide")
    }
    assert widths == {".histograms figure": "1px", "figure.model.wide": "0px"}
