"""torch's own attention layers, patched: they are what they were in the neutral setting, under every mask they take."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import attnexport

WIDTH = 32
X = torch.randn(3, 7, WIDTH, generator=torch.Generator().manual_seed(0))
PADDED = torch.arange(7) < torch.tensor([[2], [0], [5]])
"""The first keys of each sample."""

PADDED_BEHIND = PADDED.flip(1)
FLOAT_MASK = torch.zeros(3, 7).masked_fill(PADDED_BEHIND, -torch.inf)

NEUTRAL = {"topn": {"n": 3}, "krause": {"window": 4, "top_k": 2}, "affine": {}}
NOT_NEUTRAL = {"hla": {"features": 4}}


class Padded(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, padded: Tensor) -> Tensor:
        return self.encoder(x, src_key_padding_mask=padded)


@pytest.fixture
def encoder() -> nn.TransformerEncoder:
    torch.manual_seed(1)
    layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True)
    return nn.TransformerEncoder(layer, 2).eval()


def causal(tokens: int) -> Tensor:
    return nn.Transformer.generate_square_subsequent_mask(tokens)


@pytest.mark.parametrize("variant", NEUTRAL)
@pytest.mark.parametrize(
    "masks",
    [
        {},
        {"src_key_padding_mask": PADDED},
        {"src_key_padding_mask": PADDED_BEHIND},
        {"mask": causal(7)},
        {"mask": causal(7), "src_key_padding_mask": FLOAT_MASK},
    ],
    ids=["nothing", "left", "right", "causal", "causal, right"],
)  # fmt: skip
def test_neutral_setting_is_the_model_under_every_mask(encoder: nn.Module, variant: str, masks: dict[str, Tensor]):
    report = attnexport.patch(encoder, variant, args=X, kwargs=masks, **NEUTRAL[variant])
    assert [layer.layer for layer in report.layers] == ["layers.0.self_attn", "layers.1.self_attn"]
    assert report.neutral_error is not None
    assert report.neutral_error < 1e-14


def test_top_n_of_all_keys_is_the_model_itself(encoder: nn.Module):
    expected = encoder(X, src_key_padding_mask=PADDED)
    attnexport.patch(encoder, "topn", n=7)
    assert torch.allclose(encoder(X, src_key_padding_mask=PADDED), expected, atol=1e-5)
    attnexport.unpatch(encoder)
    attnexport.patch(encoder, "topn", n=2)
    with torch.no_grad():  # torch's fast paths would read the weights and pass the layers by
        assert not torch.allclose(encoder(X, src_key_padding_mask=PADDED), expected, atol=1e-2)


@pytest.mark.parametrize("variant", [*NEUTRAL, *NOT_NEUTRAL])
def test_unpatched_model_is_as_before(encoder: nn.Module, variant: str):
    before, expected = copy.deepcopy(encoder.state_dict()), encoder(X)
    pointers = {name: tensor.data_ptr() for name, tensor in encoder.state_dict().items()}
    attnexport.patch(encoder, variant, args=X, **{**NEUTRAL, **NOT_NEUTRAL}[variant])
    kept = encoder.state_dict()
    assert all(kept[name].data_ptr() == pointer for name, pointer in pointers.items())
    attnexport.unpatch(encoder)
    assert list(encoder.state_dict()) == list(before)
    assert torch.equal(encoder(X), expected)
    assert {type(layer.self_attn) for layer in encoder.layers} == {nn.MultiheadAttention}


@pytest.mark.parametrize("variant", [*NEUTRAL, *NOT_NEUTRAL])
def test_report_names_what_was_added_and_it_trains(encoder: nn.Module, variant: str):
    report = attnexport.patch(encoder, variant, **{**NEUTRAL, **NOT_NEUTRAL}[variant])
    buffers = dict(encoder.named_buffers())
    encoder(X).square().sum().backward()
    for layer in report.layers:
        for name, shape in layer.added.items():
            path = f"{layer.layer}.variant.{name}"
            assert tuple(encoder.state_dict()[path].shape) == shape
            assert path in buffers or encoder.get_parameter(path).grad is not None
            assert name in str(report)
        assert layer.layer in str(report)


@pytest.mark.parametrize(
    "variant", ["topn", *(pytest.param(it, marks=pytest.mark.thorough) for it in ("krause", "affine", "hla"))]
)
def test_patched_model_converts_with_dynamic_dims_and_passes_its_check(
    encoder: nn.Module, variant: str, tmp_path: Path
):
    report = attnexport.patch(encoder, variant, args=X, **{**NEUTRAL, **NOT_NEUTRAL}[variant])
    file, model = tmp_path / "m.onnx", Padded(encoder).eval()
    dims = {name: {0: "batch", 1: "tokens"} for name in ("x", "padded")}
    made = attnexport.convert(model, (X, PADDED), file, dynamic_shapes=dims)
    assert sum(made.variants.values()) == 2
    assert len(made.verified) == 3
    said = {entry.key: entry.value for entry in onnx.load(file).metadata_props}["attnexport.patch"]
    assert said.startswith(f"{variant}(")
    assert report.proof in said
    np.savez(tmp_path / "x.npz", x=X.numpy(), padded=PADDED.numpy())
    checked = attnexport.check(model, [file], (X, PADDED), dynamic_shapes=dims, data=tmp_path / "x.npz")
    assert checked.passed


def test_other_layouts_and_projections_are_proven():
    torch.manual_seed(2)
    for options in ({}, {"batch_first": True}, {"kdim": 12, "vdim": 20}, {"bias": False}):
        layer = nn.MultiheadAttention(WIDTH, 4, **options).eval()
        key, value = torch.randn(5, 3, layer.kdim), torch.randn(5, 3, layer.vdim)
        query = torch.randn(4, 3, WIDTH)
        if layer.batch_first:
            query, key, value = (each.transpose(0, 1) for each in (query, key, value))
        pad = torch.tensor([[False] * 5, [True] + [False] * 4, [False] * 3 + [True] * 2])
        given = {"key_padding_mask": pad, "need_weights": False}
        report = attnexport.patch(layer, "topn", args=(query, key, value), kwargs=given, n=2)
        assert report.neutral_error is not None
        assert [each.layer for each in report.layers] == [""]


def test_layers_without_a_batch_are_proven():
    layer = nn.MultiheadAttention(WIDTH, 2).eval()
    report = attnexport.patch(layer, "topn", args=(X[0], X[0], X[0]), kwargs={"need_weights": False}, n=2)
    assert report.neutral_error is not None


def test_decoder_attends_to_its_memory():
    torch.manual_seed(3)
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(WIDTH, 4, 64, batch_first=True), 2).eval()
    given = {"tgt_mask": causal(5), "tgt_is_causal": True, "memory_key_padding_mask": PADDED}
    report = attnexport.patch(decoder, "krause", args=(X[:, :5], X), kwargs=given)
    assert len(report.layers) == 4
    assert report.neutral_error is not None


def test_only_layers_that_fit_a_pattern_are_patched(encoder: nn.Module):
    report = attnexport.patch(encoder, "topn", layers="layers.1.*", n=2, args=X)
    assert [layer.layer for layer in report.layers] == ["layers.1.self_attn"]
    assert type(encoder.layers[0].self_attn) is nn.MultiheadAttention


def test_layer_that_cannot_be_patched_stays_with_its_reason():
    model = nn.ModuleDict(
        {"a": nn.MultiheadAttention(WIDTH, 2).eval(), "b": nn.MultiheadAttention(WIDTH, 2, add_zero_attn=True)}
    )
    report = attnexport.patch(model.eval(), "topn", n=2)
    assert [(layer.layer, layer.reason) for layer in report.refused] == [
        ("b", "add_bias_kv and add_zero_attn give it keys that no token has")
    ]
    assert "left as it was: b (MultiheadAttention): add_bias_kv" in str(report)


def test_mask_with_a_hole_is_refused_and_is_nan_in_a_program(encoder: nn.Module):
    attnexport.patch(encoder, "topn", n=2)
    holed = PADDED.clone()
    holed[1, 3] = True
    with pytest.raises(attnexport.InputError, match=r"^layers\.0\.self_attn: key_padding_mask: expected the keys"):
        encoder(X, src_key_padding_mask=holed)
    program = torch.export.export(Padded(encoder), (X, PADDED)).module()
    out = program(X, holed)
    assert out[1].isnan().all()
    assert torch.allclose(out[::2], encoder(X, src_key_padding_mask=PADDED)[::2], atol=1e-5)
