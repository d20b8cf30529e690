"""The nodes of domain ``attnexport`` in a graph, found without torch."""

from __future__ import annotations

import onnx_ir as ir

from attnexport.variants.descriptions import ONNX_DOMAIN, descriptions


def attention_nodes(graph: ir.Graph) -> list[ir.Node]:
    """Every node of a variant in the graph and its branches, in order."""
    ours = {variant.op_type for variant in descriptions()}
    nodes = ir.traversal.RecursiveGraphIterator(graph)
    return [node for node in nodes if node.domain == ONNX_DOMAIN and node.op_type in ours]
