"""The one interpreter of programs: as exported, at another precision, rounded at random, and with somebody watching."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx
import torch.utils._pytree as pytree
from torch import Tensor

from attnexport.models.examples import generator

_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


@dataclass(frozen=True)
class Call:
    """An operator that was called.

    Attributes:
        node: of the program's graph, or of a graph nested in it.
        args, kwargs: what it was called with.
        value: what it gave. The run may change it in place later: keep a copy.
    """

    node: torch.fx.Node
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    value: Any


Visit = Callable[[Call], None]
"""Is told of every call, in order, those of nested graphs too."""


class StopRunning(Exception):
    """Raised by a visitor that has seen enough: the run ends without outputs."""


@dataclass(frozen=True)
class Rounding:
    """Random rounding, which shows how far rounding alone can move a model's result.

    Monte Carlo arithmetic (D. S. Parker, "Monte Carlo Arithmetic: exploiting randomness in floating-point arithmetic",
    UCLA CSD-970002, 1997) applied to the values between operators: the float64 program, in which every value that the
    precision cannot hold is moved by up to one of its epsilons. PyTorch's error at a precision is one draw from what
    rounding can do. Where a model is unstable, as at keys whose scores nearly tie, another correct implementation can
    be much further off than twice that draw; these runs tell such places from faults.

    Attributes:
        precision: dtype whose epsilon values move by.
        seed: of the draw; the same seed gives the same draw.
    """

    precision: torch.dtype
    seed: int


class Interpreter(torch.fx.Interpreter):
    """Interprets a graph and the graphs nested in it, as of torch.no_grad blocks.

    Args:
        graph: the module of an exported program.
        dtype: what every floating tensor is held in, and every floating dtype that the graph names becomes. Default:
            None, as they were exported.
        rounding: moves values at random. Default: None, none.
        visit: is told of every call. Default: None, nobody.
    """

    def __init__(
        self,
        graph: torch.fx.GraphModule,
        dtype: torch.dtype | None = None,
        rounding: Rounding | None = None,
        visit: Visit | None = None,
    ) -> None:
        super().__init__(graph)
        self.extra_traceback = False
        self._dtype, self._rounding, self._visit = dtype, rounding, visit
        self._random = generator(rounding.seed) if rounding is not None else None
        self._given: tuple[Any, Any] = ((), {})

    def run_node(self, n: torch.fx.Node) -> Any:
        value = self._rounded(super().run_node(n))
        if self._visit is not None and n.op == "call_function":
            (args, kwargs), self._given = self._given, ((), {})
            self._visit(Call(n, args, kwargs, value))
        return value

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        if isinstance(value, torch.fx.GraphModule) and (self._dtype or self._rounding or self._visit):
            return self._nested(value)
        return self._cast(value)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._cast(super().placeholder(target, args, kwargs))

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if self._dtype is not None:
            if target is torch.ops.aten._assert_tensor_metadata.default:
                return None
            args, kwargs = pytree.tree_map(self._cast, (args, kwargs))
            if target is torch.ops.higher_order.wrap_with_autocast:
                device, dtype, _, *rest = args
                args = (device, dtype, False, *rest)
        if self._visit is not None:
            self._given = args, kwargs
        return super().call_function(target, args, kwargs)

    def _cast(self, value: Any) -> Any:
        if self._dtype is None:
            return value
        if isinstance(value, Tensor) and value.dtype in _FLOATS:
            return value.to(self._dtype)
        if isinstance(value, torch.dtype) and value in _FLOATS:
            return self._dtype
        return value

    def _rounded(self, value: Any) -> Any:
        if self._rounding is None or not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        noise = torch.rand(value.shape, dtype=value.dtype, generator=self._random).mul_(2).sub_(1)
        moved = value * noise.mul_(torch.finfo(self._rounding.precision).eps).add_(1)
        return torch.where(value.to(self._rounding.precision).to(value.dtype) == value, value, moved)

    def _nested(self, graph: torch.fx.GraphModule) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            inner = Interpreter(graph, self._dtype, self._rounding, self._visit)
            inner._random = self._random
            return inner.run(*args)

        return run
