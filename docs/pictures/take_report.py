"""Takes docs/pictures/report.png, the top of the report on a file that lost a bias: that of docs/get-started.md.

In the checkout, where tests/tools finds a Chromium: PYTHONPATH=. python docs/pictures/take_report.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
from playwright.sync_api import sync_playwright

import attnexport
from tests.tools import require

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "samples" / "digits"
LOST = "blocks.2.mlp.2.bias"
PICTURE = Path(__file__).with_name("report.png")
WIDTH, HEIGHT = 1000, 620


def write_report(folder: Path) -> Path:
    """Converts a sample, takes a bias out of the file, and lets the check say so."""
    attnexport.convert(DIGITS / "krause.pt2", None, folder / "krause.onnx")
    file = onnx.load(folder / "krause.onnx")
    (bias,) = (each for each in file.graph.initializer if each.name == LOST)
    bias.raw_data = bytes(len(bias.raw_data))
    onnx.save(file, folder / "broken.onnx")
    report = attnexport.check(DIGITS / "krause.pt2", [folder / "broken.onnx"], kinds="normal", bisect=True)
    report.save(folder / "report.html")
    return folder / "report.html"


def main() -> None:
    """Writes the picture."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=require("a browser"))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(write_report(Path(folder)).as_uri())
        page.screenshot(path=PICTURE)
        browser.close()
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
