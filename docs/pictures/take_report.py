"""Takes docs/pictures/report.png, the model in the report on a file that lost a bias: that of docs/get-started.md.

In the checkout, where tests/tools finds a Chromium: PYTHONPATH=. python docs/pictures/take_report.py
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import onnx
from playwright.sync_api import Page, sync_playwright

import attnexport
from tests.tools import require

MODEL = Path(__file__).parents[2] / "samples" / "digits" / "krause.pt2"
LOST = "blocks.2.mlp.2.bias"
PICTURE = Path(__file__).with_name("report.png")
WIDTH = 1000
MARGIN = 16


def write_report() -> Path:
    """Converts a sample, takes a bias out of the file, and lets the check say so; all in the current folder."""
    attnexport.convert(MODEL, None, "krause.onnx")
    file = onnx.load("krause.onnx")
    (bias,) = (each for each in file.graph.initializer if each.name == LOST)
    bias.raw_data = bytes(len(bias.raw_data))
    onnx.save(file, "broken.onnx")
    report = attnexport.check(MODEL, ["broken.onnx"], kinds="normal", bisect=True)
    report.save("report.html")
    return Path("report.html").resolve()


def take(page: Page) -> None:
    """From the file's name to the key below the picture of the model."""
    first = page.locator("#contender-1").bounding_box()
    last = page.locator("svg.key").last.bounding_box()
    assert first is not None
    assert last is not None
    top, bottom = first["y"] - MARGIN, last["y"] + last["height"] + MARGIN
    clip = {"x": 0, "y": top, "width": WIDTH, "height": bottom - top}
    page.screenshot(path=PICTURE, full_page=True, clip=clip)


def main() -> None:
    """Writes the picture."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=require("a browser"))
        page = browser.new_page(viewport={"width": WIDTH, "height": 800})
        page.goto(write_report().as_uri())
        take(page)
        browser.close()
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
