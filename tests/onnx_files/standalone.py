"""A model of one node and its body, made from one call of an operator: what conversion makes, without exporting."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from attnexport.graph.functions import attach_functions
from attnexport.graph.nodes import count_attribute, optional_attributes
from attnexport.variants.descriptions import DEFAULTS, LENGTHS, OPTIONAL_TENSORS
from attnexport.variants.registry import variant_of_torch_op
from attnexport.variants.spec import Variant

_TYPES = {
    torch.float16: ir.DataType.FLOAT16,
    torch.float32: ir.DataType.FLOAT,
    torch.float64: ir.DataType.DOUBLE,
    torch.int32: ir.DataType.INT32,
}


class _Capture(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.call: tuple[Variant, dict[str, Any]] | None = None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        variant = variant_of_torch_op(func)
        if variant is not None:
            self.call = variant, variant.bind(args, kwargs or {})
        return func(*args, **(kwargs or {}))


def captured(module: nn.Module, args: tuple[Tensor | None, ...]) -> tuple[Variant, dict[str, Any], list[str]]:
    """The operator that the module calls, the arguments of that call by name, and the names of those at defaults.

    Optional tensors before a given one have their defaults, as nodes have them.
    """
    with _Capture() as capture, torch.no_grad():
        module(*args)
    assert capture.call is not None
    variant, bound = capture.call
    optional = [name for name in OPTIONAL_TENSORS if name in bound and not isinstance(bound[name], (int, float))]
    given = [position for position, name in enumerate(optional) if bound[name] is not None]
    missing = [name for name in (optional[: given[-1]] if given else []) if bound[name] is None]
    rows, keys, batch = args[0].shape[2], args[1].shape[2], args[0].shape[0]
    values = {"kv_lengths": keys, "q_start": keys - rows, "kv_start": 0}
    defaults = {name: torch.full((batch,), values[name], dtype=torch.int32) for name in missing}
    return variant, bound | defaults, missing


def named_tensors(bound: dict[str, Any]) -> dict[str, Tensor]:
    """The tensor arguments of a call by the names of the node's inputs."""
    found: dict[str, Tensor] = {}
    for name, value in bound.items():
        if isinstance(value, Tensor):
            found[name] = value
        elif isinstance(value, (list, tuple)):
            found |= {f"{name}_{index}": tensor for index, tensor in enumerate(value)}
    return found


def _symbolic(name: str, tensor: Tensor, rows: int, keys: int) -> ir.Shape:
    if name in LENGTHS:
        return ir.Shape(["batch"])
    if name == "bias":
        sizes = ("batch", tensor.shape[1], "rows", "keys")
        return ir.Shape([1 if given == 1 else size for given, size in zip(tensor.shape, sizes, strict=True)])
    if tensor.dim() < 3:
        return ir.Shape(list(tensor.shape))
    tokens = "rows" if tensor.shape[2] == rows else "keys"
    return ir.Shape(["batch", tensor.shape[1], tokens, *tensor.shape[3:]])


def standalone_model(module: nn.Module, args: tuple[Tensor, ...], *, dynamic: bool = True, opset: int = 20) -> ir.Model:
    """The one-node model of the operator that the module calls on (q, k, v, ...)."""
    variant, bound, missing = captured(module, args)
    rows, keys = args[0].shape[2], args[1].shape[2]
    inputs = []
    for name, tensor in named_tensors(bound).items():
        shape = _symbolic(name, tensor, rows, keys) if dynamic else ir.Shape(list(tensor.shape))
        inputs.append(ir.val(name, dtype=_TYPES[tensor.dtype], shape=shape))
    attributes: dict[str, Any] = {"plugin_namespace": "attnexport", "plugin_version": "1"}
    for name, value in bound.items():
        if isinstance(value, (list, tuple)):
            attributes[count_attribute(name)] = len(value)
        elif isinstance(value, (bool, int, float, str)) and value != optional_attributes(variant).get(name):
            attributes[name] = int(value) if isinstance(value, bool) else value
    if missing and bound.get("bias") is not None:
        attributes[DEFAULTS] = " ".join(missing)
    tape = ir.tape.Tape()
    output = tape.op(variant.op_type, inputs, attributes, domain="attnexport")
    output.name, output.dtype = "out", _TYPES[args[2].dtype]
    batch_rows = ("batch", "rows") if dynamic else (args[0].shape[0], rows)
    output.shape = ir.Shape([batch_rows[0], args[0].shape[1], batch_rows[1], args[2].shape[3]])
    graph = ir.Graph(inputs, [output], nodes=tape.nodes, opset_imports={"": opset}, name="one_node")
    model = ir.Model(graph, ir_version=10)
    attach_functions(model)
    return model


class Session:
    """An ONNX Runtime session of a one-node model, fed from calls of its module.

    ``fused=False`` leaves out ONNX Runtime's fusions, one of which rounds factors of double products to float32.
    """

    def __init__(self, model: ir.Model, *, fused: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        if not fused:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self._session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), options)

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...]) -> np.ndarray:
        return self.run_all(module, args)[0]

    def run_all(self, module: nn.Module, args: tuple[Tensor, ...]) -> list[np.ndarray]:
        """Every output of the model."""
        _, bound, _ = captured(module, args)
        return self._session.run(None, {name: tensor.numpy() for name, tensor in named_tensors(bound).items()})
