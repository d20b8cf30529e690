"""Every variant is in every table that the tests of operators, bodies and kernels run over."""

from __future__ import annotations

import inspect

import pytest
import torch

from attnexport.variants.registry import all_variants
from attnexport.variants.spec import Variant
from tests.onnx_files import calls
from tests.plugins import kernel_cases
from tests.variants import cases

each_registered = pytest.mark.parametrize("variant", all_variants(), ids=lambda variant: variant.name)


@each_registered
def test_a_variant_has_cases_of_its_operator(variant: Variant) -> None:
    assert cases.cases_of(variant), f"{variant.name}: tests/variants/cases.py has no case, and needs one for its inputs"
    assert {case.torch_op for case in cases.cases_of(variant)} == {variant.torch_op}


@each_registered
def test_a_variant_has_cases_of_its_body(variant: Variant) -> None:
    modules = [case.module(causal=False) for case in calls.CASES if case.name.partition("_")[0] == variant.name]
    program = torch.export.export(modules[0], calls.tensors(2, 4, 2, 9, 13), strict=False)
    assert variant.torch_op in {node.target for node in program.graph.nodes}


@each_registered
def test_a_variant_has_cases_of_its_kernel(variant: Variant) -> None:
    case = next(case for case in kernel_cases.all_cases() if case.op_type == variant.op_type)
    inspect.signature(variant.reference).bind(**kernel_cases.make_arguments(case, torch.float32))
