"""Runs the pages and writes what their commands print into them: python -m tests.docs [PAGE ...]."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.docs.pages import ROOT, blocks, pages
from tests.docs.running import Difference, page_in


def rewrite(page: str, cache: Path) -> list[Difference]:
    """Writes what a page's commands printed in place of what it shows; returns what has to be done by hand."""
    with tempfile.TemporaryDirectory() as folder, page_in(Path(folder), cache) as running:
        found = [each for block in blocks(page) if block.runs for each in running.differences(block)]
    path = ROOT / page
    lines = path.read_text(encoding="utf-8").split("\n")
    by_hand = []
    for difference in reversed(found):
        if difference.command is None or difference.omits:
            by_hand.append(difference)
            continue
        first = difference.block.line + difference.command.last
        lines[first : first + len(difference.command.shown)] = [line.rstrip() for line in difference.printed]
    path.write_text("\n".join(lines), encoding="utf-8")
    return by_hand[::-1]


def main(chosen: list[str]) -> int:
    """Rewrites pages, all of them where none is named; 1 where something has to be done by hand."""
    with tempfile.TemporaryDirectory() as cache:
        left = [difference for page in chosen or pages() for difference in rewrite(page, Path(cache))]
    print("\n\n".join(str(difference) for difference in left))
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
