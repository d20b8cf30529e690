"""Operators that are translated here because torch.onnx gives other values, at the arguments where it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend

QUERY, KEY = (2, 4, 3, 8), (2, 4, 7, 8)


class ManyCalls(nn.Module):
    """Torch's attention once for every way that a test gives it, on the same values."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor, bias: Tensor) -> dict[str, Tensor]:
        attend = F.scaled_dot_product_attention
        return {
            "masked": attend(q, k, v, seen),
            "biased": attend(q, k, v, bias),
            "mask_of_all": attend(q, k, v, seen[0, 0]),
            "fewer_rows": attend(q, k, v, is_causal=True),
            "fewer_keys": attend(k, q, q, is_causal=True),
            "scaled": attend(q, k, v, seen, scale=0.3),
            "turned": attend(q, k, v, seen, scale=-0.3),
            "grouped": attend(q, k[:, :2], v[:, :2], seen, enable_gqa=True),
            "grouped_causal": attend(q, k[:, :1], v[:, :1], is_causal=True, enable_gqa=True),
            "of_one_sample": attend(q[0], k[0], v[0], seen[0]),
            "of_one_head": attend(q[0, 0], k[0, 0], v[0, 0], seen[0, 0]),
            "of_more_axes": attend(q[None], k[None], v[None], seen[None]),
        }


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Values, a mask that hides some rows altogether, and the same mask as -inf beside other biases."""
    random = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(shape, generator=random).to(dtype) for shape in (QUERY, KEY, (2, 4, 7, 8)))
    seen = torch.rand(2, 4, 3, 7, generator=random) > 0.4
    seen[:, :, 1] = False
    bias = torch.where(seen, torch.randn(2, 4, 3, 7, generator=random), -torch.inf).to(dtype)
    return q, k, v, seen, bias


@pytest.mark.parametrize(
    ("dtype", "opset"),
    [(torch.float32, 17), (torch.float32, 20), (torch.float32, 23), (torch.float16, 20), (torch.float64, 20)],
)
def test_attention_is_torchs_own_where_a_mask_hides_rows(tmp_path: Path, dtype: torch.dtype, opset: int):
    given = inputs(dtype)
    attnexport.convert(ManyCalls(), given, tmp_path / "m.onnx", opset=opset)
    # ONNX Runtime's Softmax of float64 has float32's accuracy.
    outputs = (exactly if dtype == torch.float64 else run)(tmp_path / "m.onnx", *given)
    limit = 4 * torch.finfo(dtype).eps
    for name, wanted in ManyCalls()(*given).items():
        assert np.abs(outputs[name] - wanted.numpy()).max() < limit * 4, name
    assert np.array_equal(outputs["masked"][:, :, 1], np.zeros((2, 4, 8)))
    assert np.array_equal(outputs["biased"][:, :, 1], np.zeros((2, 4, 8)))


def exactly(path: Path, *tensors: Tensor) -> dict[str, np.ndarray]:
    """Outputs of ONNX's own reference."""
    evaluator = ReferenceEvaluator(str(path))
    feeds = dict(zip(evaluator.input_names, (tensor.numpy() for tensor in tensors), strict=True))
    return dict(zip(evaluator.output_names, evaluator.run(None, feeds), strict=True))


def run(path: Path, *tensors: Tensor) -> dict[str, np.ndarray]:
    backend = OnnxRuntimeBackend(path)
    return backend.run(dict(zip(backend.input_names, (tensor.numpy() for tensor in tensors), strict=True)))


def test_sizes_of_attention_stay_dynamic(tmp_path: Path):
    class Grouped(nn.Module):
        def forward(self, q: Tensor, k: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, k, is_causal=True, enable_gqa=True)

    q, k = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 3, 8)
    shapes = {"q": {0: "batch", 2: "rows"}, "k": {0: "batch", 2: "keys"}}
    assert len(attnexport.convert(Grouped(), (q, k), tmp_path / "m.onnx", dynamic_shapes=shapes).verified) == 3


