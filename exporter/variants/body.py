"""Writes the ONNX function body of a variant with operators that mean the same from opset 17 on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from attnexport.variants.descriptions import DEFAULTS

HIDDEN_SCORE = -1.0e30
"""Score of a key that a row must not see: finite, and exp(HIDDEN_SCORE - max) is exactly zero."""

Operand = ir.Value | int | float


@dataclass(frozen=True)
class CallSite:
    """What is known of one node before it runs: its attributes, and its inputs' types and shapes.

    Attributes:
        attributes: the node's own attributes by name (int, float or str).
        inputs: per argument name, the value given there, a tuple of values for a list argument, or None.
    """

    attributes: Mapping[str, int | float | str]
    inputs: Mapping[str, ir.Value | tuple[ir.Value, ...] | None]

    def dim(self, name: str, axis: int) -> int | str | None:
        """Size of an input's axis: an int, a symbol's name, or None when unknown."""
        value = self.inputs[name]
        if isinstance(value, tuple):
            value = value[0]
        if value is None or value.shape is None:
            return None
        size = value.shape[axis]
        return size if isinstance(size, int) else size.value

    def flag(self, name: str) -> bool:
        """A boolean attribute."""
        return bool(self.attributes[name])

    def integer(self, name: str) -> int:
        """An int attribute that decides the body's structure."""
        return int(self.attributes[name])


class Body:
    """A function body under construction.

    Numbers given as operands become constants: ints int64, floats of the compute type.

    Args:
        inputs: the function's formal inputs by argument name, a tuple for a list argument.
        attributes: the node's attributes.
        compute_type: the floating type that scores and sums are held in (FLOAT, or DOUBLE for double models).
    """

    def __init__(
        self,
        inputs: Mapping[str, ir.Value | tuple[ir.Value, ...] | None],
        attributes: Mapping[str, int | float | str],
        compute_type: ir.DataType,
    ) -> None:
        self._inputs = inputs
        self._values = attributes
        self._tape = ir.tape.Tape()
        self._constants: dict[tuple[str, bytes, tuple[int, ...]], ir.Value] = {}
        self._references: dict[str, ir.Value] = {}
        self.compute_type = compute_type

    @property
    def nodes(self) -> Sequence[ir.Node]:
        """The nodes written so far, in order."""
        return self._tape.nodes

    def tensor(self, name: str) -> ir.Value:
        """The formal input of that argument name."""
        value = self._inputs[name]
        if not isinstance(value, ir.Value):
            raise TypeError(f"{name} is not a single tensor")
        return value

    def optional(self, name: str) -> ir.Value | None:
        """The formal input of that argument name, or None when the call leaves it out or at its default."""
        if self._inputs.get(name) is None or name in str(self._values.get(DEFAULTS, "")).split():
            return None
        return self.tensor(name)

    def tensors(self, name: str) -> tuple[ir.Value, ...]:
        """The formal inputs of a list argument."""
        value = self._inputs[name]
        if not isinstance(value, tuple):
            raise TypeError(f"{name} is not a list of tensors")
        return value

    def op(self, op_type: str, *inputs: Operand | None, **attributes: int | float | str | list[int]) -> ir.Value:
        """Adds a node of the default domain with one output and returns that output."""
        return self._tape.op(op_type, [self._operand(value) for value in inputs], attributes)

    def ops(
        self, op_type: str, *inputs: Operand | None, outputs: int, **attributes: int | float | str | list[int]
    ) -> Sequence[ir.Value]:
        """Adds a node of the default domain with several outputs and returns them."""
        operands = [self._operand(value) for value in inputs]
        return self._tape.op_multi_out(op_type, operands, attributes, num_outputs=outputs)

    def _operand(self, value: Operand | None) -> ir.Value | None:
        if value is None or isinstance(value, ir.Value):
            return value
        return self.integer(value) if isinstance(value, int) else self.real(value)

    def constant(self, array: np.ndarray) -> ir.Value:
        """A constant tensor; equal constants are written once."""
        key = (str(array.dtype), array.tobytes(), array.shape)
        if key not in self._constants:
            self._constants[key] = self._tape.op("Constant", [], {"value": ir.tensor(array)})
        return self._constants[key]

    def integer(self, value: int) -> ir.Value:
        """An int64 scalar constant."""
        return self.constant(np.asarray(value, dtype=np.int64))

    def ints(self, values: Sequence[int]) -> ir.Value:
        """An int64 vector constant."""
        return self.constant(np.asarray(values, dtype=np.int64))

    def real(self, value: float) -> ir.Value:
        """A scalar constant of the compute type."""
        return self.constant(np.asarray(value, dtype=self.compute_type.numpy()))

    def int_attribute(self, name: str) -> ir.Value:
        """The node's int attribute as an int64 scalar, so that nodes with other values share this body."""
        return self._attribute(name, "value_int", ir.AttributeType.INT)

    def float_attribute(self, name: str) -> ir.Value:
        """The node's float attribute as a scalar of the compute type.

        In double models it is a constant, since ONNX holds attributes in single precision.
        """
        if self.compute_type == ir.DataType.DOUBLE:
            return self.real(float(self._values[name]))
        return self._attribute(name, "value_float", ir.AttributeType.FLOAT)

    def _attribute(self, name: str, kind: str, attribute_type: ir.AttributeType) -> ir.Value:
        if name not in self._references:
            reference = ir.Attr(kind, attribute_type, None, ref_attr_name=name)
            self._references[name] = self._tape.op("Constant", [], {kind: reference})
        return self._references[name]

    def cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """The value converted to dtype."""
        return self.op("Cast", value, to=int(dtype))

    def compute(self, value: ir.Value) -> ir.Value:
        """The value converted to the compute type."""
        return self.cast(value, self.compute_type)

    def dim(self, value: ir.Value, axis: int) -> ir.Value:
        """Size of a non-negative axis as an int64 scalar."""
        return self.op("Squeeze", self.op("Shape", value, start=axis, end=axis + 1), self.ints([0]))

    def arange(self, stop: ir.Value) -> ir.Value:
        """0 .. stop - 1, int64."""
        return self.op("Range", 0, stop, 1)

    def vector(self, *sizes: Operand) -> ir.Value:
        """An int64 vector put together from scalars, for Reshape and Expand."""
        parts = [self.op("Reshape", size, self.ints([1])) for size in sizes]
        return self.op("Concat", *parts, axis=0)

    def reshape(self, value: ir.Value, *sizes: Operand) -> ir.Value:
        """Reshape to sizes that are ints (0 copies the axis, -1 infers it) or int64 scalars."""
        if all(isinstance(size, int) for size in sizes):
            return self.op("Reshape", value, self.ints([int(size) for size in sizes]))  # type: ignore[arg-type]
        return self.op("Reshape", value, self.vector(*sizes))

    def transpose(self, value: ir.Value, *axes: int) -> ir.Value:
        """The value with its axes in this order."""
        return self.op("Transpose", value, perm=list(axes))

    def unsqueeze(self, value: ir.Value, *axes: int) -> ir.Value:
        """The value with axes of size one inserted."""
        return self.op("Unsqueeze", value, self.ints(axes))

    def sum(self, value: ir.Value, axis: int, *, keepdims: bool = True) -> ir.Value:
        """Sum over one axis."""
        return self.op("ReduceSum", value, self.ints([axis]), keepdims=int(keepdims))

    def hide(self, value: ir.Value, mask: ir.Value | None, hidden: float) -> ir.Value:
        """The value where the mask is true, hidden elsewhere; the value itself when there is no mask."""
        return value if mask is None else self.op("Where", mask, value, hidden)
