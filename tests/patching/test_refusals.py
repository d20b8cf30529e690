"""What cannot be patched is refused in one line, and the model is as it was."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attnexport

X = torch.randn(2, 5, 16)


def layers() -> nn.ModuleList:
    return nn.ModuleList(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(2)).eval()


NONE_FIT = "layers: expected patterns of attention layers, '0.attn' fits none of 2; did you mean 0.self_attn?"
NO_TOKEN = "add_bias_kv and add_zero_attn give it keys that no token has"
BAD: dict[str, dict[str, Any]] = {
    "variant: expected one of affine, hla, krause, ssa, topn, given 'top'; did you mean topn?": {"variant": "top"},
    "variant: ssa cannot stand in layers of other libraries: it wants projections of its own": {"variant": "ssa"},
    "n: topn needs this option, given none": {},
    "n: expected an int >= 1, given 0": {"n": 0},
    "top: expected an option of topn (n, renormalize)": {"n": 2, "top": 3},
    NONE_FIT: {"n": 2, "layers": "0.attn"},
    "layers: expected patterns of paths such as 'blocks.[0-3].attn', given 3": {"n": 2, "layers": 3},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments_are_refused_in_one_line(message: str):
    model = layers()
    with pytest.raises(attnexport.InputError, match=f"^{re.escape(message)}$"):
        attnexport.patch(model, **{"variant": "topn", **BAD[message]})
    assert type(model[0].self_attn) is nn.MultiheadAttention


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(2, 2), "model: expected attention layers to patch, found none of torch.nn.MultiheadAttention"),
        (
            nn.MultiheadAttention(16, 2, add_zero_attn=True),
            f"model: expected attention layers to patch, found 1 that cannot be: the model itself: {NO_TOKEN}",
        ),
        (
            layers().train(),
            "0.self_attn: attention dropout 0.1 in train mode, where no operator drops weights: call model.eval(), "
            "or set the dropout to 0",
        ),
    ],
)
def test_what_cannot_be_patched_is_refused_in_one_line(model: nn.Module, message: str):
    before = [type(module) for module in model.modules()]
    with pytest.raises(attnexport.InputError, match=f"^{re.escape(message)}$"):
        attnexport.patch(model, "topn", n=2)
    assert [type(module) for module in model.modules()] == before


def test_patched_model_is_not_patched_again_and_others_are_not_unpatched():
    model = layers()
    with pytest.raises(attnexport.InputError, match=r"^model: expected a patched one, found no layer"):
        attnexport.unpatch(model)
    with pytest.raises(attnexport.InputError, match=r"^model: expected a patched one, found no layer"):
        attnexport.prove_patch(model, X)
    attnexport.patch(model, "topn", n=2)
    with pytest.raises(attnexport.InputError, match=r"^model: expected one that is not patched, given a patched one"):
        attnexport.patch(model, "krause")


def test_patched_layer_drops_no_weights_in_training():
    model = layers()
    attnexport.patch(model, "topn", n=2)
    with pytest.raises(attnexport.InputError, match=r"^0\.self_attn: attention dropout 0\.1 in train mode"):
        model.train()[0](X)


@pytest.mark.parametrize(
    "mask", [torch.randn(5, 5), torch.ones(5, 5, dtype=torch.bool).triu(-1), X.new_zeros(4, 5, 5) - 1]
)
def test_mask_that_no_operator_has_is_refused(mask: Tensor):
    model = layers()
    attnexport.patch(model, "topn", n=2)
    with pytest.raises(attnexport.InputError, match=r"^0\.self_attn: attn_mask: expected the causal mask or one that"):
        model[0](X, src_mask=mask)


def test_masks_are_not_guessed_while_torch_exports():
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layers()[0]

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return self.layer(x, src_mask=mask)

    model = Masked().eval()
    attnexport.patch(model, "topn", n=2)
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    assert model(X, causal).shape == X.shape
    with pytest.raises(attnexport.ConversionError, match=r"layer\.self_attn: attn_mask: its values are not known"):
        attnexport.convert(model, (X, causal), "never.onnx")


def test_model_that_is_not_what_its_layers_were_given_is_refused_and_left_alone():
    class Crooked(nn.MultiheadAttention):
        pass

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            patched = type(self.attention) is not nn.MultiheadAttention
            return self.attention(x, x, x)[0] * (1.001 if patched else 1.0)

    model = Scaled().eval()
    with pytest.raises(
        attnexport.ConversionError, match=r"^the patched model with the neutral setting is off the original"
    ):
        attnexport.patch(model, "topn", n=2, args=X)
    assert type(model.attention) is nn.MultiheadAttention
    with pytest.raises(attnexport.InputError, match=r"a class of its own, .*Crooked, whose forward is not known$"):
        attnexport.patch(nn.ModuleDict({"a": Crooked(16, 2)}), "topn", n=2)


def test_variant_without_a_neutral_setting_says_so():
    model = layers()
    report = attnexport.patch(model, "hla", args=X)
    assert report.neutral_error is None
    assert report.proof == "none: products of finitely many features are no exponential"
    with pytest.raises(attnexport.InputError, match=r"no neutral setting to prove it with: products of finitely many"):
        attnexport.prove_patch(model, X)


def test_nan_in_the_original_is_no_proof():
    model = layers()
    with pytest.raises(attnexport.ConversionError, match=r"^the patched model with the neutral setting is off"):
        attnexport.patch(model[0], "topn", n=2, args=X.masked_fill(X > 1.0, torch.nan))
