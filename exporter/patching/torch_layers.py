"""torch's own attention layer, alone and in its transformer layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnexport.errors import InputError
from attnexport.patching.padding import KeyRun, key_run, tracing
from attnexport.patching.protocol import Replacement, core_of, refuse_dropout
from attnexport.variants.checks import describe
from attnexport.variants.core import Operands, Site
from attnexport.variants.self_attention import merge_heads, split_heads
from attnexport.variants.visibility import Visibility

_NESTED = "_attnexport_nested"
"""What an encoder's use_nested_tensor was."""


class PatchedMultiheadAttention(nn.MultiheadAttention):
    """nn.MultiheadAttention whose heads attend through a core. Weights, which it never has, are None."""

    @property
    def _qkv_same_embed_dim(self) -> bool:
        """False, which turns off torch's fast paths: they would read the weights and pass the layer by."""
        return False

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        """As nn.MultiheadAttention's."""
        core, alone = core_of(self), query is key and key is value
        refuse_dropout(core.layer, self, self.dropout)
        axis = None if query.dim() == 2 else 0 if self.batch_first else 1
        query, key, value = (each[None] if axis is None else each.movedim(axis, 0) for each in (query, key, value))
        q, k, v = self._projected(query, key, value, alone)
        causal = is_causal or _is_causal(attn_mask, core.layer)
        run = None if key_padding_mask is None else _run(key_padding_mask, core.layer)
        visibility = Visibility(
            causal=causal,
            kv_lengths=None if run is None else run.kv_lengths,
            q_start=None if alone or not causal else torch.zeros(q.shape[0], dtype=torch.int32, device=q.device),
            kv_start=None if run is None else run.kv_start,
        )
        out = core(Operands(q, k, v, query, float(self.head_dim**-0.5), visibility))
        joined = self.out_proj(merge_heads(out if run is None else run.marked(out)))
        return joined[0] if axis is None else joined.movedim(0, axis), None

    def _projected(self, query: Tensor, key: Tensor, value: Tensor, alone: bool) -> tuple[Tensor, ...]:
        """Queries, keys and values (B, H, N or M, width)."""
        if self.in_proj_weight is not None and alone:
            parts = F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        else:
            separate = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
            weights = separate if self.in_proj_weight is None else self.in_proj_weight.chunk(3)
            biases = (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
            given = zip((query, key, value), weights, biases, strict=True)
            parts = tuple(F.linear(x, weight, bias) for x, weight, bias in given)
        return tuple(split_heads(part, self.num_heads) for part in parts)


def _run(mask: Tensor, layer: str) -> KeyRun:
    """Of key_padding_mask, true or -inf where a key is not there."""
    mask = mask[None] if mask.dim() == 1 else mask
    if mask.dtype == torch.bool:
        return key_run(~mask, layer, "key_padding_mask")
    present = mask == 0
    return key_run(present, layer, "key_padding_mask", (present | (mask == float("-inf"))).all(1))


def _is_causal(mask: Tensor | None, layer: str) -> bool:
    """Whether attn_mask is the causal mask, and not none that hides nothing.

    Raises:
        InputError: another mask, or one whose values are not known while torch exports.
    """
    if mask is None:
        return False
    if tracing():
        raise InputError(
            f"{layer}: attn_mask: its values are not known while the model is exported: call the layer with "
            "is_causal=True beside a causal mask, and without a mask that hides nothing"
        )
    hidden = mask if mask.dtype == torch.bool else mask == float("-inf")
    plain = mask.dtype == torch.bool or bool((hidden | (mask == 0)).all())
    if plain and not hidden.any():
        return False
    if plain and torch.equal(hidden, torch.ones_like(hidden).triu(1)):
        return True
    raise InputError(
        f"{layer}: attn_mask: expected the causal mask or one that hides nothing, given another, {describe(mask)}"
    )


class TorchLayers:
    """Recognises nn.MultiheadAttention, wherever it is."""

    library = "torch"

    def recognise(self, module: nn.Module) -> Replacement | str | None:
        """As the protocol says."""
        if not isinstance(module, nn.MultiheadAttention):
            return None
        if type(module) is not nn.MultiheadAttention:
            return f"a class of its own, {type(module).__qualname__}, whose forward is not known"
        if module.bias_k is not None or module.add_zero_attn:
            return "add_bias_kv and add_zero_attn give it keys that no token has"
        heads, width = module.num_heads, module.head_dim
        site = Site(dim=module.embed_dim, heads=heads, kv_heads=heads, width=width)
        return Replacement(site, PatchedMultiheadAttention, float(module.dropout))

    def prepare(self, model: nn.Module) -> None:
        """Keeps encoders from turning padded inputs into nested tensors, which only the fast path takes."""
        for encoder in _encoders(model):
            setattr(encoder, _NESTED, encoder.use_nested_tensor)
            encoder.use_nested_tensor = False

    def restore(self, model: nn.Module) -> None:
        """As it was."""
        for encoder in _encoders(model):
            if hasattr(encoder, _NESTED):
                encoder.use_nested_tensor = getattr(encoder, _NESTED)
                delattr(encoder, _NESTED)


def _encoders(model: nn.Module) -> list[nn.TransformerEncoder]:
    return [module for module in model.modules() if isinstance(module, nn.TransformerEncoder)]
