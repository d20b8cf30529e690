"""``attnexport inspect``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from attnexport.cli.console import debug_option, out, report_errors


@click.command(name="inspect")
@click.argument("onnx_file", metavar="OUT.onnx", type=click.Path(path_type=Path))
@debug_option
@report_errors
def command(onnx_file: Path) -> None:
    """Show what is in an ONNX file: variants, plugin nodes, opset, precision, inputs, dynamic dims, size, SHA-256."""
    from attnexport.graph.inspection import inspect

    facts = inspect(onnx_file)
    summary = Table(show_header=False, box=None)
    summary.add_column(style="bold")
    summary.add_column(overflow="fold")
    summary.add_row("file", str(facts.path))
    summary.add_row("size", f"{facts.bytes:,} bytes")
    for name in facts.external_data:
        summary.add_row("weights in", name)
    summary.add_row("SHA-256", facts.sha256)
    summary.add_row("opset", f"{facts.opset} (IR version {facts.ir_version})")
    summary.add_row("precision", facts.precision)
    for kind, values in (("input", facts.inputs), ("output", facts.outputs)):
        for name, text in values.items():
            summary.add_row(kind, f"{name}: {text}")
    for key, value in facts.metadata.items():
        summary.add_row(key.replace("_", " "), value)
    summary.add_row("other nodes", str(facts.other_nodes))
    out().print(summary)

    if not facts.nodes:
        out().print("No node of attnexport: every operator is a standard one.")
        return
    table = Table(title="Plugin nodes", title_justify="left")
    for heading in ("node", "operator", "attributes", "plugin looked up", "body"):
        table.add_column(heading, overflow="fold")
    for node in facts.nodes:
        attributes = " ".join(f"{name}={value}" for name, value in node.attributes.items())
        plugin = node.plugin or "none: plugin_namespace missing"
        table.add_row(node.name, node.op_type, attributes, plugin, "yes" if node.has_body else "NO")
    out().print(table)
