"""The plugin library of the samples, as nvcc built it: what it exports, needs and has code for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from attnexport.plugins import load_library
from attnexport.plugins.building.sources import library_names
from tests.plugins.libraries import ARCHITECTURES
from tests.tools import require

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

C_INTERFACE = {"attnexport_abi", "attnexport_ops", "attnexport_build_info"}
EXPORTS = {"libattnexport_plugins.so": {"getCreators", "setLoggerFinder"}, "libattnexport_plugins_static.so": set()}


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_both_ways_of_loading_are_built(samples_library: Path):
    assert sorted(library_names("v3")) == sorted(EXPORTS)
    assert sorted(path.name for path in samples_library.glob("*.so")) == sorted(EXPORTS)


@pytest.mark.parametrize("name", EXPORTS)
def test_a_library_exports_its_interface_alone(name: str, samples_library: Path):
    defined = said("nm", "-D", "--defined-only", "--format=posix", str(samples_library / name))
    assert {line.split()[0] for line in defined.splitlines()} == EXPORTS[name] | C_INTERFACE


@pytest.mark.parametrize("name", EXPORTS)
def test_a_library_needs_neither_tensorrt_nor_cuda_to_load(name: str, samples_library: Path):
    needed = re.findall(r"\(NEEDED\).*\[(\S+)\]", said("readelf", "-d", str(samples_library / name)))
    assert needed
    assert not [library for library in needed if re.search("nvinfer|tensorrt|cudart|libcuda", library)]
    undefined = said("nm", "-D", "--undefined-only", str(samples_library / name))
    assert not re.search("nvinfer|getPluginRegistry|getLogger", undefined)


def test_a_library_has_code_for_what_it_was_built_for(samples_library: Path):
    path = samples_library / "libattnexport_plugins.so"
    info = load_library(path).info
    assert (info.architectures, info.ptx) == (ARCHITECTURES, max(ARCHITECTURES))
    compiled = set(
        re.findall(r"Compiling entry function '\w+' for 'sm_(\d+)'", (path.parent / "build.log").read_text())
    )
    assert compiled == {str(architecture) for architecture in ARCHITECTURES}


def test_cuobjdump_finds_code_for_what_a_library_was_built_for(samples_library: Path):
    listed = said(str(require("cuobjdump")), "--list-elf", str(samples_library / "libattnexport_plugins.so"))
    assert {str(architecture) for architecture in ARCHITECTURES} <= set(re.findall(r"\.sm_(\d+)\.", listed))
