"""``attnexport plugins build`` and ``attnexport plugins info``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.options import PATH, Choice, Group, OutputPath
from attnexport.display.amounts import size
from attnexport.display.columns import Column, Importance, Kind
from attnexport.display.facts import Facts
from attnexport.display.progress import progress
from attnexport.display.tables import Table
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.errors import InputError
from attnexport.files.kinds import FOLDER
from attnexport.graph.onnx_file import check_onnx_file
from attnexport.messages import count
from attnexport.targets import find_target

if TYPE_CHECKING:
    from attnexport.plugins.building.libraries import BuildResult
    from attnexport.plugins.calling.build_info import BuildInfo
    from attnexport.plugins.calling.inspection import LibraryFacts

_LIBRARIES = (
    Column("library", Kind.PROSE, Importance.NAMES_THE_ROW),
    Column("size", Kind.NUMBER, Importance.MUCH),
    Column("seconds", Kind.NUMBER, Importance.MUCH),
    Column("SM", Kind.NAME, Importance.MUCH),
)
_OPERATORS = (
    Column("operator", Kind.NAME, Importance.NAMES_THE_ROW),
    Column("types", Kind.PROSE, Importance.SOME),
    Column("inputs", Kind.PROSE, Importance.SOME),
    Column("attributes", Kind.PROSE, Importance.LITTLE),
)


@click.group(name="plugins", cls=Group)
def command() -> None:
    """Build and inspect the library of CUDA kernels and TensorRT plugins."""


@command.command(name="build")
@click.option("--arch", "architectures", type=int, multiple=True, metavar="SM", help="87 for Orin, 90 for Hopper, … Repeatable. Default: the GPU of this machine.")  # fmt: skip  # noqa: E501
@click.option("--target", metavar="NAME", help="The device the library is for, as jetson-orin-jp6.2, in place of --arch and --api.")  # fmt: skip  # noqa: E501
@click.option("--for", "models", type=PATH, multiple=True, metavar="MODEL.onnx", help="Instantiate only what this model uses. Repeatable.")  # fmt: skip  # noqa: E501
@click.option("--tensorrt-include", type=PATH, metavar="DIR", help="TensorRT's headers. Default: $TENSORRT_ROOT/include, else the system's.")  # fmt: skip  # noqa: E501
@click.option("--api", type=Choice(["auto", "v3", "v2", "none"]), default="auto", show_default=True, help="Plugin interface: v3 for TensorRT 10.3 and later and RTX, v2 for 8.x, none for the kernels alone.")  # fmt: skip  # noqa: E501
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Compilers at a time. Default: one a processor.")
@click.option("-o", "--output", type=OutputPath(FOLDER), metavar="DIR", help="Where the libraries go. Default: ~/.cache/attnexport/plugins, where PyTorch finds them.")  # fmt: skip  # noqa: E501
@debug_option
@report_errors
def build_command(
    architectures: tuple[int, ...],
    target: str | None,
    models: tuple[Path, ...],
    tensorrt_include: Path | None,
    api: str,
    jobs: int | None,
    output: Path | None,
) -> None:
    """Compile the plugin library with nvcc.

    Writes libattnexport_plugins.so, which TensorRT loads, and libattnexport_plugins_static.so for hosts that dlopen
    plugins; for TensorRT 8.x libattnexport_plugins_v2.so; with --api none libattnexport_kernels.so, for PyTorch
    without TensorRT. What the compilers said is in build.log.
    """
    if target is not None:
        architectures, api = _for_target(target, architectures, api)
    for model in models:
        check_onnx_file(model)

    from attnexport.files.private_folder import make_private
    from attnexport.plugins.building.libraries import build
    from attnexport.plugins.building.locations import default_folder

    if output is None:
        output = default_folder()
        make_private(output.parent)
    with progress("compiling") as follow:
        result = build(
            output,
            progress=follow,
            architectures=architectures,
            models=models,
            tensorrt_include=tensorrt_include,
            api=api,
            jobs=jobs,
        )
    out().print(_libraries(result))
    out().print(f"contents: {_contents(result.info)}")
    show_notes(result.notes)
    seconds = max(library.seconds for library in result.libraries)
    said = f"{count(len(result.libraries), 'file')} for SM {_architectures(result.info)}, in {seconds:.0f} s"
    out().conclude(Verdict(Outcome.WROTE, str(output), said))


@command.command(name="info")
@click.argument("library", metavar="LIB", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
@report_errors
def info_command(library: Path, as_json: bool) -> None:
    """Show the operators in a plugin library and how it was built.

    Reading a library loads it, which runs its code: give none that you did not build.
    """
    from attnexport.plugins.calling.inspection import inspect_library

    facts = inspect_library(library)
    if as_json:
        click.echo(json.dumps(facts.as_dict(), indent=2))
        return
    out().print(_facts(facts))
    show_notes(facts.notes)
    out().print(_operators(facts))
    said = f"{count(len(facts.ops), 'operator')} for SM {_architectures(facts.info)}"
    out().conclude(Verdict(Outcome.FOUND, str(facts.path), said))


def _libraries(built: BuildResult) -> Table:
    table = Table("Plugin libraries", _LIBRARIES)
    for library in built.libraries:
        table.add(str(library.path), size(library.bytes), f"{library.seconds:.0f}", _architectures(built.info))
    return table


def _facts(found: LibraryFacts) -> Facts:
    info, facts = found.info, Facts()
    facts.add("library", str(found.path))
    facts.add("size", size(found.bytes))
    facts.add("built by", f"attnexport {info.version or '?'}, CUDA {info.cuda or '?'}")
    facts.add("TensorRT headers", info.tensorrt or "none")
    facts.add("plugin interface", info.api or "?")
    facts.add("SM", _architectures(info))
    facts.add("contents", _contents(info))
    return facts


def _operators(found: LibraryFacts) -> Table:
    table = Table("Operators", _OPERATORS)
    for op in found.ops:
        inputs = (f"{item.name}[]" if item.count_attribute else item.name for item in op.inputs)
        attributes = (f"{item.name}:{item.kind.name.lower()}" for item in op.attributes)
        table.add(op.name, " ".join(d.name.lower() for d in op.dtypes), " ".join(inputs), " ".join(attributes))
    return table


def _for_target(name: str, architectures: tuple[int, ...], api: str) -> tuple[tuple[int, ...], str]:
    """The architectures and the plugin interface of a target; an --api of none stays."""
    target = find_target(name)
    if target.plugin_api is None:
        raise InputError(f"--target: the kernels do not run on SM {target.sms[0]} of {name}")
    if architectures:
        raise InputError(f"--arch: expected none with --target {name}, which is SM {' '.join(map(str, target.sms))}")
    if api not in ("auto", "none", target.plugin_api):
        raise InputError(f"--api: expected {target.plugin_api} for target {name}, given {api}")
    return target.sms, api if api == "none" else target.plugin_api


def _architectures(info: BuildInfo) -> str:
    machine = " ".join(str(value) for value in info.architectures) or "?"
    return machine if info.ptx is None else f"{machine} and PTX {info.ptx}"


def _contents(info: BuildInfo) -> str:
    kernels = ", ".join(info.kernels) or "?"
    width = "?" if info.max_width is None else info.max_width
    hopper = f"; Hopper's own instructions: {', '.join(info.hopper)}" if info.hopper else ""
    selection = "" if info.top_k is None else f", {'with' if info.top_k else 'without'} top-k"
    return f"{kernels} in {', '.join(info.dtypes) or '?'}, widths to {width}{selection}{hopper}"