@pytest.mark.parametrize("need_weights", [False, True])
def test_padding_of_a_whole_sample_is_what_torchs_module_gives(tmp_path: Path, need_weights: bool):
    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

        def forward(self, x: Tensor, padding: Tensor) -> Tensor:
            return self.attention(x, x, x, key_padding_mask=padding, need_weights=need_weights)[0]

    model, x = Padded().eval(), torch.randn(2, 6, 16)
    padding = torch.zeros(2, 6, dtype=torch.bool)
    padding[0], padding[1, 4:] = True, True
    attnexport.convert(model, (x, padding), tmp_path / "m.onnx")
    (given,) = run(tmp_path / "m.onnx", x, padding).values()
    assert np.allclose(given, model(x, padding).detach().numpy(), atol=1e-6, equal_nan=True)


class Limits(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"low": x.clamp(min=0.5), "high": x.clamp(max=0.5), "both": x.clamp(-1, 1), "log": F.logsigmoid(x)}


def test_infinite_and_large_values_are_not_lost(tmp_path: Path):
    x = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, 200.0, -200.0])
    attnexport.convert(Limits(), (x,), tmp_path / "m.onnx")
    outputs = run(tmp_path / "m.onnx", x)
    for name, wanted in Limits()(x).items():
        assert np.allclose(outputs[name], wanted.numpy(), rtol=1e-6, equal_nan=True), name


class Numbers(nn.Module):
    """Numbers that float32 does not hold: as constants, and as an attribute."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {
            "product": x * 0.1 + 1 / 3,
            "quotient": x / 0.3,
            "choice": torch.where(x > 0, x, 0.7),
            "sum": torch.add(x, x, alpha=1.1),
            "rectified": F.celu(x, 1.3),
        }


def test_float64_model_keeps_its_numbers_and_names_what_onnx_rounds(tmp_path: Path):
    x = torch.randn(3, 4, dtype=torch.float64)
    result = attnexport.convert(Numbers(), (x,), tmp_path / "m.onnx")
    outputs = run(tmp_path / "m.onnx", x)
    for name, wanted in Numbers()(x).items():
        if name != "rectified":
            assert np.abs(outputs[name] - wanted.numpy()).max() < 4 * torch.finfo(torch.float64).eps, name
    (note,) = (note for note in result.notes if "float64" in note)
    assert note.endswith("were rounded: alpha of Celu")


def test_numbers_of_a_float32_model_are_left_alone(tmp_path: Path):
    result = attnexport.convert(Numbers(), (torch.randn(3, 4),), tmp_path / "m.onnx")
    assert not any("float64" in note for note in result.notes)


class Norms(nn.Module):
    """Batch norm that goes on learning: it norms by the batch's own statistics, and moves the running ones."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.BatchNorm1d(4)
        self.norm.running_mean = torch.randn(4)

    def forward(self, x: Tensor) -> dict[str, Any]:
        norm = self.norm
        moved = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, True, 0.3)
        plain = F.batch_norm(x, None, None, training=True)
        return {"moved": moved, "plain": plain, "mean": norm.running_mean + 0, "var": norm.running_var + 0}


def test_batch_norm_that_learns(tmp_path: Path):
    x = 3 + 2 * torch.randn(5, 4, 7)
    attnexport.convert(Norms().eval(), (x,), tmp_path / "m.onnx", dynamic_shapes={"x": {0: "batch"}}, state="io")
    backend = OnnxRuntimeBackend(tmp_path / "m.onnx")
    model = Norms().eval()
    held = {"norm.running_mean": model.norm.running_mean.numpy(), "norm.running_var": model.norm.running_var.numpy()}
    outputs = backend.run({"x": x.numpy(), **{name: held[name].copy() for name in backend.input_names[1:]}})
    for name, wanted in model(x).items():
        np.testing.assert_allclose(outputs[name], wanted.detach().numpy(), rtol=1e-5, atol=1e-6)
