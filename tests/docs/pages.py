"""The pages that a reader meets, and the blocks of code on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
SHOWN_BY_THE_SITE = ("CONTRIBUTING.md", "plugins/runtime/README.md", "samples/README.md")
RUN = ("console", "pycon", "python", "sh")
"""Languages of blocks that are run."""
OTHER = ("c", "cmake", "cpp", "cuda", "json", "text", "toml", "xml", "yaml")

_NOT_RUN = re.compile(r"<!-- not run: (\S.*?) -->", re.DOTALL)
_BEFORE = re.compile(r"<!-- before:\n(.*?)-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        page: path of the page below the checkout.
        line: of its first line of code, from 0.
        language: what stands behind the fence; empty where nothing does, or where it is indented.
        code: its text.
        reason: why it is not run; None for a block that is.
    """

    page: str
    line: int
    language: str
    code: str
    reason: str | None = None

    @property
    def runs(self) -> bool:
        """Whether it is a block that is run."""
        return self.language in (*RUN, "before") and self.reason is None

    def __str__(self) -> str:
        return f"{self.page}:{self.line + 1}"


def pages() -> list[str]:
    """README and the docs, as paths below the checkout."""
    return ["README.md", *SHOWN_BY_THE_SITE, *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def blocks(page: str, text: str | None = None) -> list[Block]:
    """The blocks of a page in their order. Those of language "before" are in comments that only the source shows.

    Args:
        page: path below the checkout.
        text: its text. Default: as it is in the file.
    """
    text = (ROOT / page).read_text(encoding="utf-8") if text is None else text
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return list(_blocks(page, tokens))


def _blocks(page: str, tokens: list[Token]) -> Iterator[Block]:
    reason = None
    for token in tokens:
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            first = token.map[0] + (token.type == "fence")
            yield Block(page, first, token.info.partition(" ")[0], token.content, reason)
        elif token.type == "html_block" and (before := _BEFORE.match(token.content)):
            assert token.map is not None
            yield Block(page, token.map[0] + 1, "before", before[1])
        told = _NOT_RUN.match(token.content) if token.type == "html_block" else None
        reason = " ".join(told[1].split()) if told else None
