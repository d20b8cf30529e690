"""TensorRT's headers: where they are, which version they are, and which plugin interface that means."""

from __future__ import annotations

import os
import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from attnexport.errors import InputError
from attnexport.messages import option

_VERSION_HEADER = "NvInferVersion.h"


@dataclass(frozen=True)
class TensorRtHeaders:
    """A folder of TensorRT's headers.

    Attributes:
        include: the folder.
        version: major, minor and patch.
        rtx: TensorRT-RTX, whose numbers are its own.
    """

    include: Path
    version: tuple[int, int, int]
    rtx: bool = False

    @property
    def name(self) -> str:
        """Product and version, as TensorRT 10.14.1."""
        return f"TensorRT{'-RTX' if self.rtx else ''} {'.'.join(str(number) for number in self.version)}"


def find_headers(include: Path | None = None) -> TensorRtHeaders:
    """TensorRT's headers: the folder given, else $TENSORRT_ROOT/include, else the system's.

    Raises:
        InputError: none there, or a version header that cannot be read.
    """
    if include is not None:
        if not (include / _VERSION_HEADER).is_file():
            raise InputError(
                f"{option('--tensorrt-include')}: expected a folder with {_VERSION_HEADER}, given {include}"
            )
        return read_headers(include)
    root = os.environ.get("TENSORRT_ROOT")
    if root is not None and (Path(root) / "include" / _VERSION_HEADER).is_file():
        return read_headers(Path(root) / "include")
    for folder in _system_folders():
        if (folder / _VERSION_HEADER).is_file():
            return read_headers(folder)
    raise InputError(
        f"TensorRT's headers: not found through {option('--tensorrt-include')}, in $TENSORRT_ROOT/include or in the "
        "system's /usr/include; get them with apt install libnvinfer-dev (JetPack has it) or from "
        f"github.com/NVIDIA/TensorRT, folder include/ at your release's tag; pip's tensorrt has none; "
        f"{option('--api', 'none')} builds the kernels alone"
    )


def read_headers(include: Path) -> TensorRtHeaders:
    """Reads the version of a folder of TensorRT's headers.

    Raises:
        InputError: a version header without the numbers.
    """
    text = (include / _VERSION_HEADER).read_text(encoding="utf-8", errors="replace")
    macros: dict[str, str] = dict(re.findall(r"^\s*#\s*define\s+(\w+)\s+(\w+)", text, re.MULTILINE))
    numbers = []
    for part in ("MAJOR", "MINOR", "PATCH"):
        value = macros.get(f"NV_TENSORRT_{part}", "")
        number = macros.get(value, value)
        if not number.isdecimal():
            raise InputError(f"{include / _VERSION_HEADER}: expected NV_TENSORRT_{part} to be a number, given none")
        numbers.append(int(number))
    rtx = "RTX" in macros.get("NV_TENSORRT_MAJOR", "")
    return TensorRtHeaders(include, (numbers[0], numbers[1], numbers[2]), rtx)


def choose_api(wanted: str, headers: TensorRtHeaders) -> str:
    """The plugin interface, v3 or v2, for these headers.

    Args:
        wanted: "auto", "v3" or "v2".
        headers: TensorRT's.

    Raises:
        InputError: a TensorRT version that no interface here serves, or not the one wanted.
    """
    possible = _apis_of(headers)
    if headers.rtx:
        raise InputError(
            f"{headers.name}: expected the headers of TensorRT 10.3 or later in {headers.include}; TensorRT-RTX loads "
            "what is built with them"
        )
    if not possible:
        raise InputError(f"{headers.name}: expected 8.x, 10.3 or later, in {headers.include}")
    if wanted == "auto":
        return possible[0]
    if wanted not in possible:
        raise InputError(f"{option('--api')}: expected {' or '.join(possible)} for {headers.name}, given {wanted}")
    return wanted


def _apis_of(headers: TensorRtHeaders) -> tuple[str, ...]:
    if headers.version >= (10, 3, 0):
        return ("v3",)
    return ("v2",) if headers.version[0] == 8 else ()


def _system_folders() -> list[Path]:
    multiarch = sysconfig.get_config_var("MULTIARCH")
    found = [Path("/usr/include") / multiarch] if multiarch else []
    return [*found, *sorted(Path("/usr/include").glob("*-linux-gnu")), Path("/usr/include")]
