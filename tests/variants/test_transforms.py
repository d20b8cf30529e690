"""The operators under torch.func: a mapped call is the loop over its slices, and derivatives go through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap

from attnexport import top_n_attention
from attnexport.variants.registry import all_variants
from tests.variants.cases import Case, Shape, each_case, each_variant, error, int32, tensors_of
from tests.variants.test_modules import DIM, Factory, each_module

EXACT = 1e-12
SLICES = 3
LENGTHS = (int32(3, 7), int32(1, 5), int32(6, 0))
FIRST = (int32(1, 0), int32(0, 2), int32(-1, 3))
STARTS = (int32(0, 2), int32(4, -3), int32(1, 9))

Call = Callable[..., Tensor]


def flat_call(case: Case, **visibility: Any) -> Call:
    """The case's call as a function of its flat tensors, then kv_lengths, kv_start and q_start."""
    layout = case.inputs()

    def call(*tensors: Tensor) -> Tensor:
        *rest, kv_lengths, kv_start, q_start = tensors
        given = iter(rest)
        inputs = {
            name: [next(given) for _ in value] if isinstance(value, list) else next(given)
            for name, value in layout.items()
        }
        given_keys = {"kv_lengths": kv_lengths, "kv_start": kv_start}
        return case(inputs, causal=True, q_start=q_start, **given_keys, **visibility)

    return call


def slices_of(case: Case, shape: Shape | None = None) -> list[list[Tensor]]:
    """The arguments of three calls."""
    return [
        [*tensors_of(case.inputs(shape, seed=seed)), LENGTHS[seed], FIRST[seed], STARTS[seed]] for seed in range(SLICES)
    ]


