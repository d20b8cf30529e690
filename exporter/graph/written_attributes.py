"""What the attributes of attention nodes were when their bodies were written, noted beside each node.

A plugin reads a node's attributes, every other runtime its body, which holds some of them fixed. A file whose nodes
were changed afterwards would compute one thing here and another on the device.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx_ir as ir

from attnexport.graph.functions import BODY_ATTRIBUTE
from attnexport.graph.metadata import PREFIX
from attnexport.graph.nodes import variant_nodes

WRITTEN_FOR = f"{PREFIX}written_for"
"""Metadata of a node: its attributes as JSON."""


def write_attributes(model: ir.Model) -> None:
    """Notes the attributes of every attention node."""
    for node, _ in variant_nodes(model.graph):
        node.metadata_props[WRITTEN_FOR] = json.dumps(_attributes(node), sort_keys=True)


def changed_attributes(model: ir.Model) -> dict[str, str]:
    """By node, the attributes that its body was not written for, in words; nothing for nodes without a note."""
    found = {}
    for node, _ in variant_nodes(model.graph):
        try:
            written = json.loads(node.metadata_props.get(WRITTEN_FOR, "null"))
        except (ValueError, RecursionError):
            written = {}
        if isinstance(written, dict) and written != _attributes(node):
            found[str(node.name)] = _differences(written, _attributes(node))
    return found


def _attributes(node: ir.Node) -> dict[str, Any]:
    """As a file holds them: numbers in float32."""
    return {
        name: float(np.float32(attribute.value)) if isinstance(attribute.value, float) else attribute.value
        for name, attribute in node.attributes.items()
        if name != BODY_ATTRIBUTE
    }


def _differences(written: dict[str, Any], given: dict[str, Any]) -> str:
    names = [name for name in {**written, **given} if written.get(name) != given.get(name)]
    return "; ".join(f"{name}: expected {written.get(name)}, given {given.get(name)}" for name in names)
