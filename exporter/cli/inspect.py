"""``attnexport inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from attnexport.cli.console import debug_option, out, report_errors, summary, titled
from attnexport.cli.options import PATH


@click.command(name="inspect")
@click.argument("onnx_file", metavar="OUT.onnx", type=PATH)
@debug_option
@report_errors
def command(onnx_file: Path) -> None:
    """Show what is in an ONNX file: variants, plugin nodes, opset, precision, inputs, dynamic dims, size, SHA-256."""
    from attnexport.graph.inspection import inspect

    facts = inspect(onnx_file)
    shown = summary()
    shown.add_row("file", str(facts.path))
    shown.add_row("size", f"{facts.bytes:,} bytes")
    for name in facts.external_data:
        shown.add_row("weights in", name)
    shown.add_row("SHA-256", facts.sha256)
    shown.add_row("opset", f"{facts.opset} (IR version {facts.ir_version})")
    shown.add_row("precision", facts.precision)
    for kind, values in (("input", facts.inputs), ("output", facts.outputs)):
        for name, text in values.items():
            shown.add_row(kind, f"{name}: {text}")
    for key, value in facts.metadata.items():
        shown.add_row(key.replace("_", " "), value)
    shown.add_row("other nodes", str(facts.other_nodes))
    out().print(shown)

    if not facts.nodes:
        out().print("No node of attnexport: every operator is a standard one.")
        return
    table = titled("Plugin nodes", "node", "operator", "attributes", "plugin looked up", "body")
    for node in facts.nodes:
        attributes = " ".join(f"{name}={value}" for name, value in node.attributes.items())
        plugin = node.plugin or "none: plugin_namespace missing"
        table.add_row(node.name, node.op_type, attributes, plugin, "yes" if node.has_body else "NO")
    out().print(table)
