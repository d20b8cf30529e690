"""Reads the ONNX file that is to be quantized."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common

from attnexport.errors import InputError
from attnexport.graph.half_rules import constant_of
from attnexport.graph.inspection import check_external_data, read_model
from attnexport.graph.quantization import check_is_qdq, quantized_precision


def floating_model(path: Path) -> ir.Model:
    """A file that is not quantized yet, with its weights in memory, those behind a Transpose transposed.

    Exporters leave a weight that several nodes read behind one, as that of a head that is the embedding too.

    Raises:
        InputError: no ONNX file, or one that holds Q/DQ nodes or integer operators.
    """
    read_model(path)
    check_external_data(path)
    model = ir.external_data.load_to_model(ir.load(path))
    check_is_qdq(model, str(path))
    precision = quantized_precision(model)
    if precision is not None:
        raise InputError(
            f"{path}: expected a file without Q/DQ nodes, given one in {precision}: quantize what it was made from"
        )
    _transpose_weights(model)
    if any(value.dtype is None for node in model.graph for value in node.outputs):
        ir.passes.common.ShapeInferencePass()(model)
    return model


def _transpose_weights(model: ir.Model) -> None:
    """Puts transposed constants in place of Transpose nodes that read constants."""
    for node in list(model.graph):
        source = node.inputs[0] if node.op_type == "Transpose" and node.domain in ("", "ai.onnx") else None
        held = None if source is None else constant_of(source)
        if source is None or held is None or node.outputs[0].is_graph_output():
            continue
        order = node.attributes.get_ints("perm", tuple(reversed(range(held.ndim))))
        name = f"{source.name}_transposed_{'_'.join(map(str, order))}"
        turned = model.graph.initializers.get(name)
        if turned is None:
            values = ir.tensor(np.ascontiguousarray(held.transpose(order)), name=name)
            turned = ir.val(name, dtype=source.dtype, shape=values.shape.numpy(), const_value=values)
            model.graph.register_initializer(turned)
        ir.convenience.replace_all_uses_with(node.outputs[0], turned)
        model.graph.remove(node, safe=True)
