"""Q/DQ at attention nodes against the rule of each variant."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from attnexport.graph.nodes import call_site, variant_nodes


def misplaced(model: ir.Model) -> Iterator[tuple[ir.Node, str]]:
    """Attention nodes with the operands that go through Q/DQ although the variant's placement leaves them floating.

    Whatever takes part of a tensor or turns it, between a DequantizeLinear and the node, moves nothing off its grid.
    """
    for node, variant in variant_nodes(model.graph):
        if not any(map(_is_dequantized, node.inputs)):
            continue
        for name, given in call_site(variant, node).inputs.items():
            values = given if isinstance(given, tuple) else (given,)
            if name not in variant.placement.rounded and any(map(_is_dequantized, values)):
                yield node, name


_MOVES = {"Identity", "Reshape", "Transpose", "Slice", "Split", "Squeeze", "Unsqueeze", "Expand"}


def _is_dequantized(value: ir.Value | None) -> bool:
    producer = None if value is None else value.producer()
    while producer is not None and producer.op_type in _MOVES and producer.inputs[0] is not None:
        producer = producer.inputs[0].producer()
    return producer is not None and producer.op_type == "DequantizeLinear"
