"""Builds the plugin libraries from the sources with nvcc."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attnexport.display.progress import Progress, unheard
from attnexport.errors import InputError
from attnexport.files.outputs import check_output
from attnexport.messages import option
from attnexport.plugins.building.architectures import HOPPER_CODE, choose_architectures, compiles_hopper, gencode
from attnexport.plugins.building.compiling import Compiler, Step, compiling_into, default_jobs, object_name
from attnexport.plugins.building.selection import Selection, select_for
from attnexport.plugins.building.sources import APIS, Recipe, Sources
from attnexport.plugins.building.tensorrt_headers import TensorRtHeaders, choose_api, find_headers
from attnexport.plugins.building.toolchain import Nvcc, find_nvcc
from attnexport.plugins.calling.build_info import BuildInfo
from attnexport.version import __version__

LOG_NAME = "build.log"


@dataclass(frozen=True)
class BuiltLibrary:
    """A library that was written.

    Attributes:
        path: the file.
        bytes: its size.
        seconds: from the build's start until the library was there.
    """

    path: Path
    bytes: int
    seconds: float


@dataclass(frozen=True)
class BuildResult:
    """What a build wrote.

    Attributes:
        libraries: the files, the main one first.
        info: what was built, as the libraries say it themselves.
        notes: what a user may want to know, a line each.
    """

    libraries: tuple[BuiltLibrary, ...]
    info: BuildInfo
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """Everything decided before the first compiler runs."""

    sources: Sources
    nvcc: Nvcc
    headers: TensorRtHeaders | None
    recipes: tuple[Recipe, ...]
    selection: Selection
    info: BuildInfo


def build(
    output: str | os.PathLike[str],
    *,
    progress: Progress = unheard,
    architectures: Sequence[int] = (),
    models: Sequence[Path] = (),
    tensorrt_include: Path | None = None,
    api: str = "auto",
    jobs: int | None = None,
    sources: Sources | None = None,
) -> BuildResult:
    """Builds the libraries of one plugin interface into a folder.

    Args:
        output: the folder; made where its parent exists. Beside the libraries it gets build.log.
        progress: is told what is compiled, and the share that is done. Default: nobody is.
        architectures: compute capabilities as 87. Default: the GPU of this machine.
        models: ONNX files; only what they use is instantiated. Default: everything is.
        tensorrt_include: folder of TensorRT's headers. Default: $TENSORRT_ROOT/include, else the system's.
        api: v3, v2, auto (by the headers' version), or none for the kernels without TensorRT. Default: auto.
        jobs: compilers at a time. Default: one a processor.
        sources: the sources' folder. Default: this package's.

    Raises:
        InputError: an option that cannot be served, or a folder that cannot be written.
        CompileError: a compiler failed; its full log is in the folder's build.log.
    """
    folder = Path(output)
    check_folder(folder)
    plan = _plan(__version__, architectures, models, tensorrt_include, api, sources or Sources())
    compiler = Compiler(progress, jobs or default_jobs())
    start = time.time()
    with compiling_into(folder, plan.recipes[0].file_name, LOG_NAME, compiler) as (work, staging):
        _compile(plan, compiler, work, staging)
    libraries = []
    for recipe in plan.recipes:
        facts = (folder / recipe.file_name).stat()
        libraries.append(BuiltLibrary(folder / recipe.file_name, facts.st_size, facts.st_mtime - start))
    return BuildResult(tuple(libraries), plan.info, plan.selection.notes)


def check_folder(folder: Path) -> None:
    """Refuses a folder that neither is there nor can be made, or cannot be written into.

    Raises:
        InputError: naming it.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: expected a folder for the libraries, given a file")
    check_output(folder / LOG_NAME if folder.is_dir() else folder)


def _plan(
    version: str,
    architectures: Sequence[int],
    models: Sequence[Path],
    include: Path | None,
    api: str,
    sources: Sources,
) -> _Plan:
    if api not in ("auto", *APIS):
        raise InputError(f"{option('--api')}: expected auto, {', '.join(APIS)}, given {api!r}")
    nvcc = find_nvcc()
    chosen = choose_architectures(architectures, nvcc)
    headers = None
    if api != "none":
        headers = find_headers(include)
        api = choose_api(api, headers)
    recipes = sources.recipes(api)
    selection = Selection(sources.kernel_names)
    if models:
        selection = select_for(models, sources.kernel_names)
    info = BuildInfo(
        version=version,
        api=api,
        cuda=nvcc.cuda,
        architectures=chosen,
        ptx=max(chosen),
        kernels=selection.kernels,
        dtypes=selection.dtypes,
        max_width=selection.max_width,
        top_k=selection.top_k,
        tensorrt=None if headers is None else headers.name,
        hopper=_hopper_kernels(selection, sources) if compiles_hopper(chosen, nvcc) else (),
    )
    return _Plan(sources, nvcc, headers, recipes, selection, info)


def _hopper_kernels(selection: Selection, sources: Sources) -> tuple[str, ...]:
    return tuple(name for name in selection.kernels if sources.hopper_kernel(name) is not None)


def _compile(plan: _Plan, compiler: Compiler, work: Path, staging: Path) -> None:
    """Compiles the objects into ``work`` and links the libraries into ``staging``."""
    described = work / "build_info.h"
    described.write_text(plan.info.define)
    kernels = [plan.sources.kernel(name) for name in plan.selection.kernels]
    hopper = [path for name in plan.info.hopper if (path := plan.sources.hopper_kernel(name)) is not None]
    adapters = sorted({plan.sources.adapter(name) for recipe in plan.recipes for name in recipe.adapters})
    compiler.run(
        [
            # Kernels first: they take longest.
            *(
                _object(plan, source, work, [*gencode(plan.info.architectures), *plan.selection.defines])
                for source in kernels
            ),
            *(_object(plan, source, work, [HOPPER_CODE, "-DNDEBUG", *plan.selection.defines]) for source in hopper),
            _object(plan, plan.sources.registry, work, ["-include", str(described)]),
            *(_object(plan, source, work, _header_options(plan)) for source in adapters),
        ]
    )
    shared = [plan.sources.registry, *kernels, *hopper]
    compiler.run([_link(plan, recipe, shared, work, staging) for recipe in plan.recipes])


def _link(plan: _Plan, recipe: Recipe, shared: Sequence[Path], work: Path, staging: Path) -> Step:
    sources = [*shared, *(plan.sources.adapter(name) for name in recipe.adapters)]
    objects = [str(work / object_name(source)) for source in sources]
    script = plan.sources.adapter(recipe.version_script)
    options = ["-shared", f"-Xlinker=--version-script={script}", "-Xlinker=-z,defs"]
    if recipe.stays_loaded:
        options.append("-Xlinker=-z,nodelete")
    # Without architectures the linker's own device code would be for nvcc's oldest one.
    command = [
        *_nvcc(plan),
        *gencode(plan.info.architectures),
        *options,
        "-o",
        str(staging / recipe.file_name),
        *objects,
        "-ldl",
    ]
    return Step(recipe.file_name, command)


def _object(plan: _Plan, source: Path, work: Path, options: Sequence[str]) -> Step:
    command = [*_nvcc(plan), *plan.sources.include_options, *options]
    name = f"sm90/{source.name}" if source.parent.name == "sm90" else source.name
    return Step(name, [*command, "-c", "-o", str(work / object_name(source)), str(source)])


def _nvcc(plan: _Plan) -> list[str]:
    return [*plan.nvcc.command, "-std=c++17", "-O3", "-cudart=static", "-Xcompiler=-fPIC"]


def _header_options(plan: _Plan) -> list[str]:
    if plan.headers is None:
        return []
    # The interfaces of older releases are deprecated in newer headers.
    return ["-isystem", str(plan.headers.include), "-Xcompiler=-Wno-deprecated-declarations"]
