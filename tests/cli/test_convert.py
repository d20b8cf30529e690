"""attnexport convert: every way to give a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors.torch import save_file

from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.files.outputs import sha256
from tests.cli.commands import Run
from tests.cli.models import WIDTH, Plain, small, tiny

TINY = ("--model", "tests.cli.models:tiny", "--inputs", f"x=2x9x{WIDTH}:f32", "--dynamic", "x:0=batch,1=tokens")


def rows_agree(path: Path, model: torch.nn.Module, batch: int, tokens: int) -> bool:
    x = torch.randn(batch, tokens, WIDTH, generator=torch.Generator().manual_seed(3))
    (given,) = OnnxRuntimeBackend(path).run({"x": x.numpy()}).values()
    with torch.no_grad():
        return bool(np.allclose(given, model(x).numpy(), atol=1e-5))


def sizes_of(path: Path) -> list[str]:
    (x,) = onnx.load(path).graph.input
    return [dim.dim_param or str(dim.dim_value) for dim in x.type.tensor_type.shape.dim]


def opset_of(path: Path) -> int:
    return next(entry.version for entry in onnx.load(path).opset_import if entry.domain == "")


def test_program_becomes_a_file_that_computes_it_at_other_sizes(converted):
    assert sizes_of(converted) == ["batch", "tokens", str(WIDTH)]
    assert rows_agree(converted, small(), 3, 30)
    assert [entry.name for entry in converted.parent.iterdir()].count(converted.name) == 1


def test_output_says_what_was_written(run: Run, saved: Path, tmp_path: Path):
    path = tmp_path / "out.onnx"
    result = run("convert", saved, "-o", path, "--opset", 17)
    assert (result.code, result.err) == (0, "")
    for text in (str(path), "opset 17", "KrauseAttention x 1", "HadamardLinearAttention x 1", "x 2x9x16", sha256(path)):
        assert text in result.text
    assert opset_of(path) == 17
    assert len(onnx.load(path).functions) == 2
    assert rows_agree(path, small(), 3, 20)
    assert list(tmp_path.iterdir()) == [path]


def test_file_for_tensorrt_8_has_no_functions_and_passes_check(run: Run, saved: Path, tmp_path: Path):
    path = tmp_path / "out.onnx"
    result = run("convert", saved, "-o", path, "--target", "jetson-orin-jp6.0")
    assert (result.code, result.err) == (0, "")
    assert "note: because of target jetson-orin-jp6.0: TensorRT 8.6 knows no local functions" in result.text
    model = onnx.load(path)
    assert opset_of(path) == 17
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    assert run("check", saved, path).code == 0


def test_state_dict_with_a_factory(run: Run, tmp_path: Path):
    weights, path = tmp_path / "weights.pt", tmp_path / "out.onnx"
    model = tiny()
    torch.nn.init.ones_(model.attention.out_proj.bias)
    torch.save(model.state_dict(), weights)
    result = run("convert", weights, "-o", path, *TINY)
    assert (result.code, result.err) == (0, "")
    assert sizes_of(path) == ["batch", "tokens", str(WIDTH)]
    assert rows_agree(path, model, 3, 12)
    checked = run("check", weights, path, *TINY)
    assert (checked.code, checked.err) == (0, "")
    assert "note:" not in checked.out


def test_safetensors_with_a_factory(run: Run, tmp_path: Path):
    weights, path = tmp_path / "weights.safetensors", tmp_path / "out.onnx"
    model = tiny()
    torch.nn.init.ones_(model.attention.out_proj.bias)
    save_file(model.state_dict(), weights)
    result = run("convert", "--weights", weights, "-o", path, *TINY[:4])
    assert (result.code, result.err) == (0, "")
    assert sizes_of(path) == ["2", "9", str(WIDTH)]
    assert rows_agree(path, model, 2, 9)


def test_pickled_module_needs_trust_and_warns(run: Run, refuse, tmp_path: Path):
    pickled, path = tmp_path / "model.pt", tmp_path / "out.onnx"
    torch.save(Plain(), pickled)
    line = refuse("convert", pickled, "-o", path, "--inputs", "x=2x16:f32")
    assert "--trust-pickle" in line
    assert "any code" in line
    result = run("convert", pickled, "-o", path, "--inputs", "x=2x16:f32", "--trust-pickle")
    assert result.code == 0
    (warning,) = result.err.splitlines()
    assert warning.startswith("attnexport: warning: ")
    assert str(pickled) in warning
    assert "any code" in warning
    assert path.is_file()


def test_model_without_our_variants_converts_with_a_note(run: Run, tmp_path: Path):
    path = tmp_path / "out.onnx"
    result = run("convert", "--model", "tests.cli.models:Plain", "--inputs", "x=2x16:f32", "-o", path)
    assert (result.code, result.err) == (0, "")
    assert "note: the model calls none of attnexport's operators" in result.text
    assert path.is_file()


def test_failed_conversion_keeps_the_file_that_was_there(refuse, saved: Path, tmp_path: Path):
    path = tmp_path / "out.onnx"
    path.write_bytes(b"before")
    refuse("convert", saved, "-o", path, "--opset", 12)
    assert path.read_bytes() == b"before"
