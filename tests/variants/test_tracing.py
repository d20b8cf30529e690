"""The operators under opcheck, torch.export and torch.compile."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._functorch import config as functorch_config
from torch.export import Dim

from tests.variants.cases import (
    CASES,
    VISIBILITIES,
    Case,
    Inputs,
    Shape,
    each_case,
    each_variant,
    error,
    int32,
    lengths,
    map_tensors,
    tensors_of,
    with_gradients,
)

EXACT = 1e-12
QUICK_CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")
SMALL = Shape(rows=3, keys=5, width=2, value_width=2)


class Call(nn.Module):
    """One call of an operator."""

    def __init__(self, case: Case, causal: bool = False) -> None:
        super().__init__()
        self.case, self.causal = case, causal

    def forward(self, inputs: Inputs, kv_lengths: Tensor | None = None) -> Tensor:
        return self.case(inputs, causal=self.causal, kv_lengths=kv_lengths)


def operator_nodes(program: torch.export.ExportedProgram) -> list[Any]:
    return [node.target for node in program.graph.nodes if str(node.target).startswith("attnexport.")]


def dynamic_axes(case: Case, inputs: Inputs) -> dict[str, Any]:
    """Dynamic batch, and dynamic rows and keys unless the options fix them."""
    batch, rows, keys = Dim("batch", min=1, max=64), Dim("rows", min=1, max=512), Dim("keys", min=1, max=512)
    axes: dict[str, Any] = {}
    for name, value in inputs.items():
        axis: dict[int, Any] = {}
        if name in case.per_row + case.per_key:
            axis = {0: batch}
            if case.tokens is None:
                axis[2] = rows if name in case.per_row else keys
        axes[name] = [axis] * len(value) if isinstance(value, list) else axis
    return {"inputs": axes, "kv_lengths": {0: batch}}


@each_case
@pytest.mark.parametrize("causal", [False, True])
def test_opcheck_finds_nothing(case: Case, causal: bool) -> None:
    inputs = with_gradients(case.inputs(SMALL, torch.float32))
    arguments = case.raw_arguments(inputs, causal=causal, kv_lengths=lengths(case.fit(SMALL)))
    torch.library.opcheck(case.torch_op, arguments, test_utils=QUICK_CHECKS)


@each_variant
@pytest.mark.parametrize("rule", ["all", "prefill", "sliding-cache"])
def test_opcheck_finds_nothing_in_the_whole_of_its_checks(case: Case, rule: str) -> None:
    inputs = with_gradients(case.inputs(SMALL, torch.float32))
    torch.library.opcheck(case.torch_op, case.raw_arguments(inputs, **VISIBILITIES[rule](SMALL)))


@pytest.mark.thorough
@each_case
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "shape", [Shape(batch=1, rows=1, keys=1), Shape(batch=3, rows=66, keys=9)], ids=["one", "blocks"]
)
def test_opcheck_finds_nothing_at_other_sizes_and_dtypes(case: Case, dtype: torch.dtype, shape: Shape) -> None:
    shape = case.fit(shape)
    inputs = with_gradients(case.inputs(shape, dtype))
    torch.library.opcheck(case.torch_op, case.raw_arguments(inputs, **VISIBILITIES["causal-lengths"](shape)))


@each_case
def test_fake_tensors_have_the_outputs_shape_and_dtype(case: Case) -> None:
    inputs = case.inputs(Shape(), torch.float16)
    expected = case(inputs)
    with torch._subclasses.FakeTensorMode() as mode:
        fake = case(map_tensors(mode.from_tensor, inputs))
    assert (fake.shape, fake.dtype, fake.stride()) == (expected.shape, expected.dtype, expected.stride())


@each_case
def test_export_keeps_one_node_and_the_numbers_at_other_sizes(case: Case) -> None:
    traced, other = case.fit(Shape(rows=6, keys=8)), case.fit(Shape(batch=3, rows=20, keys=33))
    model, inputs = Call(case, causal=True), case.inputs(traced)
    program = torch.export.export(
        model, (inputs, lengths(traced)), dynamic_shapes=dynamic_axes(case, inputs), strict=False
    )
    assert operator_nodes(program) == [case.torch_op]
    for shape in (traced, other):
        given = case.inputs(shape, seed=2)
        out = program.module()(given, lengths(shape))
        assert error(out, model(given, lengths(shape))) <= EXACT


@each_case
def test_two_calls_are_two_nodes(case: Case) -> None:
    class Twice(nn.Module):
        def forward(self, inputs: Inputs) -> Tensor:
            return case(inputs) + case(inputs, causal=True)

    program = torch.export.export(Twice(), (case.inputs(),), strict=False)
    assert operator_nodes(program) == [case.torch_op, case.torch_op]


@each_variant
def test_decomposing_leaves_the_operator_whole(case: Case) -> None:
    program = torch.export.export(Call(case), (case.inputs(),), strict=False).run_decompositions()
    assert operator_nodes(program) == [case.torch_op]


@functorch_config.patch(enable_autograd_cache=False)
def assert_compiled_equals_eager(case: Case, **options: Any) -> None:
    """The cache of compiled backward passes is off: its key knows the operator's name, not its reference."""
    torch.compiler.reset()
    compiled = torch.compile(Call(case, causal=True), fullgraph=True, **options)
    for shape in (case.fit(Shape(rows=6, keys=8)), case.fit(Shape(batch=3, rows=7, keys=9))):
        eager = with_gradients(case.inputs(shape))
        traced = with_gradients(eager)
        out = case(eager, causal=True, kv_lengths=lengths(shape))
        again = compiled(traced, lengths(shape))
        assert error(again, out) <= EXACT
        out.square().sum().backward()
        again.square().sum().backward()
        for found, expected in zip(tensors_of(traced), tensors_of(eager), strict=True):
            assert error(found.grad, expected.grad) <= EXACT * max(1.0, float(expected.grad.abs().max()))


@each_variant
def test_a_traced_graph_equals_eager_forward_and_backward(case: Case) -> None:
    assert_compiled_equals_eager(case, backend="aot_eager")


@pytest.mark.slow
@pytest.mark.needs("g++", "Python's headers")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=() if case.name == "krause-window4" else pytest.mark.thorough)
        for case in CASES
        if case.name in {"krause-window4", "hla-one"}
    ],
)
def test_compiled_equals_eager_forward_and_backward(case: Case) -> None:
    assert_compiled_equals_eager(case, dynamic=True)


def test_compiled_takes_changing_lengths_without_compiling_again() -> None:
    torch.compiler.reset()
    (case,) = (case for case in CASES if case.name == "krause-window4")
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(Call(case, causal=True), fullgraph=True, backend=counter)
    inputs = case.inputs()
    for values in ((3, 7), (1, 2), (0, 0)):
        out = compiled(inputs, int32(*values))
        assert error(out, case(inputs, causal=True, kv_lengths=int32(*values))) <= EXACT
    assert counter.frame_count == 1
