"""Writes the precision into a float32 file, for builders that take it from there: TensorRT 10, 11 and RTX."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common

from attnexport.errors import InputError
from attnexport.graph.file_precision import NAMES, precision_of
from attnexport.graph.functions import BODY_ATTRIBUTE, attach_functions
from attnexport.graph.half_rules import EXACT, HALF, LOWEST, HalfRules, Slot, constant_of, is_mask
from attnexport.graph.metadata import PREFIX
from attnexport.graph.nodes import variant_nodes
from attnexport.messages import count, option
from attnexport.variants.descriptions import ONNX_DOMAIN

PRECISIONS = ("fp32", "fp16", "bf16")


@dataclass
class PrecisionChange:
    """What was written.

    Attributes:
        half: how many nodes compute in half.
        kept: reason to operators, with how many of each stay in float32 although they hold data.
        notes: what a user should know, one sentence each.
    """

    half: int = 0
    kept: dict[str, Counter[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kept = "; ".join(f"{_list(operators)}: {why}" for why, operators in self.kept.items())
        half = f"{count(self.half, 'node')} {'computes' if self.half == 1 else 'compute'} in half"
        return half + (f", in float32 stay {kept}" if kept else "")


def _list(operators: Counter[str]) -> str:
    """LayerNormalization x 9, or how many nodes where they are of many kinds."""
    if len(operators) > 3:
        return f"{operators.total()} nodes"
    return ", ".join(f"{name} x {count}" for name, count in operators.items())


def check_precision(model: ir.Model, precision: str) -> None:
    """Refuses a precision other than the one that a model in half holds already.

    Raises:
        InputError: naming both.
    """
    held = precision_of(model)
    if held not in ("fp32", precision):
        wanted = f"the file holds {held} already: expected none or {held}"
        raise InputError(f"{option('--precision')}: {wanted}, given {precision}")


def write_precision(model: ir.Model, precision: str) -> PrecisionChange:
    """Makes a float32 model compute in fp16 or bf16, in place; leaves one that holds the precision already as it is.

    Inputs and outputs keep their types. Weights and most operators become half; what breaks in half stays in float32
    between casts (see :mod:`attnexport.graph.half_rules`), masks become finite, and attention nodes get half inputs and
    the bodies that go with them. Q/DQ nodes stay, with scales in half from opset 19 on; before it they and the products
    of what they dequantize are float32, between casts.

    Args:
        model: with its weights, or with external data that is still beside the file.
        precision: of PRECISIONS.

    Raises:
        InputError: a model that holds another precision already, or a tensor of unknown type.
    """
    check_precision(model, precision)
    if precision == precision_of(model):
        return PrecisionChange()
    return _Rewriter(model, HALF[precision]).run()


class _Rewriter:
    """One rewriting of one model."""

    def __init__(self, model: ir.Model, half: ir.DataType) -> None:
        self._model, self._graph = model, model.graph
        self._half, self._suffix = half, f"_{half.name.lower()}"
        self._rules = HalfRules(half, model.opset_imports[""])
        self._half_nodes: set[ir.Node] = set()
        self._half_values: set[ir.Value] = set()
        self._twins: dict[ir.Value, ir.Value] = {}
        self._change = PrecisionChange()

    def run(self) -> PrecisionChange:
        ir.passes.common.LiftConstantsToInitializersPass(lift_all_constants=True)(self._model)
        if any(value.dtype is None for node in self._graph for value in node.outputs):
            ir.passes.common.ShapeInferencePass()(self._model)
        for node in self._graph:
            self._choose(node)
        for node in self._half_nodes:
            for value in node.outputs:
                if value in self._half_values:
                    value.dtype = self._half
                    if node.op_type == "Cast":
                        node.attributes["to"] = ir.AttrInt64("to", int(self._half))
        for value in self._typed_values():
            for node, position in value.uses():
                self._fit(value, node, position)
        self._keep_output_types()
        self._attach_bodies()
        ir.passes.common.RemoveUnusedNodesPass()(self._model)
        self._model.metadata_props[f"{PREFIX}precision"] = NAMES[self._half]
        self._change.half = len(self._half_nodes)
        return self._change

    def _choose(self, node: ir.Node) -> None:
        """Decides whether a node computes in half."""
        values = [value for value in (*node.inputs, *node.outputs) if value is not None]
        why = self._rules.why_float32(node)
        for value in values:
            if why is None and value.dtype is None:
                where = f"tensor {value.name} of node {node.name}"
                raise InputError(f"{option('--precision')}: {where}: expected a known type, given none")
        if why == EXACT or not any(value.dtype == ir.DataType.FLOAT for value in values):
            return
        if why is not None:
            self._change.kept.setdefault(why, Counter())[node.op_type] += 1
            return
        self._half_nodes.add(node)
        for position, value in enumerate(node.outputs):
            if value.dtype == ir.DataType.FLOAT and self._rules.output_slot(node, position) is Slot.HALF:
                self._half_values.add(value)

    def _typed_values(self) -> list[ir.Value]:
        """Every value that is or was float32, in order."""
        values = [*self._graph.inputs, *self._graph.initializers.values()]
        values += [value for node in self._graph for value in node.outputs]
        return [value for value in values if value in self._half_values or value.dtype == ir.DataType.FLOAT]

    def _fit(self, value: ir.Value, node: ir.Node, position: int) -> None:
        """Gives a node the value in the type that it wants."""
        wants_half = node in self._half_nodes and self._rules.input_slot(node, position) is Slot.HALF
        if wants_half != (value in self._half_values):
            node.replace_input_with(position, self._twin(value))

    def _twin(self, value: ir.Value) -> ir.Value:
        """The value in the other type: a second initializer, or a cast."""
        if value not in self._twins:
            array = constant_of(value)
            self._twins[value] = self._cast(value) if array is None else self._half_initializer(value, array)
        return self._twins[value]

    def _half_initializer(self, value: ir.Value, array: np.ndarray) -> ir.Value:
        if is_mask(array, self._half):
            array = np.maximum(array, LOWEST[self._half])
            self._change.notes.append(
                f"{value.name}: what {NAMES[self._half]} does not hold became {LOWEST[self._half]:g}"
            )
        tensor = ir.tensor(array.astype(self._half.numpy()), name=f"{value.name}{self._suffix}")
        twin = ir.val(tensor.name, dtype=self._half, shape=value.shape, const_value=tensor)
        self._graph.register_initializer(twin)
        return twin

    def _cast(self, value: ir.Value) -> ir.Value:
        tape = ir.tape.Tape()
        source, to = value, ir.DataType.FLOAT if value in self._half_values else self._half
        if to == self._half and self._rules.may_hide(value):
            floor = ir.val(
                f"{value.name}_lowest",
                const_value=ir.tensor(np.float32(LOWEST[self._half]), name=f"{value.name}_lowest"),
            )
            self._graph.register_initializer(floor)
            source = tape.op("Max", [value, floor])
            source.name, source.dtype, source.shape = f"{value.name}_finite", ir.DataType.FLOAT, value.shape
        twin = tape.op("Cast", [source], {"to": int(to)})
        twin.name, twin.dtype, twin.shape = f"{value.name}_as_{NAMES[to]}", to, value.shape
        for node in tape.nodes:
            node.name = f"node_{node.outputs[0].name}"
        producer = value.producer()
        if producer is None:
            self._graph.insert_before(self._graph[0], tape.nodes)
        else:
            self._graph.insert_after(producer, tape.nodes)
        return twin

    def _keep_output_types(self) -> None:
        for position, value in enumerate(self._graph.outputs):
            if value in self._half_values:
                twin, name = self._twin(value), value.name
                value.name = self._free(f"{name}{self._suffix}")
                twin.name = name
                self._graph.outputs[position] = twin

    def _free(self, name: str) -> str:
        """The name, or the next that no tensor has: layers that are half already may have taken it."""
        taken = {value.name for node in self._graph for value in node.outputs} | set(self._graph.initializers)
        names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(1)))
        return next(free for free in names if free not in taken)

    def _attach_bodies(self) -> None:
        """Replaces the function bodies by those that cast from and to half."""
        ours = variant_nodes(self._graph)
        for identifier in [identifier for identifier in self._model.functions if identifier[0] == ONNX_DOMAIN]:
            del self._model.functions[identifier]
        for node, _ in ours:
            node.attributes.pop(BODY_ATTRIBUTE, None)
        self._change.notes += attach_functions(self._model)
