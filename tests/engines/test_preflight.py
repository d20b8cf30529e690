"""Every way in which a build is known to fail, provoked once: the line says the cause."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx.helper import make_node

import attnexport
from attnexport.backends.tensorrt_rtx import TensorRtRtxBuilder
from attnexport.engines.draft import Draft
from attnexport.engines.preflight import check_files, check_nodes
from attnexport.errors import AttnexportError
from attnexport.graph.tensorrt8 import rewrite_for_tensorrt8
from attnexport.plugins.calling.library import Library, load_library
from tests.calibration.graphs import WIDTH, save_layers
from tests.cli.commands import Refuse
from tests.engines.models import draft_for, save_graph, value, with_attribute
from tests.onnx_files.calls import Call, tensors
from tests.onnx_files.standalone import standalone_model
from tests.tools import require

IMAGE = "image=1x8x8:2x8x8:8x8x8"


@pytest.fixture
def refuse_build(refuse: Refuse, tmp_path: Path):
    """Builds for an RTX target, which must be refused; returns the line without the command's name."""
    require("tensorrt-rtx")

    def invoke(model: Path, *options: object, target: str = "rtx-50") -> str:
        line = refuse("build", model, "-o", tmp_path / "model.engine", "--target", target, *options)
        return line.removeprefix("attnexport: ")

    return invoke


def refused(path: Path, target: str, version: str, **options) -> str:
    """The line for a TensorRT that is not installed here."""
    draft = draft_for(path, target, version, **options)
    with pytest.raises(AttnexportError) as caught:
        check(draft)
    return str(caught.value)


def check(draft: Draft) -> None:
    """The whole pre-flight."""
    check_files(draft)
    check_nodes(draft, None)


def test_operator_unknown_to_tensorrt(refuse_build, tmp_path: Path):
    model = save_graph(tmp_path / "det.onnx", [make_node("Det", ["x"], ["y"], name="n")], [value("x", [4, 8, 8])])
    assert refuse_build(model) == f"{model}: node n: operator Det is unknown to TensorRT-RTX 1.7.1"


def test_operator_of_onnx_runtime_alone(refuse_build, tmp_path: Path):
    node = make_node("QuickGelu", ["x"], ["y"], name="n", domain="com.microsoft")
    model = save_graph(tmp_path / "contrib.onnx", [node], [value("x", [4, 8])])
    expected = "operator com.microsoft::QuickGelu is no standard operator, and no plugin of that name is loaded"
    assert refuse_build(model) == f"{model}: node n: {expected}"


def test_operator_in_a_function_unknown_to_an_older_tensorrt(tmp_path: Path):
    gelu = make_node("Gelu", ["x"], ["y"], name="n")
    model = save_graph(tmp_path / "gelu.onnx", [gelu], [value("x", [4, 8])], opset=17)
    assert (
        refused(model, "jetson-orin-jp6.0", "8.6.2") == f"{model}: node n: operator Gelu is unknown to TensorRT 8.6.2"
    )
    check(draft_for(model, "jetson-orin-jp6.2", "10.3.0"))


def test_library_that_is_none(refuse_build, converted: dict[str, Path], tmp_path: Path):
    noise = tmp_path / "noise.so"
    noise.write_bytes(b"\x7fELF" + os.urandom(100))
    line = refuse_build(converted["digits/topn"], "--shapes", IMAGE, "--plugins", noise)
    assert line.startswith(f"{noise}: expected a plugin library, but it cannot be opened: ")
    assert refuse_build(converted["digits/topn"], "--plugins", tmp_path / "none.so", "--shapes", IMAGE).endswith(
        "none.so: no such file"
    )


