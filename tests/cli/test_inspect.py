"""attnexport inspect and attnexport variants."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import onnx.helper as oh

import attnexport
from attnexport.files.outputs import sha256
from attnexport.variants.registry import all_variants
from tests.cli.commands import Run
from tests.cli.models import CLASSES, WIDTH


def test_inspect_lists_nodes_dims_opset_and_hash(run: Run, converted: Path):
    result = run("inspect", converted)
    assert (result.code, result.err) == (0, "")
    for text in (
        f"x: (batch, tokens, {WIDTH}) float",
        f"output: (batch, tokens, {CLASSES}) float",
        f"{converted.stat().st_size:,} bytes",
        f"SHA-256 {sha256(converted)}",
        "opset 20",
        f"version {attnexport.__version__}",
        "HadamardLinearAttention:1,KrauseAttention:1",
        "window=4",
        "num_key_factors=2",
    ):
        assert text in result.text
    names = {node.name for node in onnx.load(converted).graph.node if node.domain == "attnexport"}
    assert len(names) == 2
    assert all(name in result.out for name in names)


def test_inspect_shows_a_missing_plugin_look_up_and_a_missing_body(run: Run, converted: Path, tmp_path: Path):
    model = onnx.load(converted)
    del model.functions[:]
    for node in model.graph.node:
        kept = [attribute for attribute in node.attribute if not attribute.name.startswith("plugin_")]
        del node.attribute[:]
        node.attribute.extend(kept)
    path = tmp_path / "bare.onnx"
    onnx.save(model, path)
    result = run("inspect", path)
    assert (result.code, result.err) == (0, "")
    assert result.out.count("plugin_namespace") == 2
    assert result.out.count("NO") == 2


def test_inspect_reads_a_file_that_is_not_ours(run: Run, tmp_path: Path):
    value = oh.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 3])
    out = oh.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = oh.make_graph([oh.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    path = tmp_path / "relu.onnx"
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=9), path)
    result = run("inspect", path)
    assert (result.code, result.err) == (0, "")
    assert "x: (?, 3) float" in result.text
    assert "y: (?) float" in result.text
    assert "No node of attnexport" in result.text


def test_names_with_brackets_are_printed_as_they_are(run: Run, converted: Path, tmp_path: Path):
    path = tmp_path / "a[" / "b] [red] :smile:.onnx"
    path.parent.mkdir()
    shutil.copy(converted, path)
    result = run("inspect", path)
    assert (result.code, result.err) == (0, "")
    assert "a[/b] [red] :smile:.onnx" in result.text


def test_variants_lists_the_registry(run: Run):
    result = run("variants")
    assert (result.code, result.err) == (0, "")
    assert all_variants()
    cells = "".join(result.out.replace("│", " ").split())
    for variant in all_variants():
        assert f"\n{variant.name} " in result.out
        for word in (*variant.formula.split(), *variant.cost.split(), *variant.paper.split()):
            assert word in cells
