"""The package as it is imported lies in .links, and its rooms import those below them alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from attnexport.variants.registry import all_variants

ROOT = Path(__file__).parents[1]
LINKS = ROOT / ".links" / "attnexport"
GROUND = ("version", "printable", "messages", "display", "errors", "files", "targets", "sandbox")
MODELS = ("variants", "models", "patching", "graph")
WORK = ("plugins", "backends", "engines", "accuracy", "conversion", "analysis", "calibration")
ORDER = (*GROUND, *MODELS, *WORK, "__init__", "cli")
"""The rooms: each may import those before it. __init__ is the public API."""


def test_links_are_the_package() -> None:
    """mypy and pyright read imports there."""
    parts = {path for path in (ROOT / "exporter").iterdir() if path.name != "__pycache__"}
    parts |= {ROOT / "plugins", ROOT / "calibration"}
    assert {link.name: link.resolve() for link in LINKS.iterdir()} == {part.name: part for part in parts}


def test_every_room_has_its_place() -> None:
    assert sorted(ORDER) == sorted(link.stem for link in LINKS.iterdir() if link.name != "py.typed")


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    above = ORDER[ORDER.index(room) + 1 :]
    arrows = [(path, line, other) for path in _files(room) for line, other in _imported(path) if other in above]
    assert not [f"{path.relative_to(ROOT)}:{line} imports {other}" for path, line, other in arrows]


def test_only_the_registry_and_its_own_folder_know_a_variant() -> None:
    """What else imports a variant by name would have to be changed for the next."""
    variants = {path.parent.name for path in (LINKS / "variants").glob("*/op.py")}
    assert variants
    files = [path for room in ORDER if room not in ("variants", "__init__") for path in _files(room)]
    named = {path: variants & {part for name in _names(path) for part in name[1].split(".")} for path in files}
    assert not {str(path.relative_to(ROOT)): names for path, names in named.items() if names}


def test_no_line_outside_its_own_folder_names_a_variant() -> None:
    """Nor its operator or node; the public API shows one at work."""
    variants = all_variants()
    told = re.compile("|".join(f'"{each.name}"|{each.op_type}|{each.reference.__name__}' for each in variants))
    rooms = [room for room in ORDER if room != "__init__"]
    files = [path for room in rooms for path in _files(room) if path.parents[1] != ROOT / "exporter" / "variants"]
    assert not [str(path.relative_to(ROOT)) for path in files if told.search(path.read_text(encoding="utf-8"))]


def _files(room: str) -> list[Path]:
    folder = (LINKS / room).resolve()
    files = [path for path in folder.rglob("*.py") if ROOT / "plugins" / "tests" not in path.parents]
    return files if folder.is_dir() else [LINKS / f"{room}.py"]


def _imported(path: Path) -> Iterator[tuple[int, str]]:
    """Lines and the rooms that they import."""
    for line, name in _names(path):
        package, _, rest = name.partition(".")
        if package == "attnexport":
            room = rest.partition(".")[0]
            yield line, room if room in ORDER else "__init__"


def _names(path: Path) -> Iterator[tuple[int, str]]:
    """Lines and what they import, names from a package as its modules would be."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
