"""Compiles attnrt, the C++ runtime: its library and its program."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from attnexport.display.progress import Progress, unheard
from attnexport.errors import InputError
from attnexport.files.staging import work_folder
from attnexport.messages import option
from attnexport.plugins.building.compiling import Compiler, Step, compiling_into, default_jobs
from attnexport.plugins.building.libraries import check_folder
from attnexport.plugins.building.tensorrt_headers import TensorRtHeaders, find_headers
from attnexport.plugins.building.toolchain import Nvcc, find_nvcc
from attnexport.plugins.runtime.runtime import LIBRARY, PROGRAM
from attnexport.version import __version__

LOG_NAME = "runtime.log"
_PARSER_HEADER = "NvOnnxParser.h"
_OLDEST = (8, 5, 0)
_EARLY_ACCESS = "kVERSION_COMPATIBLE"
"""A name in NvOnnxParser.h that 8.6-EA alone has."""


@dataclass(frozen=True)
class RuntimeSources:
    """The folder of attnrt's sources.

    Attributes:
        root: the folder. Default: this package's own.
    """

    root: Path = Path(__file__).parent

    @property
    def include(self) -> Path:
        """Where ``attnexport/attnrt.h`` is found."""
        return self.root / "include"

    @property
    def library(self) -> tuple[Path, ...]:
        """Sources of the library, which are part of the program too."""
        return tuple(sorted((self.root / "library").glob("*.cpp")))

    @property
    def program(self) -> tuple[Path, ...]:
        """Sources of the program alone."""
        return tuple(sorted((self.root / "program").glob("*.cpp")))

    @property
    def version_script(self) -> Path:
        """Says what the library exports."""
        return self.root / "attnrt.map"


@dataclass(frozen=True)
class BuiltRuntime:
    """What was compiled.

    Attributes:
        library, program: the files.
        tensorrt: product and version of the headers.
        notes: what a user may want to know, a line each.
    """

    library: Path
    program: Path
    tensorrt: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """Everything decided before the first compiler runs."""

    version: str
    nvcc: Nvcc
    headers: TensorRtHeaders
    parser_include: Path | None
    zlib: bool
    sources: RuntimeSources = RuntimeSources()


def build_runtime(
    output: str | os.PathLike[str],
    *,
    progress: Progress = unheard,
    tensorrt_include: Path | None = None,
    parser_include: Path | None = None,
    jobs: int | None = None,
) -> BuiltRuntime:
    """Compiles the library and the program into a folder. Neither links TensorRT.

    Args:
        output: the folder; made where its parent exists. Beside the two it gets runtime.log.
        progress: is told what is compiled, and the share that is done. Default: nobody is.
        tensorrt_include: folder of TensorRT's headers. Default: $TENSORRT_ROOT/include, else the system's.
        parser_include: folder of NvOnnxParser.h. Default: that of TensorRT's headers; without it no engines can be
            built, only run.
        jobs: compilers at a time. Default: one a processor.

    Raises:
        InputError: headers that are not there, too old or of 8.6's early access, or a folder that cannot be written.
        CompileError: a compiler failed; its full log is in the folder's runtime.log.
    """
    folder = Path(output)
    check_folder(folder)
    headers = _checked(find_headers(tensorrt_include))
    nvcc = find_nvcc()
    plan = _Plan(__version__, nvcc, headers, _find_parser(parser_include, headers), _has_zlib(nvcc))
    compiler = Compiler(progress, jobs or default_jobs())
    with compiling_into(folder, LIBRARY, LOG_NAME, compiler) as (work, staging):
        _compile(plan, compiler, work, staging)
    return BuiltRuntime(folder / LIBRARY, folder / PROGRAM, headers.name, _notes(plan))


def _checked(headers: TensorRtHeaders) -> TensorRtHeaders:
    if headers.rtx or headers.version < _OLDEST:
        raise InputError(f"{headers.name}: expected TensorRT 8.5 or later, in {headers.include}")
    return headers


def _find_parser(given: Path | None, headers: TensorRtHeaders) -> Path | None:
    folder = headers.include if given is None else given
    header = folder / _PARSER_HEADER
    if not header.is_file():
        if given is not None:
            raise InputError(f"{option('--parser-include')}: expected a folder with {_PARSER_HEADER}, given {given}")
        return None
    if _EARLY_ACCESS in header.read_text(encoding="utf-8", errors="replace"):
        raise InputError(
            f"{header}: expected that of onnx-tensorrt's 8.6-GA, given that of 8.6-EA, whose virtual functions lie "
            "elsewhere than those of TensorRT 8.6.0's library"
        )
    return folder


def _has_zlib(nvcc: Nvcc) -> bool:
    """Whether a program that uses zlib can be compiled and linked."""
    with work_folder() as work:
        probe = work / "probe.cpp"
        probe.write_text("#include <zlib.h>\nint main() { return zlibVersion() == nullptr; }\n")
        command = [*nvcc.command, "-o", str(probe.with_suffix("")), str(probe), "-lz"]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def _compile(plan: _Plan, compiler: Compiler, work: Path, staging: Path) -> None:
    """Compiles the objects into ``work`` and links the two files into ``staging``."""
    sources = plan.sources
    compiler.run([_object(plan, source, work) for source in (*sources.library, *sources.program)])
    library = [_object_file(source, work) for source in sources.library]
    program = [*library, *(_object_file(source, work) for source in sources.program)]
    script = f"-Xlinker=--version-script={sources.version_script}"
    compiler.run(
        [
            Step(LIBRARY, _link(plan, staging / LIBRARY, library, ["-shared", script, "-Xlinker=-z,defs"])),
            Step(PROGRAM, _link(plan, staging / PROGRAM, program, ["-lz"] if plan.zlib else [])),
        ]
    )


def _object(plan: _Plan, source: Path, work: Path) -> Step:
    defines = [f'-DATTNEXPORT_VERSION="{plan.version}"', *(["-DATTNRT_ZLIB"] if plan.zlib else [])]
    folders = [plan.headers.include, *([plan.parser_include] if plan.parser_include else [])]
    includes = [f"-I{plan.sources.include}", *(option for folder in folders for option in ("-isystem", str(folder)))]
    # The interfaces of older releases are deprecated in newer headers.
    options = ["-std=c++17", "-O2", "-Xcompiler=-fPIC,-Wno-deprecated-declarations"]
    target = _object_file(source, work)
    return Step(source.name, [*plan.nvcc.command, *options, *defines, *includes, "-c", "-o", target, str(source)])


def _object_file(source: Path, work: Path) -> str:
    return str(work / f"{source.parent.name}-{source.name}.o")


def _link(plan: _Plan, target: Path, objects: list[str], options: list[str]) -> list[str]:
    # There is no device code to link.
    command = [*plan.nvcc.command, "--no-device-link", "-cudart=static", "-o", str(target), *objects]
    return [*command, *options, "-ldl"]


def _notes(plan: _Plan) -> tuple[str, ...]:
    notes = []
    if plan.parser_include is None:
        notes.append(
            f"compiled without {_PARSER_HEADER}: it loads, runs and times engines but builds none; the header is in "
            "libnvonnxparsers-dev, which JetPack has, and in github.com/onnx/onnx-tensorrt: "
            f"{option('--parser-include', 'DIR')}"
        )
    if not plan.zlib:
        notes.append("compiled without zlib: the program reads uncompressed .npz files alone, of numpy.savez")
    return tuple(notes)
