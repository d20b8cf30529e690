"""The pages on devices have every target of ``--target``, with what exporter/targets.py says of it."""

from __future__ import annotations

import pytest

from attnexport.targets import TARGETS, Target
from tests.docs.pages import ROOT

PAGES = {"jetson": "jetson", "rtx": "rtx"}
"""Page by the beginning of the target's name; the others are on the page for datacenters."""

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)


def row_of(target: Target) -> dict[str, str]:
    """The target's row in the table of its page, by heading."""
    page = next((name for begin, name in PAGES.items() if target.name.startswith(begin)), "datacenter")
    lines = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    headings = next(row for row in rows if row[0] == "`--target`")
    (found,) = (row for row in rows if f"`{target.name}`" in row[0].split(", "))
    return dict(zip(headings, found, strict=True))


@each_target
def test_the_page_has_what_the_target_is_pinned_to(target: Target):
    row = row_of(target)
    assert row["SM"] == " ".join(map(str, target.sms))
    for heading, value in (("TensorRT", target.tensorrt), ("CUDA", target.cuda), ("opset", str(target.opset))):
        assert row.get(heading, value) == value


@each_target
def test_the_page_has_the_types_or_the_library_of_the_target(target: Target):
    row = row_of(target)
    if "library" in row:
        assert row["library"].split(":")[0].strip("`") == (target.plugin_api or "none")
    else:
        assert set(row["precisions"].removeprefix("and ").replace(",", "").split()) <= set(target.precisions)
