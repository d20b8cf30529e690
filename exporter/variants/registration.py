"""Turns a variant's reference into a torch operator: traceable, differentiable, opaque to the exporter."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from attnexport.variants.gradients import input_gradients, save_inputs
from attnexport.variants.mapping import map_call
from attnexport.variants.transforms import under_transforms

_KERNELS = "attnexport.plugins.calling.acceleration"
"""Has ``accelerate``. A name that the first call resolves, for the plugins import the variants and not the reverse."""


def _accelerated(name: str, args: Sequence[Any]) -> Tensor | None:
    """The result of the operator of that name if a kernel computes it, or None where the reference must."""
    result: Tensor | None = importlib.import_module(_KERNELS).accelerate(name, args)
    return result


def _own_precision(args: Sequence[Any]) -> AbstractContextManager[Any]:
    """Keeps autocast from rounding what the reference holds in float32."""
    first = args[0][0] if isinstance(args[0], (list, tuple)) else args[0]
    return torch.autocast(first.device.type, enabled=False)


def register_operator(reference: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Registers ``attnexport::<reference name>`` and returns the function that calls it.

    The first argument is query-like, (B, H, N, ...) or a list of such, and ``v`` is (B, Hkv, M, Dv); the result
    is (B, H, N, Dv) of v's dtype. Tensors of three axes and more and integer tensors start with the batch; others are
    parameters that all samples share. The backward pass keeps the inputs only and runs the reference again.

    The forward pass on real tensors goes through the plugins' kernels where there are some for the call. Tracing and
    export never ask for them.
    """
    name = f"attnexport::{reference.__name__}"

    def forward(*args: Any) -> Tensor:
        with torch.no_grad(), _own_precision(args):
            result = _accelerated(name, args)
            return reference(*args).contiguous() if result is None else result

    def precise(*args: Any) -> Tensor:
        with _own_precision(args):
            return reference(*args)

    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        grads = input_gradients(ctx, precise, grad)
        # For calls with lists of tensors torch leaves trailing arguments at their defaults out of the count.
        return tuple(grads[: len(ctx.needs_input_grad)])

    def mapped(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
        return map_call(operator, info.batch_size, in_dims, args), 0

    schema = torch.library.infer_schema(reference, mutates_args=())
    operator = torch.library.custom_op(name, forward, mutates_args=(), schema=schema)
    operator.register_fake(_fake_of(reference))
    operator.register_autograd(backward, setup_context=lambda ctx, inputs, output: save_inputs(ctx, inputs))
    operator.register_vmap(mapped)
    return under_transforms(operator, precise)


def _fake_of(reference: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Shape, dtype and strides of the reference's result, without its numbers."""
    signature = inspect.signature(reference)
    query_name = next(iter(signature.parameters))

    def fake(*args: Any, **kwargs: Any) -> Tensor:
        bound = signature.bind(*args, **kwargs).arguments
        query = bound[query_name]
        query = query[0] if isinstance(query, (list, tuple)) else query
        v: Tensor = bound["v"]
        return v.new_empty((*query.shape[:3], v.shape[-1]))

    return fake
