"""What several test modules need and what takes long to make: made once for all workers of a test run."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import attnexport
from attnexport.plugins import build
from attnexport.plugins.building.compiling import object_name
from attnexport.plugins.building.sources import Recipe, Sources
from tests.plugins.keeping import compiled_once
from tests.tools import require

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*/*.pt2"))
ARCHITECTURES = (87, 90)
EMULATOR = Sources().root / "tests" / "cpu"


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name, which ``make`` fills where no other worker has."""
    # Workers of pytest-xdist have a folder each below a common one.
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = shared / name, shared / f"{name}.made"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def run_all(commands: Sequence[Sequence[str]]) -> None:
    """Runs compilers, one a processor."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(lambda command: subprocess.run(command, check=True), commands))


def tensorrt_include() -> Path:
    """NVIDIA's headers of TensorRT 10.14, which the wheel of kernel-lens carries; skips the test without them."""
    return require("TensorRT's headers")


def cuda_include() -> Path:
    """CUDA's headers, of the toolkit that nvcc belongs to; skips the test without it."""
    nvcc = require("nvcc")
    said = subprocess.run([str(nvcc), "--dryrun", "-c", "none.cu"], capture_output=True, text=True, check=False).stderr
    (top,) = (line.partition("=")[2] for line in said.splitlines() if line.startswith("#$ TOP="))
    return Path(top) / "include"


def converted_samples(factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """The ONNX file of every sample."""

    def convert(folder: Path) -> None:
        for sample in SAMPLES:
            loaded = attnexport.load_model(sample)
            attnexport.convert(loaded.program, None, folder / name_of(sample), dim_names=loaded.dim_names)

    folder = made_once(factory, "samples", convert)
    return {sample: folder / name_of(sample) for sample in SAMPLES}


def name_of(sample: Path) -> str:
    """Name of a sample's ONNX file."""
    return f"{sample.parent.name}-{sample.stem}.onnx"


def samples_library(factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the V3 libraries of what the samples use; its build.log holds what ptxas says of every kernel."""
    include, models = tensorrt_include(), list(converted_samples(factory).values())
    require("g++")
    require("nvcc")
    monkeypatch.setenv("NVCC_APPEND_FLAGS", "-Xptxas=-v")

    def compile_all(folder: Path) -> None:
        build(folder, architectures=ARCHITECTURES, models=models, tensorrt_include=include)

    return compiled_once("samples_library", compile_all, models)


def emulated_objects() -> Path:
    """A folder of the object files of all kernels for the CPU emulator, the emulator itself and the registry."""
    require("g++")
    flags = emulator_flags()
    given = Sources()
    kernels = [given.kernel(name) for name in given.kernel_names]
    kernels += [path for name in given.kernel_names if (path := given.hopper_kernel(name)) is not None]
    others = [given.registry, *sorted(EMULATOR.glob("*.cpp"))]

    def compile_all(folder: Path) -> None:
        sources = [*kernels, *others]
        run_all([["g++", *flags, "-c", str(path), "-o", str(folder / object_name(path))] for path in sources])

    return compiled_once("emulator", compile_all)


def emulator_flags() -> list[str]:
    """Options of g++ for sources that the CPU emulator runs."""
    options = [
        "-std=c++17",
        "-O1",
        "-fPIC",
        "-fno-strict-aliasing",
        "-fno-gnu-unique",
        "-Wno-unknown-pragmas",
        "-Wno-psabi",
        "-DATTNEXPORT_MOST_PAIRS=128",
    ]
    # The emulator's headers come first: they stand in for some of the kernels'.
    includes = [f"-I{EMULATOR / 'include'}", *Sources().include_options, f"-I{cuda_include()}"]
    return [*options, *includes, "-x", "c++"]


def link_emulated(library: Path, objects: Path, adapters: Sequence[Path] = (), script: Path | None = None) -> Path:
    """Links emulated kernels, and what makes plugins of them, as sources.py orders them."""
    command = ["g++", "-shared", "-Wl,-Bsymbolic", "-Wl,-z,defs", *map(str, sorted(objects.glob("*.o")))]
    command += [*map(str, adapters), *([f"-Wl,--version-script={script}"] if script else [])]
    subprocess.run([*command, "-ldl", "-o", str(library)], check=True)
    return library


def emulated_plugins(recipe: Recipe) -> Path:
    """A plugin library of a recipe whose kernels run on the CPU."""
    objects, include = emulated_objects(), tensorrt_include()
    given = Sources()
    options = ["-std=c++17", "-O1", "-fPIC", "-Wno-deprecated-declarations", *given.include_options]
    options += ["-isystem", str(include), "-isystem", str(cuda_include())]

    def compile_all(folder: Path) -> None:
        adapters = {given.adapter(name): folder / f"{name}.o" for name in recipe.adapters}
        run_all([["g++", *options, "-c", str(path), "-o", str(target)] for path, target in adapters.items()])
        link_emulated(folder / recipe.file_name, objects, list(adapters.values()), given.adapter(recipe.version_script))

    return compiled_once(f"emulated_{Path(recipe.file_name).stem}", compile_all) / recipe.file_name
