"""NVIDIA's own parser and builder (TensorRT-RTX, on the CPU) take every body."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from tests.onnx_files.calls import CASES, lengths, tensors
from tests.onnx_files.standalone import standalone_model

pytestmark = [pytest.mark.needs("tensorrt-rtx"), pytest.mark.timeout(600)]


def build(model: ir.Model, capability: str) -> None:
    # Imported here, for the tests to be counted where the package is missing.
    import tensorrt_rtx as trt

    from tests.rtx.engines import Parsed, input_sizes

    parsed = Parsed(ir.to_proto(model).SerializeToString())
    parsed.build(input_sizes(model), getattr(trt.ComputeCapability, capability))


@pytest.mark.parametrize("given", ["plain", "lengths"])
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_body_builds(case, causal, given):
    args = tensors(2, 4, 2, 32, 48, width=16, value_width=16)
    if given == "lengths":
        args = (*args, lengths(48, 20), lengths(16, 5))
    model = standalone_model(case.module(causal), args)
    build(model, "SM86")


@pytest.mark.parametrize("case", [case for case in CASES if case.name in ("krause_window", "hla_2", "ssa_top_k")])
def test_half_body_builds(case):
    import torch

    args = tensors(2, 4, 2, 32, 48, width=16, value_width=16, dtype=torch.float16)
    model = standalone_model(case.module(True), args)
    build(model, "SM120")
