"""The Python binding mirrors attnrt's header, and the library exports just what the header declares."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from attnexport.plugins.runtime import interface
from attnexport.plugins.runtime.building import RuntimeSources
from attnexport.plugins.runtime.runtime import LIBRARY

HEADER = (RuntimeSources().include / "attnexport" / "attnrt.h").read_text()
STRUCTS = {
    "attnrt_profile": interface.CProfile,
    "attnrt_build_request": interface.CBuildRequest,
    "attnrt_tensor": interface.CTensor,
    "attnrt_array": interface.CArray,
    "attnrt_memory": interface.CMemory,
    "attnrt_times": interface.CTimes,
}


def declared() -> dict[str, int]:
    """Functions of the header and how many arguments each takes."""
    found = re.findall(r"^[a-z].*?\b(attnrt_\w+)\(([^)]*)\);", HEADER, re.MULTILINE | re.DOTALL)
    return {name: 0 if text == "void" else text.count(",") + 1 for name, text in found}


def test_every_function_and_its_number_of_arguments():
    assert len(declared()) > 20
    assert {name: len(arguments) for name, (_, arguments) in interface.FUNCTIONS.items()} == declared()


def test_numbers_of_the_header():
    defines = dict(re.findall(r"#define (ATTNRT_\w+) (\d+)", HEADER))
    assert {key: int(value) for key, value in defines.items()} == {
        "ATTNRT_ABI": interface.ABI,
        "ATTNRT_MAX_RANK": interface.MAX_RANK,
    }
    numbers = {name: int(value) for name, value in re.findall(r"\bATTNRT_(\w+) = (\d+)", HEADER)}
    assert numbers.pop("OK") == 0
    assert numbers.pop("FAILED") == 1
    assert numbers == {member.name: member.value for kind in (interface.Dtype, interface.Severity) for member in kind}


@pytest.mark.needs("g++")
def test_layout_of_every_struct(tmp_path: Path):
    program = tmp_path / "layout"
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{RuntimeSources().include}"]
    subprocess.run(["gcc", *options, "-o", str(program), str(Path(__file__).parent / "layout.c")], check=True)
    lines = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.split()
    mirrored: dict[str, int] = {}
    for name, struct in STRUCTS.items():
        mirrored[name] = ctypes.sizeof(struct)
        for field, _ in struct._fields_:
            mirrored[f"{name}.{field}"] = getattr(struct, field).offset
    assert dict(zip(lines[::2], map(int, lines[1::2]), strict=True)) == mirrored
    assert set(re.findall(r"^} (attnrt_\w+);", HEADER, re.MULTILINE)) - {
        "attnrt_status",
        "attnrt_dtype",
        "attnrt_severity",
    } == set(STRUCTS)


def test_the_library_exports_the_header_and_nothing_else(runtime_folder: Path):
    command = ["nm", "--dynamic", "--defined-only", str(runtime_folder / LIBRARY)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {line.split()[-1] for line in lines} == set(declared())
