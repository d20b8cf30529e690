"""The copy of a file that ModelOpt gets: layers have names that no pattern confuses, attention is written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common

from attnexport.calibration.floating import floating_model
from attnexport.calibration.layers import Layer, layers_of
from attnexport.graph.half_rules import constant_of
from attnexport.graph.writing import write_model


def name_of(position: int) -> str:
    """What the node of a layer is called in the copy, by the layer's place in the file."""
    return f"layer{position}"


def write_copy(path: Path, copy: Path) -> None:
    """Writes it.

    ModelOpt sets attention aside for TensorRT where it meets operators that it does not know, and scales weights of
    four bits along their first axis whatever a Gemm says; so functions are inlined, and weights lie by inputs.
    """
    model = floating_model(path)
    layers = list(layers_of(model))
    for position, node in enumerate(model.graph):
        node.name = f"other{position}"
    for position, layer in enumerate(layers):
        layer.node.name = name_of(position)
        if is_turned(layer):
            _turn(model, layer)
    ir.passes.common.InlinePass()(model)
    write_model(model, copy)


def is_turned(layer: Layer) -> bool:
    """Whether the copy has the layer's weight transposed."""
    return layer.node.op_type == "Gemm" and layer.output_axis == 0


def _turn(model: ir.Model, layer: Layer) -> None:
    held = constant_of(layer.weight)
    assert held is not None
    name = f"{layer.node.name}_weight"
    turned = ir.val(name, const_value=ir.Tensor(np.ascontiguousarray(held.T), name=name))
    model.graph.register_initializer(turned)
    layer.node.replace_input_with(1, turned)
    layer.node.attributes.add(ir.AttrInt64("transB", 0))
