"""Reads what a plugin library holds."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnexport.plugins.building.toolchain import find_tool
from attnexport.plugins.calling.build_info import BuildInfo
from attnexport.plugins.calling.interface import ABI
from attnexport.plugins.calling.library import load_library
from attnexport.plugins.calling.operators import Op

SCHEMA = "attnexport.plugins-info/1"


@dataclass(frozen=True)
class LibraryFacts:
    """What a plugin library holds.

    Attributes:
        path, bytes: the file.
        info: how it was built, as it says itself.
        ops: its operators.
        found_architectures: compute capabilities that cuobjdump finds in it; None where there is no cuobjdump.
        notes: what does not fit together, a line each.
    """

    path: Path
    bytes: int
    info: BuildInfo
    ops: tuple[Op, ...]
    found_architectures: tuple[int, ...] | None
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, field by field: docs/report-formats.md has what each key means."""
        return {
            "schema": SCHEMA,
            "library": str(self.path),
            "bytes": self.bytes,
            "abi": ABI,
            "build": self.info.as_dict(),
            "found_architectures": self.found_architectures,
            "operators": [_op_as_dict(op) for op in self.ops],
            "notes": list(self.notes),
        }


def inspect_library(path: str | os.PathLike[str]) -> LibraryFacts:
    """Reads the facts of a plugin library, which runs its code: open none that you did not build.

    Raises:
        InputError: no plugin library there.
    """
    path = Path(path)
    library = load_library(path)
    found = _found_architectures(path)
    notes = []
    if found is not None and library.info.architectures and set(found) != set(library.info.architectures):
        notes.append(f"expected code for {library.info.architectures}, as the build says, cuobjdump finds {found}")
    return LibraryFacts(
        path=path,
        bytes=path.stat().st_size,
        info=library.info,
        ops=tuple(library.ops.values()),
        found_architectures=found,
        notes=tuple(notes),
    )


def _found_architectures(path: Path) -> tuple[int, ...] | None:
    tool = find_tool("cuobjdump")
    if tool is None:
        return None
    done = subprocess.run([str(tool), "--list-elf", str(path)], capture_output=True, text=True, check=False)
    return tuple(sorted({int(number) for number in re.findall(r"\.sm_(\d+)", done.stdout)}))


def _op_as_dict(op: Op) -> dict[str, Any]:
    return {
        "name": op.name,
        "inputs": [
            {"name": item.name, "count_attribute": item.count_attribute, "optional": item.is_length}
            for item in op.inputs
        ],
        "attributes": [{"name": item.name, "kind": item.kind.name.lower()} for item in op.attributes],
        "dtypes": [dtype.name.lower() for dtype in op.dtypes],
    }
