"""Files that quantize wrote become engines of TensorRT-RTX whose attention runs through the plugins, without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

import attnexport
from attnexport.graph.inspection import read_model
from attnexport.graph.nodes import variant_nodes

pytestmark = [pytest.mark.needs("tensorrt-rtx"), pytest.mark.slow, pytest.mark.timeout(900)]

SAMPLE = Path("samples/digits/krause.pt2")
SHAPES = ["image=1x8x8:2x8x8:8x8x8"]


@pytest.mark.parametrize(
    ("to", "rounded"),
    [
        ("int8", "int8"),
        pytest.param("fp8", "fp8", marks=pytest.mark.thorough),
        pytest.param("int8-weights", "int8", marks=pytest.mark.thorough),
    ],
)
def test_a_quantized_file_builds_with_its_plugins(
    to: str, rounded: str, converted: dict[Path, Path], library: Path, tmp_path: Path
):
    (file,) = (file for sample, file in converted.items() if sample.parts[-2:] == SAMPLE.parts[-2:])
    data = None if to.endswith("-weights") else SAMPLE.with_name("test.npz")
    made = attnexport.quantize(file, tmp_path / "q.onnx", to=to, data=data, samples=32 if data else None)
    manifest = attnexport.build(made.path, tmp_path / "q.engine", target="rtx-50", plugins=library, shapes=SHAPES)
    assert sorted(manifest.plugin_nodes) == sorted(str(node.name) for node, _ in variant_nodes(read_model(file).graph))
    assert manifest.body_nodes == ()
    assert manifest.precision == to
    assert manifest.precisions[rounded] > 0
