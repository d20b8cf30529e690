"""NVIDIA's own parser and builder (TensorRT-RTX, on the CPU) take every sample and every body."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

import attnexport
from tests.onnx_files.calls import CASES, lengths, tensors
from tests.onnx_files.standalone import standalone_model

trt = pytest.importorskip("tensorrt_rtx")
pytestmark = pytest.mark.rtx

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(ROOT.glob("samples/*/*.pt2"))
CAPABILITIES = {"sm86": trt.ComputeCapability.SM86, "sm120": trt.ComputeCapability.SM120}
RANGES = {"batch": (1, 2, 8), "tokens": (2, 64, 256), "length": (2, 64, 256), "rows": (1, 32, 64), "keys": (8, 32, 64)}


class Log(trt.ILogger):
    """Keeps errors for the assertion message."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def log(self, severity, text: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.errors.append(text)


def build(model: bytes, names: dict[str, list[int | str]], capability) -> trt.IHostMemory:
    """Parses the model and builds its engine for one compute capability, no GPU needed."""
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    assert parser.parse(model), [parser.get_error(index).desc() for index in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(capability, 0)
    profile = builder.create_optimization_profile()
    for name, sizes in names.items():
        picks = ([size if isinstance(size, int) else RANGES[size][pick] for size in sizes] for pick in range(3))
        profile.set_shape(name, *picks)
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    assert engine is not None, log.errors
    return engine


def input_sizes(model: ir.Model) -> dict[str, list[int | str]]:
    return {
        value.name: [size if isinstance(size, int) else size.value for size in value.shape]
        for value in model.graph.inputs
    }


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    files = {}
    for sample in SAMPLES:
        loaded = attnexport.load_model(sample)
        path = folder / f"{sample.parent.name}-{sample.stem}.onnx"
        files[sample] = attnexport.convert(loaded.program, None, path, dim_names=loaded.dim_names).path
    return files


def test_there_are_seven_samples():
    assert len(SAMPLES) == 7


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_sample_builds_with_its_function_bodies(sample, capability, converted):
    model = ir.load(converted[sample])
    assert model.functions
    engine = build(converted[sample].read_bytes(), input_sizes(model), CAPABILITIES[capability])
    assert engine.nbytes > 10_000


@pytest.mark.parametrize("given", ["plain", "lengths"])
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_body_builds(case, causal, given):
    args = tensors(2, 4, 2, 32, 48, width=16, value_width=16)
    if given == "lengths":
        args = (*args, lengths(48, 20), lengths(16, 5))
    model = standalone_model(case.module(causal), args)
    build(ir.to_proto(model).SerializeToString(), input_sizes(model), trt.ComputeCapability.SM86)


@pytest.mark.parametrize("case", [case for case in CASES if case.name in ("krause_window", "hla_2", "ssa_top_k")])
def test_half_body_builds(case):
    import torch

    args = tensors(2, 4, 2, 32, 48, width=16, value_width=16, dtype=torch.float16)
    model = standalone_model(case.module(True), args)
    build(ir.to_proto(model).SerializeToString(), input_sizes(model), trt.ComputeCapability.SM120)
