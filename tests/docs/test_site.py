"""The site in a real browser: pages fit a phone and a desk, light and dark, and ask the network for nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from attnexport.cli import main
from attnexport.variants.registry import public_names
from tests.docs.pages import ROOT
from tests.tools import require

SCREENS = [(width, scheme) for width in (360, 1280) for scheme in ("light", "dark")]
PAGES = ("index", "get-started", "faults", "command-line", "python-api")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What make docs builds."""
    folder = tmp_path_factory.mktemp("site")
    (command,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "-m sphinx" in line]
    options = command.split("-m sphinx")[1].split()[:-1]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(folder)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = require("a browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_pages_fit_the_screen_and_ask_the_network_for_nothing(site: Path, browser: Any, width: int, scheme: str):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked: list[str] = []
    told: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    for name in PAGES:
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    page.close()
    assert not told
    assert [url for url in asked if not url.startswith(site.as_uri())] == []


def test_schemes_differ(site: Path, browser: Any):
    colors = set()
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto((site / "index.html").as_uri())
        colors.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()
    assert len(colors) == 2


def test_every_command_and_public_name_has_its_place(site: Path):
    commands = (site / "command-line.html").read_text(encoding="utf-8")
    assert not [name for name in main.list_commands(None) if f'id="attnexport-{name}"' not in commands]
    names = (site / "python-api.html").read_text(encoding="utf-8")
    assert not [name for name in public_names() if f'id="attnexport.{name}"' not in names]
