"""Turns a variant's reference into a torch operator: traceable, differentiable, opaque to the exporter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Accelerator = Callable[[str, Sequence[Any]], Tensor | None]
"""Computes an operator, given its qualified name and positional arguments; None leaves it to the reference."""

_accelerator: Accelerator | None = None


def set_accelerator(accelerator: Accelerator | None) -> None:
    """Sets what every operator asks before it runs its reference on real tensors; None for nothing.

    Only the forward pass asks: gradients are the reference's. Tracing and export never ask.
    """
    global _accelerator
    _accelerator = accelerator


def offer_accelerator(accelerator: Accelerator) -> None:
    """Sets the accelerator unless there is one."""
    if _accelerator is None:
        set_accelerator(accelerator)


@dataclass(frozen=True)
class _Saved:
    """Stands in an argument list for the tensor saved under this number."""

    index: int


def _map_arguments(function: Callable[[Any], Any], args: Sequence[Any]) -> list[Any]:
    return [
        [function(item) for item in value] if isinstance(value, (list, tuple)) else function(value) for value in args
    ]


def _own_precision(args: Sequence[Any]) -> AbstractContextManager[Any]:
    """Keeps autocast from rounding what the reference holds in float32."""
    first = args[0][0] if isinstance(args[0], (list, tuple)) else args[0]
    return torch.autocast(first.device.type, enabled=False)


def register_operator(reference: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Registers ``attnexport::<reference name>`` and returns it.

    The first argument is query-like, (B, H, N, ...) or a list of such, and ``v`` is (B, Hkv, M, Dv); the result
    is (B, H, N, Dv) of v's dtype. The backward pass keeps the inputs only and runs the reference again.
    """
    name = f"attnexport::{reference.__name__}"
    parameters = list(inspect.signature(reference).parameters)

    def forward(*args: Any) -> Tensor:
        with torch.no_grad(), _own_precision(args):
            accelerated = None if _accelerator is None else _accelerator(name, args)
            return reference(*args).contiguous() if accelerated is None else accelerated

    schema = torch.library.infer_schema(reference, mutates_args=())
    operator = torch.library.custom_op(name, forward, mutates_args=(), schema=schema)

    def fake(*args: Any, **kwargs: Any) -> Tensor:
        bound = inspect.signature(reference).bind(*args, **kwargs).arguments
        query = bound[parameters[0]]
        query = query[0] if isinstance(query, (list, tuple)) else query
        v: Tensor = bound["v"]
        return v.new_empty((*query.shape[:3], v.shape[-1]))

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        tensors: list[Tensor] = []

        def save(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            tensors.append(value)
            return _Saved(len(tensors) - 1)

        ctx.args = _map_arguments(save, inputs)
        ctx.save_for_backward(*tensors)

    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        leaves = [
            tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor for tensor in ctx.saved_tensors
        ]
        args = _map_arguments(lambda value: leaves[value.index] if isinstance(value, _Saved) else value, ctx.args)
        with torch.enable_grad(), _own_precision(args):
            output = reference(*args)
        wanted = [tensor for tensor in leaves if tensor.requires_grad]
        found = iter(torch.autograd.grad(output, wanted, grad, allow_unused=True))
        grads = [next(found) if tensor.requires_grad else None for tensor in leaves]
        by_argument = _map_arguments(lambda value: grads[value.index] if isinstance(value, _Saved) else None, ctx.args)
        # For calls with lists of tensors torch leaves trailing arguments at their defaults out of the count.
        return tuple(by_argument[: len(ctx.needs_input_grad)])

    operator.register_fake(fake)
    operator.register_autograd(backward, setup_context=setup_context)
    return operator
