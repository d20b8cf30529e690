"""Markdown for a pull request, as a CommonMark reader with tables sees it."""

from __future__ import annotations

import dataclasses
import re

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from attnexport.accuracy.check.findings import Bisection
from attnexport.accuracy.reports.markdown import render
from attnexport.accuracy.reports.markdown_text import code, plain
from attnexport.printable import printable_line
from tests.accuracy.reports.made_reports import HOSTILE, failing_report, hostile_report, passing_report

COMMENT_LIMIT = 65536
OUR_TAGS = re.compile(r"<details><summary>[\w ]+</summary>\n?|</details>\n?")


def reader() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def tokens(markdown: str) -> list[Token]:
    found = []
    for token in reader().parse(markdown):
        found += [token, *(token.children or [])]
    return found


def tables(markdown: str) -> list[list[list[str]]]:
    """Cells of every row of every table, as Markdown."""
    found: list[list[list[str]]] = []
    parsed = reader().parse(markdown)
    for position, token in enumerate(parsed):
        if token.type == "table_open":
            found.append([])
        if token.type == "tr_open":
            found[-1].append([])
        if token.type in ("th_open", "td_open"):
            found[-1][-1].append(parsed[position + 1].content)
    return found


def test_verdict_comes_first_then_failures():
    report = failing_report()
    lines = [line for line in render(report).splitlines() if line]
    assert lines[0] == "## ❌ Accuracy of `vit.pt2`"
    assert lines[1].startswith("**Failed**: 1 of 2 contenders failed")
    assert [line[:2] for line in lines[2:5]] == ["- "] * len(report.failures)
    assert render(passing_report()).splitlines()[2].startswith("**Passed**: 1 contender within")


def test_contenders_and_rows_that_failed_come_first():
    markdown = render(failing_report())
    headings = [line for line in markdown.splitlines() if line.startswith("### ")]
    assert headings[:2] == ["### ❌ `vit.fp16.onnx`", "### ✅ `vit.onnx`"]
    for rows in tables(markdown):
        marks = [row[0] for row in rows[1:] if row[0] in ("✅", "❌")]
        if rows[0][1] == "output":
            assert marks == sorted(marks, key="❌✅".index)


def test_guilty_layer_is_named_and_folded_layers_hold_it():
    markdown = render(failing_report())
    assert f"**First layer outside its budget**: {plain('blocks.7.attention')}" in markdown
    (layers,) = [rows for rows in tables(markdown) if rows[0][1] == "layer"]
    assert next(row for row in layers if row[0] == "❌")[1] == "`blocks.7.attention`"


def test_reasons_of_budgets_set_by_hand_are_shown():
    assert "because the engine keeps softmax in half precision" in render(failing_report())


@pytest.mark.parametrize("made", [passing_report, failing_report, hostile_report])
def test_every_row_has_the_cells_of_its_heading(made):
    found = tables(render(made()))
    assert found
    for rows in found:
        assert {len(row) for row in rows} == {len(rows[0])}


@pytest.mark.parametrize("made", [passing_report, failing_report, hostile_report])
def test_only_our_own_html_and_no_links_or_images(made):
    for token in tokens(render(made())):
        assert token.type not in ("link_open", "image", "s_open")
        if token.type in ("html_block", "html_inline"):
            assert OUR_TAGS.fullmatch(token.content), token.content


def test_hostile_names_read_as_they_are():
    spelled = printable_line(HOSTILE)
    texts = [token.content for token in tokens(render(hostile_report())) if token.type == "code_inline"]
    assert spelled in texts
    assert f"logits{spelled}" in texts


@pytest.mark.parametrize("sign", ["@", "#"])
def test_text_mentions_nobody(sign: str):
    (inline,) = [token for token in reader().parse(plain(f"{sign}someone")) if token.type == "inline"]
    assert inline.children is not None
    shown = "".join(child.content for child in inline.children)
    assert shown != f"{sign}someone"
    assert shown.replace("\N{ZERO WIDTH SPACE}", "") == f"{sign}someone"


@pytest.mark.parametrize(
    "text", ["1. a", "- a", "# a", "> a", "    a", "a\n\nb", "`a", "``a``", "a|b", "a\\", "*a*", "![a](b)"]
)
def test_text_and_code_survive_a_list(text: str):
    for made, kind in ((plain(text), "text"), (code(text), "code_inline")):
        parsed = tokens(f"- {made}")
        assert [token.type for token in parsed if token.type.endswith("_open")] == [
            "bullet_list_open",
            "list_item_open",
            "paragraph_open",
        ]
        shown = "".join(token.content for token in parsed if token.type in (kind, "text_special"))
        assert shown == " ".join(text.split())


def test_addresses_do_not_become_links():
    assert "http:" not in plain("http://e.example")
    assert "www." not in plain("www.e.example")


def test_large_reports_fit_a_comment():
    report = failing_report()
    result = report.contenders[1]
    assert result.bisection is not None
    many = dataclasses.replace(
        result,
        outputs=tuple(dataclasses.replace(result.outputs[0], name=f"output-{number}") for number in range(200)),
        failures=result.failures * 200,
        bisection=dataclasses.replace(result.bisection, layers=result.bisection.layers * 50),
        notes=result.notes * 200,
    )
    large = dataclasses.replace(report, contenders=(many, report.contenders[0]), hazards=report.hazards * 99)
    assert len(render(large)) < COMMENT_LIMIT


def test_bisection_without_layers_does_not_say_that_layers_are_right():
    report = passing_report()
    contender = dataclasses.replace(report.contenders[0], bisection=Bisection((), None, ("nothing was tapped",)))
    markdown = render(dataclasses.replace(report, contenders=(contender,)))
    assert "No layer could be compared.\n\nNotes:\n\n- nothing was tapped\n" in markdown
    assert "outside" not in markdown


def test_rows_that_are_not_judged_have_a_mark_of_their_own():
    rows = [row for rows in tables(render(failing_report())) for row in rows]
    assert {row[0] for row in rows if "not judged" in row} == {"➖"}
