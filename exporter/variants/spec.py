"""What a variant is to the rest of the tree: one description, from which every other use follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor

from attnexport.variants.body import Body, CallSite
from attnexport.variants.hazards import Figure

ONNX_DOMAIN = "attnexport"
"""Domain of the ONNX nodes and namespace of the TensorRT plugins."""

PLUGIN_VERSION = "1"

OPTIONAL_TENSORS = ("kv_lengths", "q_start")
"""Optional inputs every variant has, int32 (B,), last in this order."""


@dataclass(frozen=True)
class ErrorFloor:
    """Part of the error budget that does not come from PyTorch's own error, as a share of max|reference|.

    The floor at a dtype is ``factor * eps ** power`` with eps the dtype's machine epsilon. The default is a few
    roundings of the result. A power of one half belongs to functions with a square-root edge, whose value
    moves by sqrt(eps) when its argument moves by eps.
    """

    factor: float = 4.0
    power: float = 1.0

    def at(self, dtype: torch.dtype) -> float:
        """Floor relative to max|reference| for results of this floating dtype."""
        return float(self.factor * torch.finfo(dtype).eps ** self.power)


@dataclass(frozen=True)
class Variant:
    """One attention variant.

    Attributes:
        name: the variant's folder below attnexport.variants.
        title: its name in prose.
        op_type: type of its ONNX node in domain ``attnexport``.
        formula: the definition in one line.
        cost: work per head in N query rows and M key rows.
        paper: where it comes from.
        reference: the PyTorch definition. Its signature is the operator's: tensors first, then the static
            parameters as int, float, bool or str, then kv_lengths and q_start.
        body: writes the ONNX function body and returns the output, in the compute type.
        weights: dense weights (B, H, N, M) of the same arguments, what out = weights @ v is made of.
        hazards: what can go wrong in a call with the same arguments; ``precision``, a keyword, is the dtype in which
            scores count as tied when they differ by less than a rounding.
        floor: floor of the error budget.
        selection: static parameter that says how many keys a row keeps, 0 for all. Default: None, it has none.
    """

    name: str
    title: str
    op_type: str
    formula: str
    cost: str
    paper: str
    reference: Callable[..., Tensor]
    body: Callable[[Body, CallSite], ir.Value]
    weights: Callable[..., Tensor]
    hazards: Callable[..., tuple[Figure, ...]]
    floor: ErrorFloor = field(default_factory=ErrorFloor)
    selection: str | None = None

    @property
    def torch_name(self) -> str:
        """Qualified name of the torch operator."""
        return f"attnexport::{self.reference.__name__}"

    @property
    def torch_op(self) -> torch._ops.OpOverload:
        """The registered torch operator."""
        packet = getattr(torch.ops.attnexport, self.reference.__name__)
        overload: torch._ops.OpOverload = packet.default
        return overload

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of one call of the torch operator by name, defaults filled in."""
        bound: dict[str, Any] = {}
        for position, argument in enumerate(self.torch_op._schema.arguments):
            if position < len(args):
                bound[argument.name] = args[position]
            elif argument.name in kwargs:
                bound[argument.name] = kwargs[argument.name]
            else:
                bound[argument.name] = argument.default_value
        return bound
