"""Emits one ONNX node of domain ``attnexport`` per variant call, straight from the torch operator's schema.

Tensors become inputs in the schema's order, static parameters become attributes of the same name, a list of
tensors becomes that many inputs and an attribute ``num_<name>``. The optional tensors come last; a node with one
has those before it too, at their defaults, so that no input is ever skipped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir
import onnxscript
from onnx.defs import OpSchema
from onnxscript import opset18

from attnexport.graph import corrections, softmax_attention
from attnexport.graph.attention_nodes import attention_nodes
from attnexport.variants.body import CallSite
from attnexport.variants.descriptions import (
    DEFAULTS,
    LATER_TENSORS,
    LENGTHS,
    MASKED_PLUGIN_VERSION,
    ONNX_DOMAIN,
    PLUGIN_VERSION,
)
from attnexport.variants.registry import all_variants
from attnexport.variants.spec import Variant

OPSET_VERSION = 1
"""Version of the ``attnexport`` operator set."""

_ATTRIBUTE_TYPES = {"int": "INT", "SymInt": "INT", "bool": "INT", "float": "FLOAT", "str": "STRING"}
_FLOATS = ["tensor(float16)", "tensor(bfloat16)", "tensor(float)", "tensor(double)"]


def count_attribute(name: str) -> str:
    """Attribute that says how many inputs a list argument takes."""
    return f"num_{name}"


def optional_attributes(variant: Variant) -> dict[str, int | float | str]:
    """Attributes that a node has only where they differ from these defaults: files of before have none of them."""
    arguments = variant.torch_op._schema.arguments
    static = [item for item in arguments if str(item.type) in _ATTRIBUTE_TYPES and item.has_default_value()]
    defaults: dict[str, Any] = {item.name: item.default_value for item in static}
    return defaults


def attribute_names(variant: Variant) -> list[str]:
    """Names of the attributes that every node has, the plugin look-up's included."""
    names = []
    for argument in variant.torch_op._schema.arguments:
        if str(argument.type) == "List[Tensor]":
            names.append(count_attribute(argument.name))
        elif str(argument.type) in _ATTRIBUTE_TYPES and not argument.has_default_value():
            names.append(argument.name)
    return [*names, "plugin_namespace", "plugin_version"]


def _schema(variant: Variant, inputs: Sequence[str], attributes: dict[str, int | float | str]) -> OpSchema:
    parameter = OpSchema.FormalParameter
    kinds = {int: OpSchema.AttrType.INT, float: OpSchema.AttrType.FLOAT, str: OpSchema.AttrType.STRING}
    return OpSchema(
        variant.op_type,
        ONNX_DOMAIN,
        OPSET_VERSION,
        inputs=[parameter(name, "L" if name in LENGTHS else "T") for name in inputs],
        outputs=[parameter("out", "T")],
        type_constraints=[("T", _FLOATS, "floating"), ("L", ["tensor(int32)"], "lengths")],
        attributes=[OpSchema.Attribute(name, kinds[type(value)], "") for name, value in attributes.items()],
    )


def _with_defaults(variant: Variant, bound: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The arguments with the optional tensors before a given one at their defaults, and the names of these."""
    optional = [item.name for item in variant.torch_op._schema.arguments if str(item.type) == "Optional[Tensor]"]
    given = [position for position, name in enumerate(optional) if bound[name] is not None]
    missing = [name for name in (optional[: given[-1]] if given else []) if bound[name] is None]
    return {**bound, **{name: _default(name, bound) for name in missing}}, missing


def _default(name: str, bound: dict[str, Any]) -> Any:
    """kv_lengths = M, q_start = M - N or kv_start = 0, int32 (B,)."""
    query = next(iter(bound.values()))
    query = query[0] if isinstance(query, (list, tuple)) else query
    value: Any = opset18.Shape(bound["v"], start=2, end=3)
    if name == "q_start":
        value = opset18.Sub(value, opset18.Shape(query, start=2, end=3))
    elif name == "kv_start":
        value = opset18.Constant(value_ints=[0])
    batch = opset18.Shape(bound["v"], start=0, end=1)
    narrow: Any = opset18.Cast(value, to=int(ir.DataType.INT32))
    return opset18.Expand(narrow, batch)


def _translation(variant: Variant) -> Callable[..., Any]:
    def translate(*args: Any, **kwargs: Any) -> Any:
        bound, missing = _with_defaults(variant, variant.bind(args, kwargs))
        optional = optional_attributes(variant)
        later = [name for name, default in optional.items() if bound[name] != default]
        bound = {name: value for name, value in bound.items() if name in later or name not in optional}
        names: list[str] = []
        inputs: list[Any] = []
        attributes: dict[str, int | float | str] = {}
        for name, value in bound.items():
            if isinstance(value, (bool, int)):
                attributes[name] = int(value)
            elif isinstance(value, (float, str)):
                attributes[name] = value
            elif isinstance(value, (list, tuple)):
                attributes[count_attribute(name)] = len(value)
                names += [f"{name}_{index}" for index in range(len(value))]
                inputs += value
            elif value is not None:
                names.append(name)
                inputs.append(value)
        version = PLUGIN_VERSION
        if later or set(LATER_TENSORS) & set(names):
            version = MASKED_PLUGIN_VERSION
            attributes |= {DEFAULTS: " ".join(missing)} if missing else {}
        attributes |= {"plugin_namespace": ONNX_DOMAIN, "plugin_version": version}
        opset = onnxscript.values.Opset(ONNX_DOMAIN, OPSET_VERSION)
        operator = onnxscript.values.Op(opset, variant.op_type, _schema(variant, names, attributes))
        return operator(*inputs, **attributes)

    return translate


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The custom_translation_table for torch.onnx.export: our operators, and what torch.onnx translates wrongly."""
    ours: dict[Callable[..., Any], Callable[..., Any]]
    ours = {variant.torch_op: _translation(variant) for variant in all_variants()}
    return ours | softmax_attention.translations() | corrections.translations()


def call_site(variant: Variant, node: ir.Node) -> CallSite:
    """Reads a node back into attributes and inputs by argument name."""
    attributes = optional_attributes(variant) | {name: item.value for name, item in node.attributes.items()}
    given = iter(node.inputs)
    inputs: dict[str, ir.Value | tuple[ir.Value, ...] | None] = {}
    for argument in variant.torch_op._schema.arguments:
        kind = str(argument.type)
        if kind == "List[Tensor]":
            count = int(attributes[count_attribute(argument.name)])
            inputs[argument.name] = tuple(value for value in itertools.islice(given, count) if value is not None)
        elif kind == "Tensor" or kind == "Optional[Tensor]":
            inputs[argument.name] = next(given, None)
    return CallSite(attributes=attributes, inputs=inputs)


def variant_nodes(graph: ir.Graph) -> list[tuple[ir.Node, Variant]]:
    """Every node of ours in the graph and its branches, in order."""
    by_type = {variant.op_type: variant for variant in all_variants()}
    return [(node, by_type[node.op_type]) for node in attention_nodes(graph)]