def stacked(slices: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [torch.stack(list(values)) for values in zip(*slices, strict=True)]


def first_gradient(call: Call) -> Call:
    """Gradient in the first argument, by autograd."""

    def gradient(first: Tensor, *rest: Tensor) -> Tensor:
        leaf = first.detach().requires_grad_()
        return torch.autograd.grad(call(leaf, *rest).square().sum(), leaf)[0]

    return gradient


@each_case
def test_a_mapped_call_is_the_loop(case: Case) -> None:
    call, slices = flat_call(case), slices_of(case)
    assert error(vmap(call)(*stacked(slices)), torch.stack([call(*each) for each in slices])) <= EXACT


@each_variant
def test_each_argument_may_be_mapped_alone(case: Case) -> None:
    call, slices = flat_call(case), slices_of(case)
    for position in range(len(slices[0])):
        given = [*slices[0]]
        given[position] = torch.stack([each[position] for each in slices])
        in_dims = tuple(0 if place == position else None for place in range(len(given)))
        loop = [call(*slices[0][:position], each[position], *slices[0][position + 1 :]) for each in slices]
        assert error(vmap(call, in_dims=in_dims)(*given), torch.stack(loop)) <= EXACT


@each_variant
@pytest.mark.parametrize("randomness", ["error", "same", "different"])
def test_the_mapped_axis_may_lie_anywhere(case: Case, randomness: str) -> None:
    call, slices = flat_call(case), slices_of(case)
    given = [values.movedim(0, -1) for values in stacked(slices)]
    out = vmap(call, in_dims=-1, out_dims=2, randomness=randomness, chunk_size=2)(*given)
    assert error(out, torch.stack([call(*each) for each in slices], dim=2)) <= EXACT


@each_variant
def test_maps_nest(case: Case) -> None:
    call, slices = flat_call(case), slices_of(case)
    outer = [stacked(slices), stacked(slices[::-1])]
    loop = [torch.stack([call(*each) for each in order]) for order in (slices, slices[::-1])]
    assert error(vmap(vmap(call))(*stacked(outer)), torch.stack(loop)) <= EXACT


@each_variant
def test_no_slices_give_no_results(case: Case) -> None:
    call, (first, *_) = flat_call(case), slices_of(case)
    query = first[0].new_zeros(0, *first[0].shape)
    out = vmap(call, in_dims=(0, *[None] * (len(first) - 1)))(query, *first[1:])
    assert out.shape == (0, *call(*first).shape)


@each_case
def test_gradients_and_maps_compose_in_either_order(case: Case) -> None:
    call, slices = flat_call(case), slices_of(case)
    loop = torch.stack([first_gradient(call)(*each) for each in slices])
    mapped_gradient = vmap(grad(lambda *given: call(*given).square().sum()))(*stacked(slices))
    gradient_of_map = grad(lambda *given: vmap(call)(*given).square().sum())(*stacked(slices))
    by_autograd = first_gradient(vmap(call))(*stacked(slices))
    for found in (mapped_gradient, gradient_of_map, by_autograd):
        assert error(found, loop) <= EXACT * max(1.0, float(loop.abs().max()))


@each_variant
def test_jacobians_and_hessians_are_those_of_autograd(case: Case) -> None:
    call, (given, *_) = flat_call(case), slices_of(case, case.fit(Shape(rows=4, keys=5)))

    def of_first(first: Tensor) -> Tensor:
        return call(first, *given[1:])

    expected = torch.autograd.functional.jacobian(of_first, given[0])
    assert error(jacrev(of_first)(given[0]), expected) <= EXACT
    assert error(jacfwd(of_first)(given[0]), expected) <= EXACT
    direction = given[0].flip(-1)
    _, tangent = jvp(of_first, (given[0],), (direction,))
    assert error(tangent, torch.tensordot(expected, direction, direction.dim())) <= EXACT

    def loss(first: Tensor) -> Tensor:
        return of_first(first).square().sum()

    twice = torch.autograd.functional.hessian(loss, given[0])
    assert error(hessian(loss)(given[0]), twice) <= EXACT * max(1.0, float(twice.abs().max()))


@each_module
def test_an_ensemble_is_a_map_over_its_weights(factory: Factory) -> None:
    members = [factory().double().eval() for _ in range(SLICES)]
    weights, buffers = torch.func.stack_module_state(members)
    x = torch.randn(2, 7, DIM).double()

    def member(state: dict[str, Tensor]) -> Tensor:
        out: Tensor = functional_call(members[0], state, (x,))
        return out

    assert error(vmap(member)(weights | buffers), torch.stack([each(x) for each in members])) <= EXACT


@each_module
def test_gradients_per_sample_are_those_of_each_sample(factory: Factory) -> None:
    module, x = factory().double().eval(), torch.randn(SLICES, 7, DIM).double()
    weights = {name: value.detach() for name, value in module.named_parameters()}

    def loss(state: dict[str, Tensor], sample: Tensor) -> Tensor:
        return functional_call(module, state, (sample[None],)).square().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(weights, x)
    for index in range(SLICES):
        module.zero_grad()
        module(x[index : index + 1]).square().sum().backward()
        for name, value in module.named_parameters():
            assert error(found[name][index], value.grad) <= 1e-10


@each_variant
def test_a_mapped_call_compiles(case: Case) -> None:
    torch.compiler.reset()
    call, slices = flat_call(case), slices_of(case)
    compiled = torch.compile(vmap(call), fullgraph=True, backend="aot_eager")
    assert error(compiled(*stacked(slices)), torch.stack([call(*each) for each in slices])) <= EXACT


@each_variant
def test_a_call_that_fails_leaves_the_process_as_it_was(case: Case) -> None:
    call, (given, *_) = flat_call(case), slices_of(case)

    def failing(first: Tensor) -> Tensor:
        return call(first, *given[1:-3], int32(1, 2, 3), *given[-2:]).sum()

    for transformed, first in ((vmap(failing), given[0][None]), (grad(failing), given[0])):
        with pytest.raises(ValueError, match="kv_lengths: expected int32"):
            transformed(first)
    assert not torch._C._are_functorch_transforms_active()
    assert torch.rand(2).shape == (2,)
    call(*given)


@each_variant
def test_forward_mode_of_autograd_is_refused_rather_than_zero(case: Case) -> None:
    call, (given, *_) = flat_call(case), slices_of(case)
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="forward mode"):
        call(forward_ad.make_dual(given[0], torch.ones_like(given[0])), *given[1:])
    call(*given)


def test_the_message_gives_the_shape_that_the_mapped_function_sees() -> None:
    x = torch.ones(5, 2, 4, 7, 3)
    with pytest.raises(ValueError, match=r"given \(4, 7, 3\)"):
        vmap(lambda q: top_n_attention(q[0], q, q, 2))(x)


def test_every_variant_has_a_rule_of_its_own() -> None:
    for variant in all_variants():
        assert torch._C._dispatch_has_kernel_for_dispatch_key(variant.torch_name, "FuncTorchBatched")
