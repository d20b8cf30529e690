"""The package as it is imported lies in .links, for whatever reads imports without installing it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
LINKS = ROOT / ".links" / "attnexport"


def test_links_are_the_package() -> None:
    """mypy and pyright read imports there."""
    parts = {path for path in (ROOT / "exporter").iterdir() if path.name != "__pycache__"}
    parts |= {ROOT / "plugins", ROOT / "calibration"}
    assert {link.name: link.resolve() for link in LINKS.iterdir()} == {part.name: part for part in parts}
