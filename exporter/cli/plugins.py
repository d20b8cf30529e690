"""``attnexport plugins build`` and ``attnexport plugins info``."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from attnexport.cli.console import debug_option, out, report_errors

if TYPE_CHECKING:
    from attnexport.plugins.build_info import BuildInfo
    from attnexport.plugins.compiling import Progress


@click.group(name="plugins")
def command() -> None:
    """Build and inspect the library of CUDA kernels and TensorRT plugins."""


@command.command(name="build")
@click.option("--arch", "architectures", type=int, multiple=True, metavar="SM", help="87 for Orin, 90 for Hopper, … Repeatable. Default: the GPU of this machine.")  # fmt: skip  # noqa: E501
@click.option("--for", "models", type=click.Path(path_type=Path), multiple=True, metavar="MODEL.onnx", help="Instantiate only what this model uses. Repeatable.")  # fmt: skip  # noqa: E501
@click.option("--tensorrt-include", type=click.Path(path_type=Path), metavar="DIR", help="TensorRT's headers. Default: $TENSORRT_ROOT/include, else the system's.")  # fmt: skip  # noqa: E501
@click.option("--api", type=click.Choice(["auto", "v3", "v2", "none"]), default="auto", show_default=True, help="Plugin interface: v3 for TensorRT 10.3 and later and RTX, v2 for 8.x, none for the kernels alone.")  # fmt: skip  # noqa: E501
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Compilers at a time. Default: one a processor.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Where the libraries go. Default: ~/.cache/attnexport/plugins, where PyTorch finds them.")  # fmt: skip  # noqa: E501
@debug_option
@report_errors
def build_command(
    architectures: tuple[int, ...],
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
    from attnexport.plugins.building import build
    from attnexport.plugins.locations import default_folder

    if output is None:
        output = default_folder()
        output.parent.mkdir(parents=True, exist_ok=True)
    with _progress() as progress:
        result = build(
            output,
            progress=progress,
            architectures=architectures,
            models=models,
            tensorrt_include=tensorrt_include,
            api=api,
            jobs=jobs,
        )
    table = Table(title="Plugin libraries", title_justify="left")
    table.add_column("library", overflow="fold")
    table.add_column("size", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("SM")
    for library in result.libraries:
        size, seconds = f"{library.bytes / 2**20:.1f} MiB", f"{library.seconds:.0f}"
        table.add_row(str(library.path), size, seconds, _architectures(result.info))
    out().print(table)
    out().print(f"contents: {_contents(result.info)}")
    for note in result.notes:
        out().print(f"note: {note}")


@command.command(name="info")
@click.argument("library", metavar="LIB", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
@report_errors
def info_command(library: Path, as_json: bool) -> None:
    """Show the operators in a plugin library and how it was built.

    Reading a library loads it, which runs its code: give none that you did not build.
    """
    from attnexport.plugins.inspection import inspect_library

    facts = inspect_library(library)
    if as_json:
        click.echo(json.dumps(facts.as_dict(), indent=2))
        return
    summary = Table(show_header=False, box=None)
    summary.add_column(style="bold")
    summary.add_column(overflow="fold")
    summary.add_row("library", str(facts.path))
    summary.add_row("size", f"{facts.bytes / 2**20:.1f} MiB")
    summary.add_row("built by", f"attnexport {facts.info.version or '?'}, CUDA {facts.info.cuda or '?'}")
    summary.add_row("TensorRT headers", facts.info.tensorrt or "none")
    summary.add_row("plugin interface", facts.info.api or "?")
    summary.add_row("SM", _architectures(facts.info))
    summary.add_row("contents", _contents(facts.info))
    out().print(summary)
    for note in facts.notes:
        out().print(f"note: {note}")

    table = Table(title="Operators", title_justify="left")
    for heading in ("operator", "inputs", "attributes", "types"):
        table.add_column(heading, overflow="fold")
    for op in facts.ops:
        inputs = (f"{item.name}[]" if item.count_attribute else item.name for item in op.inputs)
        attributes = (f"{item.name}:{item.kind.name.lower()}" for item in op.attributes)
        table.add_row(op.name, " ".join(inputs), " ".join(attributes), " ".join(d.name.lower() for d in op.dtypes))
    out().print(table)


def _architectures(info: BuildInfo) -> str:
    machine = " ".join(str(value) for value in info.architectures) or "?"
    return machine if info.ptx is None else f"{machine} and PTX {info.ptx}"


def _contents(info: BuildInfo) -> str:
    kernels = ", ".join(info.kernels) or "?"
    width = "?" if info.max_width is None else info.max_width
    selection = "" if info.top_k is None else f", {'with' if info.top_k else 'without'} top-k"
    return f"{kernels} in {', '.join(info.dtypes) or '?'}, widths to {width}{selection}"


class _Lines:
    """A line on stderr for each file that is done; on a terminal also what is being compiled."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("compiling")
        self._running: list[str] = []

    def started(self, name: str) -> None:
        self._running.append(name)
        self._show()

    def finished(self, name: str, seconds: float) -> None:
        self._running.remove(name)
        self._console.print(f"{name}  {seconds:.0f} s")
        self._show()

    def _show(self) -> None:
        self._status.update(f"compiling {', '.join(self._running)}")

    def __enter__(self) -> _Lines:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    with _Lines(Console(file=sys.stderr, highlight=False, markup=False, emoji=False)) as lines:
        yield lines
