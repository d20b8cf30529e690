"""README is one screenful, its picture is there, and what it links to exists."""

from __future__ import annotations

from tests.docs.pages import ROOT

LONGEST = 90
LARGEST_PICTURE = 200 * 1024


def test_the_readme_has_ninety_lines_at_most():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_pictures_are_small():
    """They are in every clone for ever."""
    pictures = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".png", ".svg", ".jpg", ".webp")]
    assert pictures
    assert not [path for path in pictures if path.stat().st_size > LARGEST_PICTURE]
