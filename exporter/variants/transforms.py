"""The operators inside torch.func's transforms, where torch.library's own gradients do not work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.utils._pytree as pytree
from torch import Tensor

from attnexport.variants.gradients import input_gradients, output_tangent, save_inputs
from attnexport.variants.mapping import map_call


def under_transforms(operator: Callable[..., Tensor], reference: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The operator as a function that vmap, grad, vjp, jvp and the others of torch.func go through in any order.

    Tracing, and calls outside of transforms, reach the operator itself.

    Args:
        operator: the registered operator.
        reference: its definition, whose derivatives it has.
    """

    class Transformed(torch.autograd.Function):
        """The operator for arguments as a layout and the leaves: lists of tensors would hide the tensors."""

        @staticmethod
        def forward(layout: pytree.TreeSpec, *leaves: Any) -> Tensor:
            return operator(*pytree.tree_unflatten(leaves, layout))

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            layout, *leaves = inputs
            ctx.reference = lambda *leaves: reference(*pytree.tree_unflatten(leaves, layout))
            save_inputs(ctx, leaves)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
            return None, *input_gradients(ctx, ctx.reference, grad)

        @staticmethod
        def jvp(ctx: Any, _: None, *tangents: Any) -> Tensor:
            return output_tangent(ctx, ctx.reference, tangents)

        @staticmethod
        def vmap(info: Any, in_dims: tuple[Any, ...], layout: pytree.TreeSpec, *leaves: Any) -> tuple[Tensor, int]:
            dims = pytree.tree_unflatten(in_dims[1:], layout)
            return map_call(call, info.batch_size, dims, pytree.tree_unflatten(leaves, layout)), 0

    def call(*args: Any) -> Tensor:
        if torch.compiler.is_compiling() or not _is_transformed():
            return operator(*args)
        leaves, layout = pytree.tree_flatten(list(args))
        result: Tensor = Transformed.apply(layout, *leaves)  # type: ignore[no-untyped-call]
        return result

    return call


def _is_transformed() -> bool:
    """Whether a transform of torch.func, or forward mode of torch.autograd, is at work."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
