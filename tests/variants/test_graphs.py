"""One graph serves every size: torch.compile, torch.export and torch.cond fix no size of an operator or module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from tests.conversion.models import Branch
from tests.variants.cases import (
    Case,
    Inputs,
    Shape,
    each_case,
    each_variant,
    error,
    int32,
    lengths,
    map_tensors,
    starts,
)
from tests.variants.test_modules import DIM, FACTORIES, Factory

SIZES = ((2, 6), (3, 7), (4, 9), (5, 11), (6, 13), (7, 15))
"""Batch and tokens of six calls."""

FREE_FACTORIES = [factory for factory in FACTORIES if "grid" not in factory.__name__]

each_free_module = pytest.mark.parametrize("factory", [pytest.param(each, id=each.__name__) for each in FREE_FACTORIES])
each_visibility = pytest.mark.parametrize(
    ("causal", "padded"), [pytest.param(False, False, id="all"), pytest.param(True, True, id="causal-padded")]
)
each_strictness = pytest.mark.parametrize(
    "strict",
    [pytest.param(False, id="non-strict"), pytest.param(True, id="strict", marks=pytest.mark.slow)],
)


@pytest.fixture(autouse=True)
def _nothing_compiled() -> None:
    torch.compiler.reset()


def graphs_of(function: Callable[..., Tensor], calls: list[tuple[Any, dict[str, Tensor]]]) -> int:
    """How many graphs torch.compile makes for the calls, each of which must give the function's own numbers."""
    graphs = []

    def count(graph: torch.fx.GraphModule, example: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(function, dynamic=True, fullgraph=True, backend=count)
    for given, visibility in calls:
        assert error(compiled(given, **visibility), function(given, **visibility)) <= 1e-12
    return len(graphs)


def visibility_of(shape: Shape, padded: bool) -> dict[str, Tensor]:
    if not padded:
        return {}
    return {"kv_lengths": lengths(shape), "q_start": starts(shape, 0), "kv_start": starts(shape, -2)}


@each_case
def test_an_operator_compiles_for_all_sizes(case: Case) -> None:
    shapes = [case.fit(Shape(batch=batch, rows=tokens, keys=tokens + 3)) for batch, tokens in SIZES]
    calls = [(case.inputs(shape), visibility_of(shape, padded=True)) for shape in shapes]
    assert graphs_of(lambda inputs, **visibility: case(inputs, causal=True, **visibility), calls) <= 2


@each_free_module
@each_visibility
def test_a_module_compiles_for_all_sizes(factory: Factory, causal: bool, padded: bool) -> None:
    module = factory(causal=causal).double().eval()
    calls = [
        (torch.randn(batch, tokens, DIM).double(), visibility_of(Shape(batch=batch, keys=tokens), padded))
        for batch, tokens in SIZES
    ]
    assert graphs_of(module, calls) <= 2


@each_free_module
@each_visibility
def test_a_module_exports_strictly_with_dynamic_sizes(factory: Factory, causal: bool, padded: bool) -> None:
    module = factory(causal=causal).double().eval()
    batch, tokens = Dim("batch"), Dim("tokens")
    names = visibility_of(Shape(batch=2, keys=6), padded)
    program = torch.export.export(
        module,
        (torch.randn(2, 6, DIM).double(),),
        names,
        dynamic_shapes={"x": {0: batch, 1: tokens}} | {name: {0: batch} for name in names},
        strict=True,
    )
    other = torch.randn(5, 9, DIM).double()
    visibility = visibility_of(Shape(batch=5, keys=9), padded)
    assert error(program.module()(other, **visibility), module(other, **visibility)) <= 1e-12


@each_free_module
@each_strictness
def test_a_module_keeps_the_batch_dynamic_in_a_condition(factory: Factory, strict: bool) -> None:
    module = Branch(factory().double().eval())
    example = torch.randn(2, 6, DIM).double()
    program = torch.export.export(module, (example,), dynamic_shapes={"x": {0: Dim("batch")}}, strict=strict)
    for other in (torch.rand(5, 6, DIM).double(), -torch.rand(3, 6, DIM).double()):
        assert error(program.module()(other), module(other)) <= 1e-12


class Counted(nn.Module):
    """A call on the first ``count`` samples, rows or keys, a number that only the tensor holds."""

    def __init__(self, case: Case, axis: str, causal: bool) -> None:
        super().__init__()
        self.case, self.axis, self.causal = case, axis, causal

    def forward(self, inputs: Inputs, count: Tensor, kv_lengths: Tensor) -> Tensor:
        size = count.item()
        torch._check(size >= 0)
        torch._check(size <= 3)
        chosen = {"rows": self.case.per_row, "keys": self.case.per_key}.get(self.axis)
        chosen = chosen or self.case.per_row + self.case.per_key
        axis = 0 if self.axis == "batch" else 2
        cut = map_tensors(lambda tensor: tensor.narrow(axis, 0, size), {name: inputs[name] for name in chosen})
        if self.axis == "batch":
            kv_lengths = kv_lengths.narrow(0, 0, size)
        return self.case(inputs | cut, causal=self.causal, kv_lengths=kv_lengths)


@each_variant
@pytest.mark.parametrize("axis", ["batch", "rows", "keys"])
@each_strictness
def test_a_size_that_only_a_tensor_holds_exports(case: Case, axis: str, strict: bool) -> None:
    model, shape = Counted(case, axis, causal=True), Shape(batch=3)
    inputs = case.inputs(shape)
    program = torch.export.export(model, (inputs, torch.tensor(2), lengths(shape)), strict=strict)
    for count in (1, 2, 3):
        given = (inputs, torch.tensor(count), lengths(shape))
        assert error(program.module()(*given), model(*given)) <= 1e-12


@each_variant
def test_what_does_not_fit_is_still_named_while_tracing(case: Case) -> None:
    def call(inputs: Inputs) -> Tensor:
        return case(inputs, kv_lengths=int32(1, 2, 3))

    with pytest.raises(Exception, match="kv_lengths: expected int32"):
        torch.compile(call, fullgraph=True, backend="eager")(case.inputs())
