"""Models with torch.cond and torch.vmap around attention: saved, converted and checked at other sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.cli import main
from attnexport.errors import ConversionError, InputError
from attnexport.models.loading.sources import load_model
from attnexport.models.loading.vmapped import without_vmap
from tests.conversion.models import Branch

WIDTH = 8

MODULES: dict[str, Callable[[], nn.Module]] = {
    "krause": lambda: attnexport.KrauseAttention(WIDTH, 2, window=3),
    "hla": lambda: attnexport.HadamardLinearAttention(WIDTH, 2, features=4),
    "ssa": lambda: attnexport.SelectiveSynchronizationAttention(WIDTH, 2),
    "affine": lambda: attnexport.AffineScaledAttention(WIDTH, 2, causal=True),
    "topn": lambda: attnexport.TopNAttention(WIDTH, 2, 3),
}

each_module = pytest.mark.parametrize("name", MODULES)


class Mapped(nn.Module):
    """Attention mapped over an axis in front of the batch."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = torch.vmap(lambda part: self.body(part))(x)
        return result


def built(name: str, around: Callable[[nn.Module], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return around(MODULES[name]()).eval()


def assert_agrees(model: nn.Module, path: Path, x: Tensor) -> None:
    (found,) = OnnxRuntimeBackend(path).run({"x": x.numpy()}).values()
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), model(x), rtol=1e-4, atol=1e-5)


@each_module
def test_a_condition_keeps_batch_and_tokens_dynamic(name: str, tmp_path: Path) -> None:
    model, saved, converted = built(name, Branch), tmp_path / "m.pt2", tmp_path / "m.onnx"
    attnexport.save(model, tmp_path / "fixed.pt2", args=torch.randn(2, 5, WIDTH))
    attnexport.save(model, saved, args=torch.randn(2, 5, WIDTH), dynamic_shapes={"x": {0: "batch", 1: "tokens"}})
    main(["convert", str(saved), "-o", str(converted)], standalone_mode=False)
    for x in (torch.rand(4, 9, WIDTH), -torch.rand(1, 1, WIDTH)):
        assert_agrees(model, converted, x)


@each_module
def test_a_map_keeps_its_own_axis_dynamic(name: str, tmp_path: Path) -> None:
    model, saved, converted = built(name, Mapped), tmp_path / "m.pt2", tmp_path / "m.onnx"
    attnexport.save(model, saved, args=torch.randn(3, 2, 5, WIDTH), dynamic_shapes={"x": {0: "groups"}})
    main(["convert", str(saved), "-o", str(converted)], standalone_mode=False)
    for groups in (1, 4):
        assert_agrees(model, converted, torch.randn(groups, 2, 5, WIDTH))


def test_a_mapped_model_is_one_node_and_passes_its_check(tmp_path: Path) -> None:
    saved, converted = tmp_path / "m.pt2", tmp_path / "m.onnx"
    attnexport.save(built("topn", Mapped), saved, args=torch.randn(3, 2, 5, WIDTH))
    program = torch.export.load(str(saved))
    assert [str(node.target) for node in program.graph.nodes if "attnexport" in str(node.target)] == [
        "attnexport.top_n_attention.default"
    ]
    main(["convert", str(saved), "-o", str(converted)], standalone_mode=False)
    assert main(["check", str(saved), str(converted)], standalone_mode=False) in (0, None)


def test_a_map_in_a_file_of_torch_is_carried_out_when_it_is_loaded(tmp_path: Path) -> None:
    model, x = built("topn", Mapped), torch.randn(3, 2, 5, WIDTH)
    exported = torch.export.export(model, (x,), strict=False)
    torch.export.save(exported, tmp_path / "m.pt2")
    for program in (load_model(tmp_path / "m.pt2").program, without_vmap(exported)):
        assert program is not None
        assert not any("vmap" in str(node.target) for node in program.graph.nodes)
        assert torch.equal(program.module()(x), model(x))
        with pytest.raises(Exception, match="x"):
            program.module()(torch.randn(3, 2, 5, WIDTH + 1))
        assert not torch._C._are_functorch_transforms_active()


def test_a_dim_that_torch_cannot_keep_dynamic_in_a_map_is_named_as_such(tmp_path: Path) -> None:
    target = tmp_path / "m.pt2"
    with pytest.raises(ConversionError, match=r"inside torch\.vmap"):
        attnexport.save(
            built("topn", Mapped), target, args=torch.randn(3, 2, 5, WIDTH), dynamic_shapes={"x": {1: "batch"}}
        )
    assert not target.exists()


def test_a_traced_module_is_refused_by_name(tmp_path: Path) -> None:
    traced = torch.jit.trace(built("topn", lambda body: body), torch.randn(2, 5, WIDTH))
    with pytest.raises((ConversionError, InputError), match="TorchScript"):
        attnexport.save(traced, tmp_path / "m.pt2", args=torch.randn(2, 5, WIDTH))
