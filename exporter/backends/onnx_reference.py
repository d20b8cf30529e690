"""onnx's own evaluator in the place of an ONNX Runtime session, for operators and types that have no kernel there.

It is NumPy, slow, and computes every operator in its own type: what a float64 model needs, for which ONNX Runtime's CPU
lacks convolutions, Erf and most activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

_NAMES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float",
    onnx.TensorProto.DOUBLE: "double",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
}


@dataclass(frozen=True)
class Argument:
    """An input or output, as ONNX Runtime describes it.

    Attributes:
        name: of the tensor.
        type: as ``tensor(double)``.
        shape: its sizes, dynamic ones by name or None.
    """

    name: str
    type: str
    shape: list[int | str | None]


class ReferenceSession:
    """A file in onnx's evaluator.

    Args:
        path: the .onnx file; external data is found beside it.

    Raises:
        Exception: of many types, for a file that the evaluator does not take.
    """

    def __init__(self, path: Path) -> None:
        model = onnx.load(path)
        self._evaluator = ReferenceEvaluator(model)
        weights = {tensor.name for tensor in model.graph.initializer}
        self._inputs = [_argument(value) for value in model.graph.input if value.name not in weights]
        self._outputs = [_argument(value) for value in model.graph.output]

    def get_inputs(self) -> list[Argument]:
        """The inputs, in order."""
        return self._inputs

    def get_outputs(self) -> list[Argument]:
        """The outputs, in order."""
        return self._outputs

    def get_providers(self) -> list[str]:
        """What runs it, as ONNX Runtime names it."""
        return ["CPUExecutionProvider"]

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Runs the model once: all outputs in order, or those named."""
        return list(self._evaluator.run(names, dict(inputs)))


def _argument(value: onnx.ValueInfoProto) -> Argument:
    kind = value.type.tensor_type
    name = _NAMES.get(kind.elem_type) or onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    sizes = [size.dim_value if size.HasField("dim_value") else size.dim_param or None for size in kind.shape.dim]
    return Argument(value.name, f"tensor({name})", sizes)
