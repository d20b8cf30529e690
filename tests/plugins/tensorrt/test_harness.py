"""The adapters to TensorRT, taken by a C++ program through the calls of a build and of a run, on the CPU.

The program first checks the adapters with two small operators, then runs ours: their kernels emulated, each call as a
node of a network. IPluginV2 is compiled against the headers of TensorRT 10.14, which still have it: that stands for
its logic and not for the 8.x headers that it is shipped for.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from attnexport.plugins.building.sources import Sources
from attnexport.plugins.building.toolchain import Nvcc, find_nvcc
from attnexport.plugins.calling.library import Library
from tests.plugins import libraries
from tests.plugins.harness_plugin import CASES, Plugin
from tests.plugins.keeping import compiled_once
from tests.plugins.kernel_cases import FLOAT_TYPES, Case, hold_to_reference
from tests.tools import require

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HARNESS = Sources().root / "tests" / "harness"
V3, STATIC = Sources().recipes("v3")
(V2,) = Sources().recipes("v2")
RECIPES = {"v3": V3, "static": STATIC, "v2": V2}
PROGRAMS = {"v3": "harness_v3", "static": "harness_v3", "v2": "harness_v2"}


@pytest.fixture(scope="session")
def harness() -> Path:
    """Where CMake built the programs and the libraries of two small operators."""
    require("g++")
    cmake, ninja = require("cmake"), require("ninja")
    include, cuda = libraries.tensorrt_include(), libraries.cuda_include()

    def build(folder: Path) -> None:
        options = {
            "ATTNEXPORT_TENSORRT_INCLUDE": include,
            "ATTNEXPORT_APIS": "v3;static;v2",
            "ATTNEXPORT_KERNELS": HARNESS / "copy_values.cpp",
            "ATTNEXPORT_HARNESS": "ON",
            "CUDAToolkit_ROOT": cuda.parent,
            "CMAKE_MAKE_PROGRAM": ninja,
            **of_wheels(find_nvcc()),
        }
        given = [f"-D{name}={value}" for name, value in options.items()]
        subprocess.run([cmake, "-S", Sources().root, "-B", folder, "-G", "Ninja", *given], check=True)
        subprocess.run([cmake, "--build", folder, "--parallel", "2"], check=True)

    return compiled_once("harness", build)


def of_wheels(nvcc: Nvcc) -> dict[str, Path]:
    """What CMake does not find by itself: wheels have the shared library under its full name alone."""
    if nvcc.libraries is None:
        return {}
    (shared,) = nvcc.libraries.glob("libcudart.so.*")
    return {"CUDA_CUDART": shared}


@pytest.fixture(scope="session")
def plugin_libraries() -> dict[str, Path]:
    """By interface, the plugin library whose kernels are emulated."""
    return {api: libraries.emulated_plugins(RECIPES[api]) for api in ("v3", "v2")}


@pytest.mark.parametrize("api", RECIPES)
def test_the_adapters_serve_two_small_operators(api: str, harness: Path):
    tests = f"^{Path(RECIPES[api].file_name).stem.removeprefix('lib')}(_exports)?$"
    ctest = require("cmake").with_name("ctest")
    command = [ctest, "--test-dir", harness, "--output-on-failure", "--no-tests=error", "--tests-regex", tests]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "out of 2" in done.stdout


@pytest.mark.parametrize("api", RECIPES)
def test_cmake_links_what_build_links(api: str, harness: Path):
    recipe = RECIPES[api]
    command = [require("ninja"), "-C", harness, "-t", "commands", "-s", recipe.file_name]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sources = [Path(word).stem for word in said.split() if word.endswith(".cpp.o")]
    assert sources == [Sources().registry.name, "copy_values.cpp", *recipe.adapters]
    assert f"--version-script={Sources().adapter(recipe.version_script)}" in said
    assert ("nodelete" in said) == recipe.stays_loaded


def program_of(harness: Path, api: str) -> Path:
    return harness / "tests" / "harness" / PROGRAMS[api]


@pytest.mark.parametrize("dtype", FLOAT_TYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("api", ["v3", "v2"])
def test_a_plugin_computes_what_the_reference_does(
    api: str,
    case: Case,
    dtype: torch.dtype,
    harness: Path,
    emulated_library: Library,
    plugin_libraries: dict[str, Path],
    tmp_path: Path,
):
    program = program_of(harness, api)
    plugin = Plugin(emulated_library.ops[case.op_type], program, "host", plugin_libraries[api], tmp_path)
    outcome = hold_to_reference(case, plugin, dtype)
    assert outcome.good, f"error {outcome.error:.3g}, allowed {outcome.allowed:.3g}"
