"""``attnexport inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnexport.cli.console import debug_option, out, report_errors
from attnexport.cli.options import PATH
from attnexport.display.columns import Column, Importance, Kind
from attnexport.display.facts import Facts
from attnexport.display.tables import Table
from attnexport.display.verdicts import Outcome, Verdict
from attnexport.graph.onnx_file import check_onnx_file
from attnexport.messages import count

if TYPE_CHECKING:
    from attnexport.graph.inspection import Inspection

_NODES = (
    Column("node", Kind.NAME, Importance.NAMES_THE_ROW),
    Column("operator", Kind.NAME, Importance.MUCH),
    Column("body", Kind.NAME, Importance.MUCH),
    Column("plugin looked up", Kind.PROSE, Importance.SOME),
    Column("attributes", Kind.PROSE, Importance.SOME),
)


@click.command(name="inspect")
@click.argument("onnx_file", metavar="OUT.onnx", type=PATH)
@debug_option
@report_errors
def command(onnx_file: Path) -> None:
    """Show what is in an ONNX file: variants, plugin nodes, opset, precision, inputs, dynamic dims, size, SHA-256."""
    check_onnx_file(onnx_file)

    from attnexport.graph.inspection import inspect

    found = inspect(onnx_file)
    out().print(_facts(found))
    if found.nodes:
        out().print(_nodes(found))
    else:
        out().print("No node of attnexport: every operator is a standard one.")
    said = f"{count(len(found.nodes), 'plugin node')}, opset {found.opset}, {found.precision}"
    out().conclude(Verdict(Outcome.FOUND, str(found.path), said))


def _facts(found: Inspection) -> Facts:
    facts = Facts()
    facts.add("file", str(found.path))
    facts.add("size", f"{found.bytes:,} bytes")
    for name in found.external_data:
        facts.add("weights in", name)
    facts.add("SHA-256", found.sha256)
    facts.add("opset", f"{found.opset} (IR version {found.ir_version})")
    facts.add("precision", found.precision)
    for kind, values in (("input", found.inputs), ("output", found.outputs)):
        for name, text in values.items():
            facts.add(kind, f"{name}: {text}")
    for key, value in found.metadata.items():
        facts.add(key.replace("_", " "), value)
    facts.add("other nodes", str(found.other_nodes))
    return facts


def _nodes(found: Inspection) -> Table:
    table = Table("Plugin nodes", _NODES)
    for node in found.nodes:
        attributes = " ".join(f"{name}={value}" for name, value in node.attributes.items())
        plugin = node.plugin or "none: plugin_namespace missing"
        table.add(node.name, node.op_type, "yes" if node.has_body else "NO", plugin, attributes)
    return table