def test_library_that_tensorrt_does_not_load(
    refuse_build,
    converted: dict[str, Path],
    plain_path: Path,
):
    line = refuse_build(converted["digits/affine"], "--shapes", IMAGE, "--plugins", plain_path)
    assert line.startswith(f"TensorRT-RTX 1.7.1: {plain_path}: the plugin library cannot be loaded: ")
    assert "getCreators" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attribute", "given", "said"),
    [
        ("plugin_version", "2", "expected plugin attnexport::TopNAttention version 2, {library} has {there}"),
        ("plugin_namespace", "mine", "expected plugin mine::TopNAttention version 1, {library} has {there}"),
        (
            "plugin_namespace",
            None,
            "expected the attribute plugin_namespace, without which TensorRT prefers its body",
        ),
    ],
)
def test_node_that_finds_no_plugin(
    attribute: str,
    given: str | None,
    said: str,
    refuse_build,
    converted: dict[str, Path],
    library: Path,
    tmp_path: Path,
):
    model = with_attribute(converted["digits/topn"], tmp_path / "edited.onnx", attribute, given)
    line = refuse_build(model, "--shapes", IMAGE, "--plugins", library)
    expected = said.format(library=library, there="attnexport::TopNAttention version 1")
    assert line == f"{model}: node node_top_n_attention (TopNAttention): {expected}"


def test_operator_that_a_library_was_built_without(
    converted: dict[str, Path],
    plain_library: Library,
):
    model = converted["digits/topn"]
    line = refused(model, "h100", "10.3.0", library=plain_library, shapes=[IMAGE])
    assert f"{model}: node node_top_n_attention (TopNAttention): expected plugin attnexport::TopNAttention" in line
    assert "has no plugin of that name but AffineScaledAttention, HadamardLinearAttention: build it again" in line


@pytest.mark.slow
def test_library_without_code_for_the_gpu(refuse_build, converted: dict[str, Path], library: Path):
    line = refuse_build(converted["digits/topn"], "--shapes", IMAGE, "--plugins", library, target="rtx-30")
    expected = "expected code for SM 86 of target rtx-30, given 87 90 and PTX 90"
    assert line == f"{library}: {expected}: build it with attnexport plugins build --target rtx-30"


@pytest.mark.slow
def test_library_without_kernels_of_the_precision(refuse_build, converted: dict[str, Path], library: Path):
    model = converted["digits/topn"]
    line = refuse_build(model, "--shapes", IMAGE, "--plugins", library, "--precision", "bf16")
    expected = f"expected kernels of bfloat16, {library} has kernels of float32, float16: build it again, "
    expected += "attnexport plugins build without --for"
    assert line.startswith(f"{model}: node node_top_n_attention (TopNAttention): {expected}")


@pytest.mark.slow
def test_library_without_kernels_of_the_width(refuse_build, library: Path, tmp_path: Path):
    model = tmp_path / "wide.onnx"
    module = Call(lambda q, k, v, **rest: attnexport.top_n_attention(q, k, v, 4, **rest))
    ir.save(standalone_model(module, tensors(2, 2, 2, 9, 9, width=64, value_width=64)), model)
    shapes = (part for name in "qkv" for part in ("--shapes", f"{name}=1x2x4x64:2x2x9x64:2x2x99x64"))
    line = refuse_build(model, *shapes, "--plugins", library)
    sizes = ", ".join(3 * ["(2, 2, 99, 64) float32"])
    expected = f"expected a kernel for {sizes}, {library} has widths to 16, or other options: build it again, "
    assert line.startswith(f"{model}: node node_TopNAttention_0 (TopNAttention): {expected}")


@pytest.mark.slow
def test_library_for_another_tensorrt(converted: dict[str, Path], library: Path, tmp_path: Path):
    opened = load_library(library)
    model = lowered(converted["digits/topn"], tmp_path)
    line = refused(model, "jetson-orin-jp6.0", "8.6.2", library=opened, shapes=[IMAGE])
    assert line.startswith(f"{library}: expected plugin interface v2 for TensorRT 8.6.2, given v3: build it with ")
    line = refused(model, "jetson-xavier-jp5", "8.5.2", library=opened, shapes=[IMAGE])
    assert line == "plugins: target jetson-xavier-jp5 runs none of the plugins: leave plugins away"
    line = refused(model, "jetson-orin-jp6.2", "8.6.2", library=opened, shapes=[IMAGE])
    assert line.endswith("given v3: build it with attnexport plugins build --api v2")


