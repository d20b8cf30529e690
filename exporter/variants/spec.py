"""What an attention operator is to the rest of the tree: one description, from which every other use follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor

from attnexport.variants.body import Body, CallSite
from attnexport.variants.core import AttentionCore
from attnexport.variants.descriptions import Description
from attnexport.variants.hazards import Figure, in_double, score_figures
from attnexport.variants.rows import Rows


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


@dataclass(frozen=True, kw_only=True)
class Attention:
    """An attention operator that models call, and what can be said of its calls.

    Attributes:
        name: the operator's folder below attnexport.variants.
        title: its name in prose.
        reference: the PyTorch definition, an operator of torch or what the operator of that name runs.
        rows: of the same arguments, every row beside every key.
        measure: what can go wrong in a call with the same arguments, in place of what the rows' scores tell;
            ``precision``, a keyword, is the dtype in which scores count as tied when they differ by less than a
            rounding. Default: None, the scores tell it.
        selection: static parameter that says how many keys a row keeps, 0 for all. Default: None, it has none.
    """

    name: str
    title: str
    reference: Callable[..., Tensor]
    rows: Callable[..., Rows]
    measure: Callable[..., tuple[Figure, ...]] | None = None
    selection: str | None = None

    @property
    def torch_op(self) -> torch._ops.OpOverload:
        """The torch operator."""
        if isinstance(self.reference, torch._ops.OpOverload):
            return self.reference
        overload: torch._ops.OpOverload = getattr(torch.ops.attnexport, self.reference.__name__).default
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

    def weights(self, **call: Any) -> Tensor:
        """Dense weights (B, H, N, M) of a call in the compute type, what out = weights @ v is made of."""
        return self.rows(**call).dense()

    def hazards(self, *, precision: torch.dtype, **call: Any) -> tuple[Figure, ...]:
        """What can go wrong in a call, as ``measure`` says."""
        if self.measure is not None:
            return self.measure(precision=precision, **call)
        keep = call[self.selection] if self.selection is not None else 0
        return score_figures(self.rows(**in_double(call)), precision, keep)


@dataclass(frozen=True, kw_only=True)
class Variant(Description, Attention):
    """An attention variant: an operator with an ONNX node, a body for it and kernels.

    Its reference's signature is the operator's: tensors first, then the static parameters as int, float, bool or str,
    then kv_lengths, q_start and kv_start.

    Attributes:
        body: writes the ONNX function body and returns the output, in the compute type.
        floor: floor of the error budget.
        core: what stands in layers of other libraries. Default: None, it cannot.
    """

    body: Callable[[Body, CallSite], ir.Value]
    floor: ErrorFloor = field(default_factory=ErrorFloor)
    core: type[AttentionCore] | None = None

    @property
    def torch_name(self) -> str:
        """Qualified name of the torch operator."""
        return f"attnexport::{self.reference.__name__}"
