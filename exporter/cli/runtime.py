"""``attnexport runtime build`` and ``attnexport runtime info``."""

from __future__ import annotations

from pathlib import Path

import click

from attnexport.cli.compile_progress import CompileProgress
from attnexport.cli.console import debug_option, out, report_errors, show_notes, summary
from attnexport.cli.options import PATH


@click.group(name="runtime")
def command() -> None:
    """Compile and inspect attnrt, the C++ runtime for engines of TensorRT."""


@command.command(name="build")
@click.option("--tensorrt-include", type=PATH, metavar="DIR", help="TensorRT's headers. Default: $TENSORRT_ROOT/include, else the system's.")  # fmt: skip  # noqa: E501
@click.option("--parser-include", type=PATH, metavar="DIR", help="Folder of NvOnnxParser.h. Default: that of TensorRT's headers.")  # fmt: skip  # noqa: E501
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Compilers at a time. Default: one a processor.")
@click.option("-o", "--output", type=PATH, metavar="DIR", help="Where it goes. Default: ~/.cache/attnexport/runtime, where the backend native finds it.")  # fmt: skip  # noqa: E501
@debug_option
@report_errors
def build_command(
    tensorrt_include: Path | None, parser_include: Path | None, jobs: int | None, output: Path | None
) -> None:
    """Compile attnrt with nvcc and g++, on the device that it is for.

    Writes libattnrt.so, which the backend native uses, and the program attnrt. Both open TensorRT when they run, of
    the major version of the headers. What the compilers said is in runtime.log.
    """
    from attnexport.files.private_folder import make_private
    from attnexport.plugins.building.locations import cache_folder
    from attnexport.plugins.runtime.building import build_runtime

    if output is None:
        output = cache_folder("runtime")
        make_private(output.parent)
    with CompileProgress() as progress:
        built = build_runtime(
            output,
            progress=progress,
            tensorrt_include=tensorrt_include,
            parser_include=parser_include,
            jobs=jobs,
        )
    out().print(f"{built.library} and {built.program}, for {built.tensorrt}")
    show_notes(built.notes)


@command.command(name="info")
@click.option("--tensorrt", type=PATH, metavar="DIR", help="Folder of libnvinfer.so. Default: $ATTNEXPORT_TENSORRT, else where the loader finds it.")  # fmt: skip  # noqa: E501
@debug_option
@report_errors
def info_command(tensorrt: Path | None) -> None:
    """Show the runtime, and whether TensorRT and a GPU are there."""
    from attnexport.errors import BackendError
    from attnexport.plugins.runtime.runtime import Runtime, find_runtime

    runtime = Runtime(find_runtime())
    try:
        opened = runtime.open_tensorrt(tensorrt).version
    except BackendError as error:
        opened = f"none: {error}"
    shown = summary()
    shown.add_row("library", str(runtime.path))
    shown.add_row("built by", f"attnexport {runtime.info.version or '?'}, CUDA {runtime.info.cuda}")
    shown.add_row("TensorRT headers", runtime.info.tensorrt)
    shown.add_row("builds engines", "yes" if runtime.info.onnx_parser else "no, it was compiled without NvOnnxParser.h")
    shown.add_row("TensorRT", opened)
    shown.add_row("GPU", runtime.gpu() or "none")
    out().print(shown)
