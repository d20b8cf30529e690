"""Derivatives of every operator: those of its reference, run again from the saved inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor


def save_inputs(ctx: Any, inputs: Sequence[Any]) -> None:
    """Saves a call's inputs, lists of tensors too, for its derivatives."""
    leaves, ctx.layout = pytree.tree_flatten(list(inputs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)
    ctx.others = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    ctx.places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]


def input_gradients(ctx: Any, reference: Callable[..., Tensor], grad: Tensor) -> list[Any]:
    """Gradients in the structure of the saved inputs, None for what is not a floating tensor."""
    leaves = _saved_leaves(ctx)
    places = [place for place in ctx.places if leaves[place].is_floating_point()]
    function = _of_leaves_at(places, reference, leaves, ctx.layout)
    pull = _pull_transformed if torch._C._are_functorch_transforms_active() else _pull
    found = dict(zip(places, pull(function, [leaves[place] for place in places], grad), strict=True))
    result: list[Any] = pytree.tree_unflatten([found.get(place) for place in range(len(leaves))], ctx.layout)
    return result


def output_tangent(ctx: Any, reference: Callable[..., Tensor], tangents: Sequence[Tensor | None]) -> Tensor:
    """The output's tangent for the saved inputs' tangents, lists flattened and None for inputs without one."""
    leaves = _saved_leaves(ctx)
    moving = {place: tangent for place, tangent in enumerate(tangents) if tangent is not None}
    function = _of_leaves_at(list(moving), reference, leaves, ctx.layout)
    primals = tuple(leaves[place] for place in moving)
    tangent: Tensor = torch.func.jvp(function, primals, tuple(moving.values()))[1]
    return tangent


def _saved_leaves(ctx: Any) -> list[Any]:
    leaves = list(ctx.others)
    for place, tensor in zip(ctx.places, ctx.saved_tensors, strict=True):
        leaves[place] = tensor
    return leaves


def _of_leaves_at(
    places: Sequence[int], reference: Callable[..., Tensor], leaves: Sequence[Any], layout: pytree.TreeSpec
) -> Callable[..., Tensor]:
    """The reference as a function of the leaves at these places alone."""

    def function(*tensors: Tensor) -> Tensor:
        given = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            given[place] = tensor
        return reference(*pytree.tree_unflatten(given, layout))

    return function


def _pull(function: Callable[..., Tensor], tensors: Sequence[Tensor], grad: Tensor) -> Sequence[Tensor | None]:
    """By autograd; differentiable once more where the caller asked for a graph of the backward pass."""
    twice = torch.is_grad_enabled()
    # Views, so that a gradient stops at each input, also where one input was made from another.
    inputs = [
        tensor.view_as(tensor) if twice and tensor.requires_grad else tensor.detach().requires_grad_()
        for tensor in tensors
    ]
    with torch.enable_grad():
        output = function(*inputs)
    return torch.autograd.grad(output, inputs, grad, allow_unused=True, create_graph=twice)


def _pull_transformed(
    function: Callable[..., Tensor], tensors: Sequence[Tensor], grad: Tensor
) -> Sequence[Tensor | None]:
    """By torch.func, inside whose transforms autograd's own functions do not work."""
    pull = torch.func.vjp(function, *tensors)[1]
    found: tuple[Tensor, ...] = pull(grad)
    return found
