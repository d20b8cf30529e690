"""Attaches to every node of ours the function body that runs it where no plugin does.

TensorRT looks functions up by name alone and wants as many formal inputs as the node has, so one function per
operator must serve every node of the model. Nodes that differ in values share a body through attribute
references; nodes whose bodies differ in structure share a function that chooses by the attribute ``body``;
nodes whose inputs differ too, by number, meaning or fixed sizes, are inlined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx
import onnx_ir as ir
import onnx_ir.passes.common

from attnexport.errors import ConversionError
from attnexport.graph.nodes import OPSET_VERSION, attribute_names, call_site, optional_attributes, variant_nodes
from attnexport.variants.body import Body, CallSite
from attnexport.variants.descriptions import DEFAULTS, ONNX_DOMAIN
from attnexport.variants.spec import Variant

BODY_ATTRIBUTE = "body"
"""Which of a function's bodies a node runs, where the model needs several."""


Inputs = Mapping[str, ir.Value | tuple[ir.Value, ...] | None]


@dataclass(frozen=True)
class WrittenBody:
    """Nodes of one body and its output, over formal inputs."""

    inputs: tuple[ir.Value, ...]
    nodes: tuple[ir.Node, ...]
    output: ir.Value


def _formal_inputs(site: CallSite) -> Inputs:
    formal: dict[str, ir.Value | tuple[ir.Value, ...] | None] = {}
    for name, value in site.inputs.items():
        if isinstance(value, tuple):
            formal[name] = tuple(ir.val(f"{name}_{index}") for index in range(len(value)))
        else:
            formal[name] = None if value is None else ir.val(name)
    return formal


def _flat(inputs: Inputs) -> Iterator[tuple[str, int, ir.Value]]:
    """The inputs that are given, each with its name and its position in a list argument."""
    for name, given in inputs.items():
        for position, value in enumerate(given if isinstance(given, tuple) else (given,)):
            if value is not None:
                yield name, position, value


def _floating_type(v: ir.Value | tuple[ir.Value, ...] | None) -> ir.DataType:
    if not isinstance(v, ir.Value) or v.dtype is None:
        raise ConversionError(f"v: expected a tensor of known type, given {v}")
    return v.dtype


def write_body(variant: Variant, site: CallSite) -> WrittenBody:
    """Writes the body of one node."""
    inputs = _formal_inputs(site)
    v = site.inputs["v"]
    is_double = _floating_type(v) == ir.DataType.DOUBLE
    body = Body(inputs, site.attributes, ir.DataType.DOUBLE if is_double else ir.DataType.FLOAT)
    wide = variant.body(body, site)
    output = body.cast(wide, _floating_type(v))
    return WrittenBody(tuple(value for *_, value in _flat(inputs)), _needed(body.nodes, output), output)


def _needed(nodes: Sequence[ir.Node], output: ir.Value) -> tuple[ir.Node, ...]:
    """The nodes that the output depends on, in order."""
    wanted = {output}
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(value for value in node.inputs if value is not None)
    return tuple(reversed(kept))


def _name_values(nodes: Sequence[ir.Node], output: ir.Value, prefix: str = "") -> None:
    for count, value in enumerate(value for node in nodes for value in node.outputs):
        value.name = f"{prefix}t{count}"
    output.name = f"{prefix}out"


def _function(
    variant: Variant,
    inputs: Sequence[ir.Value],
    nodes: Sequence[ir.Node],
    output: ir.Value,
    opset: int,
    attributes: Sequence[str],
) -> ir.Function:
    graph = ir.Graph(inputs, [output], nodes=nodes, opset_imports={"": opset}, name=variant.op_type)
    placeholders = [ir.Attr(name, ir.AttributeType.UNDEFINED, None) for name in attributes]
    return ir.Function(ONNX_DOMAIN, variant.op_type, graph=graph, attributes=placeholders)


def _single(variant: Variant, site: CallSite, opset: int) -> ir.Function:
    written = write_body(variant, site)
    _name_values(written.nodes, written.output)
    attributes = _attributes(variant, [site])
    return _function(variant, written.inputs, written.nodes, written.output, opset, attributes)


def _attributes(variant: Variant, sites: Sequence[CallSite]) -> list[str]:
    """Names of the attributes that nodes of one function have."""
    return [*attribute_names(variant), *sorted({name for site in sites for name in _own_attributes(variant, site)})]


def _own_attributes(variant: Variant, site: CallSite) -> list[str]:
    """Names of those that not every node has."""
    defaults = optional_attributes(variant)
    own = [name for name, default in defaults.items() if site.attributes[name] != default]
    return [*own, DEFAULTS] if DEFAULTS in site.attributes else own


