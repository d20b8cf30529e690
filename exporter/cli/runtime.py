"""``attnexport runtime build`` and ``attnexport runtime info``."""

from __future__ import annotations

from pathlib import Path

import click

from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.options import PATH, Group, OutputPath
from attnexport.display.facts import Facts
from attnexport.display.progress import progress
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.files.kinds import FOLDER


@click.group(name="runtime", cls=Group)
def command() -> None:
    """Compile and inspect attnrt, the C++ runtime for engines of TensorRT."""


@command.command(name="build")
@click.option("--tensorrt-include", type=PATH, metavar="DIR", help="TensorRT's headers. Default: $TENSORRT_ROOT/include, else the system's.")  # fmt: skip  # noqa: E501
@click.option("--parser-include", type=PATH, metavar="DIR", help="Folder of NvOnnxParser.h. Default: that of TensorRT's headers.")  # fmt: skip  # noqa: E501
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Compilers at a time. Default: one a processor.")
@click.option("-o", "--output", type=OutputPath(FOLDER), metavar="DIR", help="Where it goes. Default: ~/.cache/attnexport/runtime, where the backend native finds it.")  # fmt: skip  # noqa: E501
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
    with progress("compiling") as follow:
        built = build_runtime(
            output,
            progress=follow,
            tensorrt_include=tensorrt_include,
            parser_include=parser_include,
            jobs=jobs,
        )
    show_notes(built.notes)
    said = f"{built.library.name} and {built.program.name}, for {built.tensorrt}"
    out().conclude(Verdict(Outcome.WROTE, str(output), said))


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
    facts = Facts()
    facts.add("library", str(runtime.path))
    facts.add("built by", f"attnexport {runtime.info.version or '?'}, CUDA {runtime.info.cuda}")
    facts.add("TensorRT headers", runtime.info.tensorrt)
    facts.add("builds engines", "yes" if runtime.info.onnx_parser else "no, it was compiled without NvOnnxParser.h")
    facts.add("TensorRT", opened)
    facts.add("GPU", runtime.gpu() or "none")
    out().print(facts)
    out().conclude(Verdict(Outcome.FOUND, str(runtime.path), f"for {runtime.info.tensorrt}, TensorRT {opened}"))
