"""An engine that is not what was asked for: builds that TensorRT finishes without a word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from attnexport.backends.building import BuiltEngine, Layer
from attnexport.backends.tensorrt_rtx import TensorRtRtxBuilder
from attnexport.engines.model_file import read_with_weights
from attnexport.engines.outcome import check_outcome
from attnexport.engines.shape_texts import parse_shapes
from attnexport.errors import BackendError
from attnexport.graph.nodes import variant_nodes
from attnexport.graph.precision import write_precision
from attnexport.plugins.calling.library import load_library
from attnexport.plugins.runtime.request import EngineOptions
from tests.engines.models import draft_for, with_attribute

pytestmark = [pytest.mark.needs("tensorrt-rtx"), pytest.mark.slow, pytest.mark.timeout(900)]

SHAPES = ["image=1x8x8:2x8x8:8x8x8"]


def built(model: Path, library: Path | None) -> BuiltEngine:
    return TensorRtRtxBuilder().build(model, EngineOptions(parse_shapes(SHAPES), plugins=library, sms=(86,)))


@pytest.fixture
def model(converted: dict[Path, Path]) -> Path:
    (found,) = (path for sample, path in converted.items() if sample.stem == "topn")
    return found


def test_a_node_whose_body_won(model: Path, library: Path, tmp_path: Path):
    edited = with_attribute(model, tmp_path / "edited.onnx", "plugin_namespace", None)
    draft = draft_for(edited, "h100", "10.16.0", library=load_library(library), shapes=SHAPES)
    with pytest.raises(BackendError) as caught:
        check_outcome(draft, built(edited, library))
    nodes = ", ".join(f"node_top_n_attention{suffix}" for suffix in ("", "_1", "_2", "_3"))
    expected = f"node {nodes}: expected a plugin of {library}, TensorRT 10.16.0 built their bodies"
    assert str(caught.value) == f"{edited}: {expected}"


def test_another_precision_than_asked_for(model: Path, library: Path):
    draft = draft_for(model, "h100", "10.16.0", library=load_library(library), shapes=SHAPES)
    engine = built(model, library)
    check_outcome(draft, engine)
    ordered = replace(draft, precision="fp16", model=read_with_weights(model))
    write_precision(ordered.model, "fp16")
    with pytest.raises(BackendError) as caught:
        check_outcome(replace(ordered, attention_nodes=tuple(variant_nodes(ordered.model.graph))), engine)
    assert str(caught.value) == f"{model}: expected plugin layers of fp16, TensorRT 10.16.0 built fp32 x 4"
    weakly_typed = draft_for(
        model, "jetson-orin-jp6.0", "8.6.2", library=draft.library, precision="fp16", shapes=SHAPES
    )
    check_outcome(weakly_typed, replace(engine, layers=(*engine.layers, Layer("gemm", "Gemm", ("fp16",)))))
    with pytest.raises(BackendError) as caught:
        check_outcome(weakly_typed, engine)
    said = 'expected layers of fp16, TensorRT 8.6.2 built fp32 alone, which it found as fast: give precision="fp32"'
    assert str(caught.value) == f"{model}: {said}"
    bodies = replace(draft, library=None, precision="fp16")
    with pytest.raises(BackendError) as caught:
        check_outcome(bodies, built(model, None))
    assert str(caught.value) == f"{model}: expected layers of fp16, TensorRT 10.16.0 built fp32 alone"
