"""Where Q/DQ stand in every sample: before products alone, one pair a tensor, and nowhere near attention or norms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

import attnexport
from attnexport.calibration.layers import layers_of
from attnexport.calibration.ranges import Range, Ranges
from attnexport.engines.preflight.quantizers import notes_on_placement
from attnexport.files.outputs import sha256
from attnexport.graph.nodes import variant_nodes
from attnexport.graph.placement import misplaced
from attnexport.variants.descriptions import Placement, descriptions
from tests.engines.models import draft_for
from tests.plugins import libraries

PRODUCTS = {"MatMul", "Gemm", "Conv"}
SAMPLES = [path for path in libraries.SAMPLES if path.parent.name in ("digits", "language")]
EVERY = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    return libraries.converted_samples(tmp_path_factory)


@pytest.fixture
def quantized(sample: Path, converted: dict[Path, Path], tmp_path: Path) -> ir.Model:
    """The sample in int8, with ranges that no data gave."""
    return ir.load(to_int8(converted[sample], tmp_path / "q.onnx"))


def to_int8(path: Path, output: Path) -> Path:
    names = {layer.activation.name or "" for layer in layers_of(ir.load(path))}
    ranges = Ranges(sha256(path), ("0",), "minmax", 1, dict.fromkeys(names, Range(-1.0, 1.0, -1.0, 1.0)))
    return attnexport.quantize(path, output, to="int8", ranges=ranges).path


def producer_of(value: ir.Value | None) -> str:
    producer = None if value is None else value.producer()
    return "" if producer is None else producer.op_type


@EVERY
def test_every_pair_stands_right_before_the_products_that_read_it(quantized: ir.Model):
    quantizers = [node for node in quantized.graph if node.op_type == "QuantizeLinear"]
    assert quantizers
    for quantizer in quantizers:
        (dequantizer,) = quantizer.outputs[0].consumers()
        assert dequantizer.op_type == "DequantizeLinear"
        assert dequantizer.inputs[1] is quantizer.inputs[1]
        reads = dequantizer.outputs[0].uses()
        assert {(node.op_type in PRODUCTS, position) for node, position in reads} == {(True, 0)}
    sources = [quantizer.inputs[0] for quantizer in quantizers]
    assert len(sources) == len(set(sources))
    assert not any(source.is_initializer() for source in sources)


@EVERY
def test_projections_of_one_tensor_share_its_pair_and_scale(sample: Path, converted: dict[Path, Path], tmp_path: Path):
    layers = list(layers_of(ir.load(converted[sample])))
    rounded = ir.load(to_int8(converted[sample], tmp_path / "q.onnx"))
    read = {node.name: node.inputs[0] for node in rounded.graph}
    assert {producer_of(read[layer.node.name]) for layer in layers} == {"DequantizeLinear"}
    tensors = [layer.activation.name for layer in layers]
    assert max(map(tensors.count, tensors)) >= 3
    pairs = {(layer.activation.name, read[layer.node.name].name) for layer in layers}
    assert len(pairs) == len(set(tensors))


@EVERY
def test_every_weight_has_a_scale_for_each_output(sample: Path, converted: dict[Path, Path], tmp_path: Path):
    layers = {layer.node.name: layer for layer in layers_of(ir.load(converted[sample]))}
    assert {"Conv" in {layer.node.op_type for layer in layers.values()}} == {sample.parent.name == "language"}
    rounded = ir.load(to_int8(converted[sample], tmp_path / "q.onnx"))
    for node in (node for node in rounded.graph if node.name in layers):
        layer, dequantizer = layers[node.name], node.inputs[1].producer()
        outputs = layer.node.outputs[0].shape[1 if node.op_type == "Conv" else -1]
        assert dequantizer.op_type == "DequantizeLinear"
        assert layer.weight_shape[dequantizer.attributes.get_int("axis")] == outputs
        assert dequantizer.inputs[1].shape == [outputs]


@EVERY
def test_attention_norms_sums_and_tables_are_as_they_were(
    sample: Path, converted: dict[Path, Path], quantized: ir.Model
):
    before = ir.load(converted[sample])
    assert list(misplaced(quantized)) == []
    assert len(variant_nodes(quantized.graph)) == len(variant_nodes(before.graph)) > 0
    others = {node.name: node for node in quantized.graph if node.op_type not in PRODUCTS}
    for node in (node for node in before.graph if node.op_type not in PRODUCTS):
        assert [value and value.name for value in others[node.name].inputs] == [
            value and value.name for value in node.inputs
        ]
    tables = [node.inputs[0] for node in quantized.graph if node.op_type == "Gather"]
    assert all(value.dtype == before.graph.initializers[value.name].dtype for value in tables if value.is_initializer())


def test_the_rule_of_a_variant_leaves_its_operands_floating_unless_it_names_them(
    converted: dict[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """No kernel takes rounded operands so far; what another tool rounds before one is told."""
    assert {description.placement for description in descriptions()} == {Placement()}
    (file,) = (file for sample, file in converted.items() if sample.stem == "topn")
    model = onnx.load(to_int8(file, tmp_path / "q.onnx"))
    node = next(node for node in model.graph.node if node.domain == "attnexport")
    pair = [each for each in model.graph.node if each.op_type.endswith("QuantizeLinear")][:1]
    scale, zero = pair[0].input[1], pair[0].input[2]
    keys, position = node.input[1], list(model.graph.node).index(node)
    model.graph.node.insert(
        position, onnx.helper.make_node("DequantizeLinear", ["k_q", scale, zero], ["k_d"], name="d")
    )
    model.graph.node.insert(position, onnx.helper.make_node("QuantizeLinear", [keys, scale, zero], ["k_q"], name="q"))
    node.input[1] = "k_d"
    onnx.save(model, tmp_path / "foreign.onnx")
    draft = draft_for(tmp_path / "foreign.onnx", "rtx-50", "1.7.1", shapes=["image=1x8x8:2x8x8:8x8x8"])
    said = "k goes through Q/DQ, which its plugin does not take: it is rounded and read in fp32"
    assert notes_on_placement(draft) == [f"node {node.name} (TopNAttention): {said}"]
    variant = draft.attention_nodes[0][1]
    willing = replace(variant, placement=Placement(rounded=("k",)))
    monkeypatch.setattr(
        "attnexport.graph.placement.variant_nodes", lambda graph: [(each, willing) for each, _ in variant_nodes(graph)]
    )
    assert notes_on_placement(draft) == []
