"""Which nodes of a float32 graph stay in float32 when the rest computes in half, and why."""

from __future__ import annotations

import enum
import re
from typing import Any

import numpy as np
import onnx.defs
import onnx_ir as ir
from numpy.typing import NDArray

from attnexport.variants.descriptions import ONNX_DOMAIN

_BREAKS = {
    "a norm's variance leaves the range of fp16 where values pass 255": """
        BatchNormalization GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization
        MeanVarianceNormalization RMSNormalization
        """,
    "a sum leaves the range of fp16 and drops what is below 1/2048 of it": """
        CumSum Mean ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMean ReduceProd ReduceSum ReduceSumSquare
        """,
    "an exponential leaves the range of fp16 above 11": "Cosh Exp Log LogSoftmax Sinh Softmax Softplus",
    "a power leaves the range of fp16, a square already above 255": "Pow Reciprocal Sqrt",
    "the error of a large angle is the error of its sine": "Cos Sin Tan",
}
_WHY = {op_type: why for why, op_types in _BREAKS.items() for op_type in op_types.split()}
_CONTRACTIONS = {"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"}
_LOOK_UPS = {"Gather", "GatherElements", "GatherND"}
_NEW_VALUES = {"Cast", "CastLike", "ConstantOfShape", "EyeLike", "RandomNormal", "RandomUniform", "Range"}
_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}
_PRODUCTS = {"Conv", "Gemm", "MatMul"}
_SCALE_ERROR = 2.0**-8
"""Largest relative error of a scale in half: that of bfloat16, and of int8 at the largest value."""
_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
_BODY_OPERATOR = re.compile(r"'attnexport\.\w+\.default'\]$")

HALF = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}

EXACT = "it is computed from integers and constants"

LOWEST = {ir.DataType.FLOAT16: -16376.0, ir.DataType.BFLOAT16: -(2.0**125)}
"""What hides a score: a quarter of the lowest number, so that masks and scores add up to something finite."""

_SMALLEST_NORMAL = {ir.DataType.FLOAT16: 2.0**-14, ir.DataType.BFLOAT16: 2.0**-126}


class Slot(enum.Enum):
    """What a float32 input or output of an operator may become."""

    HALF = enum.auto()
    FLOAT32 = enum.auto()
    NO_HALF = enum.auto()


