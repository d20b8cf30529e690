"""Pages that are files elsewhere in the repository, and links to files that are no page.

Files link to each other by their paths, for whoever reads them in a checkout. In the site a link to a file in whose
place a page stands leads to that page, and any other file is given as a download.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
SHOWN = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "runtime": "plugins/runtime/README.md",
    "samples": "samples/README.md",
}
"""Pages whose text is a file elsewhere."""
STANDS_FOR = {
    "README.md": "index",
    "benchmarks/README.md": "benchmarks",
    "samples/ci/README.md": "check-in-ci",
    **{file: page for page, file in SHOWN.items()},
}

LINK = re.compile(r"(?<!!)\[([^]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
FENCED = re.compile(r"^(`{3,}|~{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
log = logging.getLogger(__name__)


def read_page(app: Sphinx, page: str, source: list[str]) -> None:
    """Replaces the text of a page that is a file elsewhere, and all links to files."""
    path = ROOT / SHOWN[page] if page in SHOWN else DOCS / f"{page}.md"
    if page in SHOWN:
        app.env.note_dependency(str(path), docname=page)
        source[0] = path.read_text(encoding="utf-8")
    source[0] = _outside_fences(source[0], lambda text: LINK.sub(lambda link: _for_the_site(link, path, page), text))


def _outside_fences(text: str, change: Callable[[str], str]) -> str:
    parts, at = [], 0
    for fence in FENCED.finditer(text):
        parts += [change(text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, change(text[at:])])


def _for_the_site(link: re.Match[str], source: Path, page: str) -> str:
    text, target, anchor = link[1], link[2], link[3] or ""
    found = (source.parent / target).resolve()
    if found.is_dir():
        found /= "README.md"
    if not found.is_file():
        log.warning("%s links to %s, which is no file", source.relative_to(ROOT), target, location=page)
        return text
    if found.parent == DOCS:
        return f"[{text}]({found.name}{anchor})"
    name = found.relative_to(ROOT).as_posix()
    if name in STANDS_FOR:
        return f"[{text}]({STANDS_FOR[name]}.md{anchor})"
    return f"{{download}}`{text.replace('`', '')} <{os.path.relpath(found, DOCS)}>`"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", read_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
