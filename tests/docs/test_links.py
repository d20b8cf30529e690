"""Links of files that people read in a checkout lead to files and headings that there are.

Those of the site are Sphinx's, whose warnings are errors of ``make docs``.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from markdown_it import MarkdownIt

from tests.docs.pages import ROOT

FOLDERS = ("benchmarks", "calibration", "docs", "exporter", "plugins", "samples", "tests")
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")))
)


@cache
def parts(path: Path) -> tuple[list[str], set[str]]:
    """The targets of a file's links and pictures, and the anchors of its headings, as GitHub and MyST make them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    inline = [child for token in tokens for child in token.children or []]
    targets = [
        str(child.attrs.get("href") or child.attrs.get("src"))
        for child in inline
        if child.type in ("link_open", "image")
    ]
    titles = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    return targets, {slug(title) for title in titles}


def slug(title: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", FILES)
def test_links_lead_to_what_there_is(name: str):
    path = ROOT / name
    lost = []
    for target in parts(path)[0]:
        link = urlsplit(target)
        if link.scheme:
            if link.scheme != "https" or not re.fullmatch(r"[\w.-]+\.[a-z]+", link.netloc):
                lost.append(target)
            continue
        to = (path.parent / link.path) if link.path else path
        if not to.exists() or (link.fragment and link.fragment not in parts(to)[1] and to.suffix == ".md"):
            lost.append(target)
    assert not lost