class HalfRules:
    """Decides node by node, in the graph's order, which stay in float32.

    Args:
        half: FLOAT16 or BFLOAT16.
        opset: of the default domain.
    """

    def __init__(self, half: ir.DataType, opset: int) -> None:
        self.half = half
        self._opset = opset
        self._exact: set[ir.Value] = set()
        self._hiding: set[ir.Value] = set()
        self._dequantized_wide: set[ir.Value] = set()

    def why_float32(self, node: ir.Node) -> str | None:
        """Why the node stays in float32, or None where it computes in half."""
        if node.domain == ONNX_DOMAIN:
            return None
        if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type, self._opset):
            return "it is no operator of the ONNX standard"
        if _BODY_OPERATOR.search(node.metadata_props.get("pkg.torch.onnx.class_hierarchy", "")):
            return "the body of an attention operator computes in float32"
        if any(attribute.type in _GRAPHS for attribute in node.attributes.values()):
            return "it holds graphs"
        floats = [value for value in node.inputs if value is not None and value.dtype == ir.DataType.FLOAT]
        if node.op_type in _QUANTIZERS:
            return self._why_quantizer_float32(node, floats)
        if node.op_type in _PRODUCTS and self._is_rounded_wide(node):
            return "what it multiplies is dequantized to float32"
        if self._note_exact(node, floats):
            return EXACT
        if node.op_type in _WHY:
            return _WHY[node.op_type]
        if node.op_type == "Mul" and node.inputs[0] is node.inputs[1]:
            return _WHY["Pow"]
        if any(self._is_lost(value) for value in floats):
            return f"{self.half.name.lower()} does not hold one of its constants"
        return self._why_not_half(node, floats)

    def input_slot(self, node: ir.Node, position: int) -> Slot:
        """What a float32 input of the node may become."""
        return self._slot(node, position, "inputs")

    def output_slot(self, node: ir.Node, position: int) -> Slot:
        """What a float32 output of the node becomes when its inputs do."""
        return self._slot(node, position, "outputs")

    def may_hide(self, value: ir.Value) -> bool:
        """Whether a value that is computed from integers and constants may hold a mask beyond half's range."""
        return value in self._hiding

    def _why_not_half(self, node: ir.Node, floats: list[ir.Value]) -> str | None:
        slots = [self.input_slot(node, position) for position, value in enumerate(node.inputs) if value in floats]
        return self._lacks_half if Slot.NO_HALF in slots else None

    @property
    def _lacks_half(self) -> str:
        return f"opset {self._opset} has no {self.half.name.lower()} of it"

    def _why_quantizer_float32(self, node: ir.Node, floats: list[ir.Value]) -> str | None:
        """A scale that half does not hold nearly moves every value with it."""
        scale = None if node.inputs[1] is None else constant_of(node.inputs[1])
        why = self._why_not_half(node, floats)
        if node.op_type == "DequantizeLinear" and self.output_slot(node, 0) is not Slot.HALF:
            why = self._lacks_half
        if why is None and scale is not None and _scale_error(scale, self.half) > _SCALE_ERROR:
            why = f"{self.half.name.lower()} does not hold one of its scales"
        if why is not None and node.op_type == "DequantizeLinear":
            self._dequantized_wide.update(node.outputs)
        return why

    def _is_rounded_wide(self, node: ir.Node) -> bool:
        """Whether both operands are dequantized, one of them to float32: a cast between would be in TensorRT's way."""
        operands = [value.producer() if value is not None else None for value in node.inputs[:2]]
        if not all(producer is not None and producer.op_type == "DequantizeLinear" for producer in operands):
            return False
        return any(value in self._dequantized_wide for value in node.inputs[:2])

    def _slot(self, node: ir.Node, position: int, side: str) -> Slot:
        if node.domain == ONNX_DOMAIN:
            return Slot.HALF
        schema = onnx.defs.get_schema(node.op_type, self._opset, "")
        parameters = schema.inputs if side == "inputs" else schema.outputs
        # The last parameter may stand for any number.
        type_name = parameters[min(position, len(parameters) - 1)].type_str
        for constraint in schema.type_constraints:
            if constraint.type_param_str == type_name:
                allowed = f"tensor({self.half.name.lower()})" in constraint.allowed_type_strs
                return Slot.HALF if allowed else Slot.NO_HALF
        return Slot.FLOAT32

    def _note_exact(self, node: ir.Node, floats: list[ir.Value]) -> bool:
        """Whether the node continues a computation from integers and constants, as positions and masks are."""
        gives_floats = any(value.dtype == ir.DataType.FLOAT for value in node.outputs)
        if node.op_type in _CONTRACTIONS or node.op_type in _LOOK_UPS or not gives_floats:
            return False
        if not all(value in self._exact or constant_of(value) is not None for value in floats):
            return False
        if not floats and (node.op_type not in _NEW_VALUES or any(map(self._is_rounded, node.inputs))):
            return False
        self._exact.update(node.outputs)
        if any(value in self._hiding or _hides(value, self.half) for value in floats):
            self._hiding.update(node.outputs)
        return True

    def _is_rounded(self, value: ir.Value | None) -> bool:
        """Whether a value is in half already, and data."""
        return value is not None and value.dtype in HALF.values() and constant_of(value) is None

    def _is_lost(self, value: ir.Value) -> bool:
        """Whether half turns a constant into infinity, masks apart, or a scalar into zero or few digits."""
        array = constant_of(value)
        if array is None or is_mask(array, self.half):
            return False
        overflows = bool((np.isinf(_there_and_back(array, self.half)) & np.isfinite(array)).any())
        vanishes = bool(((array != 0) & (np.abs(array) < _SMALLEST_NORMAL[self.half])).any())
        return overflows or (array.size == 1 and vanishes)


def is_mask(array: NDArray[Any], half: ir.DataType) -> bool:
    """Whether a constant hides scores: there is something in it that half does not hold, and all that is negative."""
    beyond = np.isinf(_there_and_back(array, half))
    return bool(beyond.any()) and bool((array[beyond] < 0).all())


def constant_of(value: ir.Value) -> NDArray[Any] | None:
    """The elements of an initializer or of a Constant's output, or None."""
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def _hides(value: ir.Value, half: ir.DataType) -> bool:
    array = constant_of(value)
    return array is not None and is_mask(array, half)


def _there_and_back(array: NDArray[Any], half: ir.DataType) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return array.astype(half.numpy()).astype(np.float32)


def _scale_error(scale: NDArray[Any], half: ir.DataType) -> float:
    """The largest relative error of scales in half; infinite where half makes 0 or infinity of one."""
    rounded = _there_and_back(scale, half).astype(np.float64)
    if not np.isfinite(rounded).all() or not rounded.all():
        return float("inf")
    return float(np.abs(rounded / scale.astype(np.float64) - 1).max(initial=0))
