"""Every shell and Python block of README and docs runs as it stands there, and prints what is shown below it.

A block that cannot run here has its reason above it: ``<!-- not run: needs a Jetson -->``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import OTHER, RUN, blocks, pages
from tests.docs.running import page_in

PROGRAMS = {"$", "attnexport", "attnrt", "bash", "git", "make", "nvcc", "pip", "python", "python3", "trtexec"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all pages, so that a model and its data go through PyTorch in float64 once."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in pages() if any(block.runs for block in blocks(page))])
def test_a_page_does_what_it_shows(page: str, tmp_path: Path, cache: Path):
    with page_in(tmp_path, cache) as running:
        found = [str(each) for block in blocks(page) if block.runs for each in running.differences(block)]
    assert not found, "\n\n".join([*found, f"python -m tests.docs {page} writes it anew"])


@pytest.mark.parametrize("page", pages())
def test_every_block_says_what_it_is(page: str):
    """None hides from being run."""
    for block in blocks(page):
        assert block.language.startswith("{") or block.language in (*RUN, *OTHER, "before"), block
        assert block.reason is None or block.language in RUN, block


@pytest.mark.parametrize("page", pages())
def test_no_command_is_shown_as_text(page: str):
    for block in blocks(page):
        words = [line.split()[0] for line in block.code.splitlines() if block.language == "text" and line.split()]
        assert not PROGRAMS & set(words), block