def _choice(variant: Variant, sites: Sequence[CallSite], opset: int) -> ir.Function:
    """A function whose attribute ``body`` picks one of several bodies with the same inputs."""
    bodies = [write_body(variant, site) for site in sites]
    inputs = bodies[0].inputs
    *branches, otherwise = (_branch(written, index, inputs) for index, written in enumerate(bodies))
    tape = ir.tape.Tape()
    number = ir.Attr("value_int", ir.AttributeType.INT, None, ref_attr_name=BODY_ATTRIBUTE)
    chosen = tape.op("Constant", [], {"value_int": number})
    for index in range(len(branches) - 1, 0, -1):
        choose = ir.tape.Tape()
        output = _choose(choose, chosen, index, branches[index], otherwise)
        _name_values(choose.nodes, output, f"choice{index}_")
        otherwise = ir.Graph([], [output], nodes=choose.nodes, name=f"choice{index}")
    output = _choose(tape, chosen, 0, branches[0], otherwise)
    _name_values(tape.nodes, output)
    return _function(variant, inputs, tape.nodes, output, opset, [*_attributes(variant, sites), BODY_ATTRIBUTE])


def _branch(written: WrittenBody, index: int, inputs: Sequence[ir.Value]) -> ir.Graph:
    """One of several bodies, over the inputs of the function."""
    for own, common in zip(written.inputs, inputs, strict=True):
        ir.convenience.replace_all_uses_with(own, common)
    _name_values(written.nodes, written.output, f"body{index}_")
    return ir.Graph([], [written.output], nodes=written.nodes, name=f"body{index}")


def _choose(tape: ir.tape.Tape, chosen: ir.Value, index: int, branch: ir.Graph, otherwise: ir.Graph) -> ir.Value:
    condition = tape.op("Equal", [chosen, tape.op("Constant", [], {"value_int": index})])
    return tape.op("If", [condition], {"then_branch": branch, "else_branch": otherwise})


def _fingerprint(function: ir.Function) -> bytes:
    proto: onnx.FunctionProto = ir.serde.serialize_function(function)
    serialised: bytes = proto.SerializeToString(deterministic=True)
    return serialised


def attach_functions(model: ir.Model) -> list[str]:
    """Gives every operator of ours in the model its function and returns notes on what had to be inlined."""
    opset = model.opset_imports[""]
    notes: list[str] = []
    by_variant: dict[Variant, list[ir.Node]] = {}
    for node, variant in variant_nodes(model.graph):
        by_variant.setdefault(variant, []).append(node)
    for variant, nodes in by_variant.items():
        kept, others = _serveable(variant, nodes, opset)
        for node in others:
            inline_node(model, node, variant)
            notes.append(
                f"{node.name}: inlined, because its body and its inputs differ from those of the other "
                f"{variant.op_type} nodes and TensorRT knows one function per name"
            )
        function = _function_for(variant, kept, opset)
        model.functions[function.identifier()] = function
        model.opset_imports[ONNX_DOMAIN] = OPSET_VERSION
    return notes


def inline_all(model: ir.Model) -> list[str]:
    """Replaces every node of ours by its own body, for parsers that know no functions."""
    for node, variant in variant_nodes(model.graph):
        inline_node(model, node, variant)
    return []


def _signature(variant: Variant, site: CallSite) -> tuple[object, ...]:
    """Names and fixed sizes of a node's inputs, and what it has beside others. Runtimes infer shapes in a branch that
    is not taken, too, so that only nodes of one signature can share a choice of bodies."""
    return (
        tuple(_own_attributes(variant, site)),
        site.attributes.get(DEFAULTS),
        *(
            (name, position, tuple(size if isinstance(size, int) else None for size in value.shape or ()))
            for name, position, value in _flat(site.inputs)
        ),
    )


def _serveable(variant: Variant, nodes: Sequence[ir.Node], opset: int) -> tuple[list[ir.Node], list[ir.Node]]:
    """The nodes that one function can serve, and the others: all when they share a body and its inputs, else those
    of the most common signature."""
    sites = [call_site(variant, node) for node in nodes]
    if len({_fingerprint(_single(variant, site, opset)) for site in sites}) == 1:
        return list(nodes), []
    signatures = [_signature(variant, site) for site in sites]
    common = Counter(signatures).most_common(1)[0][0]
    kept = [node for node, signature in zip(nodes, signatures, strict=True) if signature == common]
    return kept, [node for node, signature in zip(nodes, signatures, strict=True) if signature != common]


def _function_for(variant: Variant, nodes: Sequence[ir.Node], opset: int) -> ir.Function:
    """One function that serves all these nodes; sets their ``body`` attribute where it has several bodies."""
    sites = [call_site(variant, node) for node in nodes]
    bodies = [_fingerprint(_single(variant, site, opset)) for site in sites]
    distinct = list(dict.fromkeys(bodies))
    if len(distinct) == 1:
        return _single(variant, sites[0], opset)
    for node, body in zip(nodes, bodies, strict=True):
        node.attributes[BODY_ATTRIBUTE] = ir.AttrInt64(BODY_ATTRIBUTE, distinct.index(body))
    return _choice(variant, [sites[bodies.index(body)] for body in distinct], opset)


def inline_node(model: ir.Model, node: ir.Node, variant: Variant) -> None:
    """Replaces one node of ours by its body."""
    function = _single(variant, call_site(variant, node), model.opset_imports[""])
    node.overload = function.overload = f"inline_{node.name}"
    wrapped = ir.Model(model.graph, ir_version=model.ir_version, functions=[function])
    ir.passes.common.InlinePass(lambda candidate: candidate is function)(wrapped)