def test_top_k_beyond_the_limit(refuse_build, tmp_path: Path):
    node = make_node("TopK", ["x", "k"], ["y", "index"], name="n")
    constants = {"k": np.array([3841], dtype=np.int64)}
    model = save_graph(tmp_path / "top.onnx", [node], [value("x", [2, 8000])], constants)
    assert refuse_build(model) == f"{model}: node n: TopK selects 3841 elements, TensorRT at most 3840"


def test_top_k_beyond_the_limit_in_a_body_at_the_largest_shape(refuse_build, tmp_path: Path):
    module = Call(lambda q, k, v, **rest: attnexport.top_n_attention(q, k, v, 3900, **rest))
    model = tmp_path / "topn.onnx"
    ir.save(standalone_model(module, tensors(1, 2, 2, 4, 6)), model)

    k, v = "k=1x2x4x8:1x2x9x8:1x2x4000x8", "v=1x2x4x5:1x2x9x5:1x2x4000x5"
    line = refuse_build(model, "--shapes", "q=1x2x4x8", "--shapes", k, "--shapes", v)
    where = "node node_TopNAttention_0 (TopNAttention), in its body"
    assert line == (
        f"{model}: {where}: TopK selects 3900 elements, TensorRT at most 3840; the plugin library has no such limit"
    )


def test_top_k_without_a_constant(tmp_path: Path):
    nodes = [make_node("TopK", ["x"], ["y", "index"], name="n", k=3)]
    check(draft_for(save_graph(tmp_path / "old.onnx", nodes, [value("x", [2, 9])], opset=9), "rtx-40", "1.7.1"))


def test_computed_k_for_the_oldest_release(tmp_path: Path):
    nodes = [make_node("Min", ["k", "x"], ["m"], name="m"), make_node("TopK", ["v", "m"], ["y", "index"], name="n")]
    inputs = [value("v", [2, 9]), value("x", [1], 7)]
    model = save_graph(tmp_path / "k.onnx", nodes, inputs, {"k": np.array([3], dtype=np.int64)}, opset=17)
    line = refused(model, "jetson-orin-jp5", "8.5.2")
    assert line.startswith(f"{model}: node n: TopK computes how many it selects, TensorRT 8.5.2 wants a constant")
    check(draft_for(model, "jetson-orin-jp6.0", "8.6.2"))


def test_opset_too_new(refuse_build, tmp_path: Path):
    model = save_graph(tmp_path / "new.onnx", [make_node("Relu", ["x"], ["y"], name="n")], [value("x", [2])], opset=24)
    expected = "opset 24: expected 23 or lower for target rtx-50 (TensorRT-RTX 1.7.1)"
    assert refuse_build(model) == f"{model}: {expected}: convert the model with --target rtx-50"


def test_four_bits_for_a_tensorrt_before_their_opset(tmp_path: Path):
    file = save_layers(tmp_path / "layers.onnx", opset=21)
    made = attnexport.quantize(file, tmp_path / "int4.onnx", to="int4-weights")
    shapes = [f"x=1x{WIDTH}:2x{WIDTH}:8x{WIDTH}"]
    line = refused(made.path, "jetson-orin-jp6.2", "10.3.0", shapes=shapes)
    expected = "opset 21: expected 20 or lower for target jetson-orin-jp6.2 (TensorRT 10.3.0): convert the model with "
    ways = 'target="jetson-orin-jp6.2", and quantize it with to="int8-weights": int4 came with opset 21'
    assert line == f"{made.path}: {expected}{ways}"
    check(draft_for(made.path, "jetson-orin-jp7", "10.16.1", shapes=shapes))


def test_what_tensorrt_8_computes_wrongly(tmp_path: Path):
    nodes = [make_node("Shape", ["x"], ["y"], name="n", start=1)]
    model = save_graph(tmp_path / "shape.onnx", nodes, [value("x", [2, 3])], opset=17)
    line = refused(model, "jetson-orin-jp6.0", "8.6.2")
    expected = 'TensorRT 8.6.2 passes over its start: convert the model with target="jetson-orin-jp6.0"'
    assert line == f"{model}: node n (Shape): {expected}"
    check(draft_for(model, "jetson-orin-jp6.2", "10.3.0"))
    assert refused(model, "jetson-orin-jp6.2", "8.6.2").endswith(": convert the model with opset=17")


