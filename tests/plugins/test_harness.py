"""The adapters to TensorRT, taken by a C++ program through the calls of a build and of a run, on the CPU.

The program first checks the adapters with two small operators, then runs ours: their kernels emulated, each call as a
node of a network. IPluginV2 is compiled against the headers of TensorRT 10.14, which still have it: that stands for
its logic and not for the 8.x headers that it is shipped for.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from attnexport.plugins.library import AttributeKind, Call, Dtype, Library, Op
from attnexport.plugins.sources import Sources
from tests.plugins import libraries
from tests.plugins.kernel_cases import FLOAT_TYPES, Case, Sizes, hold_to_reference

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HARNESS = Sources().root / "tests" / "harness"
V3, STATIC = Sources().recipes("v3")
(V2,) = Sources().recipes("v2")
RECIPES = {"v3": V3, "static": STATIC, "v2": V2}
PROGRAMS = {"v3": "harness_v3", "static": "harness_v3", "v2": "harness_v2"}


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where CMake built the programs and the libraries of two small operators."""
    if shutil.which("cmake") is None or shutil.which("ctest") is None:
        pytest.skip("needs CMake")
    include, cuda = libraries.tensorrt_include(), libraries.cuda_include()

    def build(folder: Path) -> None:
        options = {
            "ATTNEXPORT_TENSORRT_INCLUDE": include,
            "ATTNEXPORT_APIS": "v3;static;v2",
            "ATTNEXPORT_KERNELS": HARNESS / "copy_values.cpp",
            "ATTNEXPORT_HARNESS": "ON",
            "CUDAToolkit_ROOT": cuda.parent,
        }
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        given = [f"-D{name}={value}" for name, value in options.items()]
        sources = str(Sources().root)
        subprocess.run(["cmake", "-S", sources, "-B", str(folder), *generator, *given], check=True)
        subprocess.run(["cmake", "--build", str(folder), "--parallel", "2"], check=True)

    return libraries.made_once(tmp_path_factory, "harness", build)


@pytest.mark.parametrize("api", RECIPES)
def test_the_adapters_serve_two_small_operators(api: str, harness: Path):
    tests = f"^{Path(RECIPES[api].file_name).stem.removeprefix('lib')}(_exports)?$"
    command = ["ctest", "--test-dir", str(harness), "--output-on-failure", "--no-tests=error", "--tests-regex", tests]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "out of 2" in done.stdout


def run(harness: Path, api: str, library: Path, *cases: Path) -> subprocess.CompletedProcess[str]:
    program = harness / "tests" / "harness" / PROGRAMS[api]
    command = [str(program), "--memory", "host", str(library), *map(str, cases)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done


@dataclass(frozen=True)
class Plugin:
    """An operator that is run as a plugin, by the program; takes the place of attnexport.plugins.library.Op."""

    op: Op
    harness: Path
    api: str
    library: Path
    folder: Path

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def inputs(self) -> tuple:
        return self.op.inputs

    def launch(self, call: Call, workspace: int, workspace_bytes: int, stream: int) -> None:
        case = self.folder / "call.case"
        first, value = call.inputs[0].shape, call.inputs[self._place_of_v(call)].shape
        dims, output = (*first[:3], value[3]), self.folder / "out.bin"
        lines = [f"op {self.name}", *(self._attribute(item, call) for item in self.op.attributes)]
        for index, array in enumerate(call.inputs):
            (self.folder / f"{index}.bin").write_bytes(
                ctypes.string_at(array.pointer, size_of(array.dtype, array.shape))
            )
            lines.append(f"input input_{index} {array.dtype.name.lower()} {joined(array.shape)} file {index}.bin")
        lines.append(f"output {call.inputs[0].dtype.name.lower()} {joined(dims)} file {output.name}")
        case.write_text("\n".join(lines) + "\n")
        run(self.harness, self.api, self.library, case)
        ctypes.memmove(call.output, output.read_bytes(), size_of(call.inputs[0].dtype, dims))

    def _place_of_v(self, call: Call) -> int:
        place = 0
        for item in self.op.inputs:
            if item.name == "v":
                break
            place += int(call.attributes[item.count_attribute]) if item.count_attribute else 1
        return place

    def _attribute(self, item, call: Call) -> str:
        value = call.attributes[item.name]
        if item.kind is AttributeKind.INTEGER:
            return f"integer {item.name} {int(value)}"
        return f"{item.kind.name.lower()} {item.name} {value}"


def size_of(dtype: Dtype, shape: tuple[int, ...]) -> int:
    width = 4 if dtype in (Dtype.FLOAT32, Dtype.INT32) else 2
    return width * torch.Size(shape).numel()


def joined(shape: tuple[int, ...]) -> str:
    return ",".join(map(str, shape)) or "-"


LENGTHS = Sizes(rows=7, keys=63, width=32, value_width=48, causal=True, kv_lengths=(63, 20), q_start=(56, 3))
SPLIT = Sizes(2, 1, rows=1, keys=700, width=64, value_width=64, batch=1)
ODD = Sizes(2, 2, rows=127, keys=127, width=40, value_width=20, causal=True)
GRID = {"grid_height": 9, "grid_width": 14, "grid_radius": 2, "grid_metric": "manhattan", "grid_prefix": 1}
OPTIONS = {
    "KrauseAttention": ({"top_k": 3}, {"window": 40}, GRID),
    "AffineScaledAttention": ({}, {}, {"scale": -0.7}),
    "SelectiveSynchronizationAttention": ({"top_k": 3}, {}, {}),
    "TopNAttention": ({"n": 6}, {"n": 20, "renormalize": False}, {"n": 300}),
    "HadamardLinearAttention": ({"features": (8, 24)}, {"features": (16, 8, 8)}, {"features": (5, 7)}),
}
CASES = [
    Case(op_type, sizes, options)
    for op_type, given in OPTIONS.items()
    for sizes, options in zip((LENGTHS, SPLIT, ODD), given, strict=True)
]


@pytest.mark.parametrize("dtype", FLOAT_TYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("api", ["v3", "v2"])
def test_a_plugin_computes_what_the_reference_does(
    api: str,
    case: Case,
    dtype: torch.dtype,
    harness: Path,
    emulated_library: Library,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
):
    library = libraries.emulated_plugins(tmp_path_factory, RECIPES[api])
    plugin = Plugin(emulated_library.ops[case.op_type], harness, api, library, tmp_path)
    outcome = hold_to_reference(case, plugin, dtype)
    assert outcome.good, f"error {outcome.error:.3g}, allowed {outcome.allowed:.3g}"
