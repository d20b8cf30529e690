"""Edits of a converted file, each of which plants one fault."""

from __future__ import annotations

import ast
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from attnexport.graph.functions import attach_functions
from attnexport.graph.nodes import call_site, variant_nodes
from attnexport.variants.body import CallSite
from attnexport.variants.descriptions import ONNX_DOMAIN
from attnexport.variants.registry import variant_of_op_type

Array = np.ndarray


def nodes_of(model: ir.Model, module: str, op_type: str) -> list[ir.Node]:
    """Nodes of this type that the module itself made, in order."""
    return [
        node
        for node in model.graph
        if node.op_type == op_type
        and ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))[:-1][-1:] == [module]
    ]


def attention_of(model: ir.Model, module: str) -> ir.Node:
    """The attention node of a module."""
    (node,) = (node for node, _ in variant_nodes(model.graph) if node in nodes_of(model, module, node.op_type))
    return node


def change_constant(model: ir.Model, node: ir.Node, position: int, change: Callable[[Array], Array]) -> None:
    """Gives the node a changed copy of its own of a constant input."""
    value = node.inputs[position]
    assert value is not None
    assert value.const_value is not None
    changed = change(value.const_value.numpy().copy()).astype(value.const_value.numpy().dtype)
    tensor = ir.tensor(changed, name=f"{node.name}_{position}_changed")
    copy = ir.Value(name=tensor.name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    model.graph.register_initializer(copy)
    node.replace_input_with(position, copy)


def change_weight(model: ir.Model, module: str, change: Callable[[Array], Array]) -> None:
    """Changes the weight (in, out) of a linear layer."""
    (product,) = nodes_of(model, module, "MatMul")
    change_constant(model, product, 1, change)


def change_attributes(model: ir.Model, module: str, **values: int | float) -> None:
    """Sets attributes of an attention node and writes the functions of all nodes anew, as a faulty converter would."""
    node = attention_of(model, module)
    for name, value in values.items():
        node.attributes[name] = ir.AttrInt64(name, value) if isinstance(value, int) else ir.AttrFloat32(name, value)
    for other, _ in variant_nodes(model.graph):
        other.attributes.pop("body", None)
    for identifier in [identifier for identifier in model.functions if identifier[0] == ONNX_DOMAIN]:
        del model.functions[identifier]
    assert attach_functions(model) == []


def insert(model: ir.Model, node: ir.Node, position: int, op_type: str, *more: Array, **attributes: object) -> None:
    """Puts an operator between a node and one of its inputs; ``more`` are constant inputs behind that one."""
    tape = ir.tape.Tape()
    constants = [tape.op("Constant", [], {"value": ir.tensor(array)}) for array in more]
    out = tape.op(op_type, [node.inputs[position], *constants], attributes)
    _add(model, node, tape)
    node.replace_input_with(position, out)


def see_one_more(model: ir.Model, module: str) -> None:
    """Moves every row of a causal attention node one position on, past its own: it sees the next token."""
    node = attention_of(model, module)
    lengths = _call_site(node).inputs["kv_lengths"]
    assert isinstance(lengths, ir.Value)
    tape = ir.tape.Tape()
    zero, one = (tape.op("Constant", [], {"value": ir.tensor(np.int32(number))}) for number in (0, 1))
    starts = tape.op("Add", [tape.op("Mul", [lengths, zero]), one])
    _add(model, node, tape)
    node.resize_inputs(len(node.inputs) + 1)
    node.replace_input_with(len(node.inputs) - 1, starts)
    change_attributes(model, module)


def _call_site(node: ir.Node) -> CallSite:
    variant = variant_of_op_type(node.domain, node.op_type)
    assert variant is not None
    return call_site(variant, node)


def through_half(model: ir.Model, module: str) -> None:
    """Holds the matrix product of a linear layer in float16 before the bias is added.

    ONNX Runtime takes casts to float16 and back away unless something between them needs float16.
    """
    (add,) = nodes_of(model, module, "Add")
    width = add.outputs[0].shape[-1]
    assert isinstance(width, int)
    insert(model, add, 0, "Cast", to=int(ir.DataType.FLOAT16))
    insert(model, add, 0, "Gather", np.arange(width), axis=-1)
    insert(model, add, 0, "Cast", to=int(ir.DataType.FLOAT))


def swap_inputs(node: ir.Node, first: int, second: int) -> None:
    """Swaps two inputs of a node."""
    one, other = node.inputs[first], node.inputs[second]
    node.replace_input_with(first, other)
    node.replace_input_with(second, one)


def take_weights(model: ir.Model, other: ir.Model) -> None:
    """Puts another file's constants in place of the model's, by name."""
    for name, value in model.graph.initializers.items():
        value.const_value = other.graph.initializers[name].const_value


def _add(model: ir.Model, before: ir.Node, tape: ir.tape.Tape) -> None:
    for node in tape.nodes:
        node.name = f"planted_{len(model.graph)}_{node.op_type}"
        node.outputs[0].name = f"{node.name}_out"
        model.graph.insert_before(before, node)