def test_functions_for_tensorrt_8(converted: dict[str, Path], tmp_path: Path):
    model = lowered(converted["digits/topn"], tmp_path)
    line = refused(model, "jetson-orin-jp6.0", "8.6.2", shapes=[IMAGE])
    where = f"{model}: node node_top_n_attention (TopNAttention)"
    assert line.startswith(
        f"{where} has its body in a function, and TensorRT 8.6.2 knows none: convert the model with target="
    )
    line = refused(model, "jetson-orin-jp6.2", "8.6.2", shapes=[IMAGE])
    assert line.endswith('convert the model with nodes="body", or give the plugin library, plugins="LIB"')


def lowered(path: Path, folder: Path) -> Path:
    """The file as for TensorRT 8, with its functions."""
    model = ir.load(path)
    rewrite_for_tensorrt8(model)
    model.opset_imports[""] = 17
    for function in model.functions.values():
        function.opset_imports[""] = 17
    ir.save(model, folder / "opset17.onnx")
    return folder / "opset17.onnx"


def test_precision_that_the_target_lacks(refuse_build, converted: dict[str, Path], tmp_path: Path):
    model = lowered(converted["digits/topn"], tmp_path)
    line = refused(model, "jetson-orin-jp6.0", "8.6.2", precision="bf16", shapes=[IMAGE])
    assert line == "precision bf16: expected one of fp32, fp16, int8 for target jetson-orin-jp6.0 (TensorRT 8.6.2)"


def test_fp8_on_orin(tmp_path: Path):
    nodes = [make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="q"), make_node("Identity", ["q"], ["y"])]
    constants = {"scale": np.float32(1)}
    model = save_graph(tmp_path / "fp8.onnx", nodes, [value("x", [4]), value("zero", [], 17)], constants)
    line = refused(model, "jetson-orin-jp6.2", "10.3.0")
    assert line.startswith(f"{model}: tensor zero is fp8: expected types of fp32, bf16, fp16, int8 for target ")
    assert line.endswith('(TensorRT 10.3.0): quantize with to="int8"')


@pytest.mark.needs("tensorrt-rtx")
def test_gpu_that_tensorrt_rtx_does_not_build_for(converted: dict[str, Path]):
    survey = TensorRtRtxBuilder().survey(None, [])
    draft = draft_for(converted["digits/topn"], "h200", "1.7.1", shapes=[IMAGE])
    with pytest.raises(
        AttnexportError, match=r"^target: h200 is SM 90, TensorRT 1\.7\.1 builds .* for 75 80 86 89 120"
    ):
        check_nodes(draft, survey)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ((), "--shapes image: axis 0 (batch) has no upper bound in the file: give --shapes image="),
        (("--shapes", "pixels=1x8x8"), "--shapes pixels: the model has no such input; it has image"),
        (("--shapes", "image=1x8x9"), "--shapes image: axis 2 is fixed: expected 8, given 9"),
        (("--shapes", "image=1x8"), "--shapes image: expected 3 sizes (batch, 8, 8), given 1x8"),
    ],
)
def test_dims_and_profiles(shapes: tuple[str, ...], said: str, refuse_build, converted: dict[str, Path]):
    assert refuse_build(converted["digits/topn"], *shapes).startswith(said)


def test_node_without_a_body_and_without_a_library(refuse_build, converted: dict[str, Path], tmp_path: Path):
    model = ir.load(converted["digits/topn"])
    model.functions.clear()
    path = tmp_path / "bare.onnx"
    ir.save(model, path)
    line = refuse_build(path, "--shapes", IMAGE)
    assert line == (
        f"{path}: node node_top_n_attention (TopNAttention) has no body: give the plugin library, --plugins LIB"
    )
