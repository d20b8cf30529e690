"""Hadamard linear attention in PyTorch, linear in the number of tokens.

Only the abstract of arXiv 2602.12128 and descriptions by others could be read: this is a reconstruction from
"the nonlinearity is applied after the pairwise similarities" and "Hadamard product over several kernel factors".

    A_ij = prod_r <qf_r[i], kf_r[j]>          out_i = sum_j A_ij v_j / (sum_j A_ij + eps)

A product of inner products is the inner product of row-wise Kronecker products, so the sums over j are a state
of size (prod_r m_r, Dv + 1). The causal form keeps one state per block of rows, as a prefix sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnexport.variants.blocks import block_rows, block_starts, gather_keys, unblock_rows
from attnexport.variants.dense import compute_dtype, group_heads, row_chunks, zero_hidden
from attnexport.variants.rows import Rows
from attnexport.variants.visibility import Visibility, key_runs

BLOCK = 64
"""Rows per block of the causal form."""


def kronecker_features(factors: Sequence[Tensor]) -> Tensor:
    """Row-wise Kronecker product: R tensors (..., m_r) to (..., prod m_r)."""
    product = factors[0]
    for factor in factors[1:]:
        product = (product[..., :, None] * factor[..., None, :]).flatten(-2)
    return product


def _state(key_factors: Sequence[Tensor], values: Tensor, mask: Tensor | None) -> Tensor:
    """Sum over the visible keys of features times (v, 1): (B, Hkv, P, Dv + 1); mask is (B or 1, 1, M, 1)."""
    batch, kv_heads, keys, _ = values.shape
    width = 1
    for factor in key_factors:
        width *= factor.shape[-1]
    state = values.new_zeros(batch, kv_heads, width, values.shape[-1])
    for part in row_chunks(keys, batch * kv_heads * width, values.device):
        features = kronecker_features([factor[:, :, part] for factor in key_factors])
        if mask is not None:
            features = features.masked_fill(~mask[:, :, part], 0.0)
        state = state + features.transpose(-1, -2) @ values[:, :, part]
    return state


def _read_state(query_factors: Sequence[Tensor], state: Tensor) -> Tensor:
    """Features of the rows times a state: R tensors (B, Hkv, G, N, m_r) to (B, Hkv, G, N, Dv + 1)."""
    rows = query_factors[0].shape[-2]
    per_row = 1
    for size in query_factors[0].shape[:3]:
        per_row *= size
    return torch.cat(
        [
            kronecker_features([factor[..., part, :] for factor in query_factors]) @ state[:, :, None]
            for part in row_chunks(rows, per_row * state.shape[-2], state.device)
        ],
        dim=-2,
    )


def _pairwise(query_factors: Sequence[Tensor], key_factors: Sequence[Tensor]) -> Tensor:
    """A: product over r of the similarity matrices."""
    product = query_factors[0] @ key_factors[0].transpose(-1, -2)
    for query, key in zip(query_factors[1:], key_factors[1:], strict=True):
        product = product * (query @ key.transpose(-1, -2))
    return product


def _causal_sums(
    query_factors: Sequence[Tensor], key_factors: Sequence[Tensor], values: Tensor, ends: Tensor,
    q_start: Tensor | None,
) -> Tensor:  # fmt: skip
    """Numerator and denominator of every row, (B, Hkv, G, N, Dv + 1), in blocks of rows.

    A block of rows at positions p .. p + BLOCK - 1 reads the state of the keys before p and, pair by pair, the
    keys p .. p + BLOCK - 1 themselves.
    """
    rows, keys, device = query_factors[0].shape[-2], values.shape[2], values.device
    starts = block_starts(rows, keys, BLOCK, q_start, device)
    index = starts[..., None] + torch.arange(BLOCK, device=device)
    last = block_rows(ends[..., None], BLOCK)
    within = (index[..., None, :] >= 0) & (index[..., None, :] < last)
    seen = within.any(-2)[:, None, :, :, None]

    limit = torch.minimum(starts[:, 0, None], ends.amax(-1, keepdim=True))
    before_first = torch.arange(keys, device=device) < limit
    state = _state(key_factors, values, before_first[:, None, :, None])

    query_blocks = [block_rows(factor, BLOCK) for factor in query_factors]
    per_block = query_blocks[0].shape[0] * query_blocks[0].shape[1] * BLOCK * state.shape[-2]
    parts = []
    for part in row_chunks(index.shape[1], per_block, device):
        value_part = gather_keys(values, index[:, part])
        key_part = [gather_keys(factor, index[:, part]) for factor in key_factors]
        query_part = [factor[:, :, :, part] for factor in query_blocks]
        features = kronecker_features(key_part).masked_fill(~seen[:, :, part], 0.0)
        sums = features.transpose(-1, -2) @ value_part
        running = torch.cat([state[:, :, None], sums], dim=2).cumsum(2)
        before, state = running[:, :, :-1], running[:, :, -1]
        pairs = _pairwise(query_part, [factor[:, :, None] for factor in key_part])
        local = pairs.masked_fill(~within[:, None, None, part], 0.0) @ value_part[:, :, None]
        parts.append(local + kronecker_features(query_part) @ before[:, :, None])
    return unblock_rows(torch.cat(parts, dim=-3), rows)


def attention_sums(
    query_factors: Sequence[Tensor], key_factors: Sequence[Tensor], v: Tensor, visibility: Visibility[Tensor]
) -> Tensor:
    """Sums over j of A_ij v_j and, last, of A_ij, in the compute type: (B, Hkv, G, N, Dv + 1).

    Features of keys that are not there are zero, and so is their A_ij.
    """
    rows, keys, kv_heads = query_factors[0].shape[2], v.shape[2], v.shape[1]
    dtype = compute_dtype(v)
    queries = [group_heads(factor.to(dtype), kv_heads) for factor in query_factors]
    key_wide = [zero_hidden(factor.to(dtype), visibility) for factor in key_factors]
    values = torch.cat([zero_hidden(v.to(dtype), visibility), v.new_ones((*v.shape[:3], 1), dtype=dtype)], dim=-1)
    if visibility.causal:
        ends = key_runs(rows, keys, visibility, v.device).high
        return _causal_sums(queries, key_wide, values, ends, visibility.q_start)
    return _read_state(queries, _state(key_wide, values, None))


def hadamard_linear_attention(
    query_factors: Sequence[Tensor], key_factors: Sequence[Tensor], v: Tensor,
    causal: bool, eps: float,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The operator."""
    heads, rows = query_factors[0].shape[1], query_factors[0].shape[2]
    kv_heads, keys = v.shape[1], v.shape[2]
    if keys == 0 or rows == 0:  # zeros or nothing, made from v so that there is a graph to go back through
        return v.sum(2, keepdim=True).repeat_interleave(heads // kv_heads, dim=1).expand(-1, -1, rows, -1)
    sums = attention_sums(query_factors, key_factors, v, Visibility(causal, kv_lengths, q_start, kv_start))
    out = sums[..., :-1] / (sums[..., -1:] + eps)
    return out.flatten(1, 2).to(v.dtype)


@dataclass(frozen=True)
class ProductRows(Rows):
    """Rows pair by pair: scores A_ij, weights A_ij / (sum_j A_ij + eps).

    Attributes:
        queries, keys: of the factors after the first, grouped as q and k.
        eps: added to the denominator.
    """

    queries: Sequence[Tensor]
    keys: Sequence[Tensor]
    eps: float

    def scores(self, part: slice) -> Tensor:
        return _pairwise([factor[..., part, :] for factor in (self.q, *self.queries)], (self.k, *self.keys))

    def weights(self, part: slice) -> Tensor:
        scores, mask = self.scores(part), self.mask(part)
        scores = scores if mask is None else scores.masked_fill(~mask, 0.0)
        return scores / (scores.sum(-1, keepdim=True) + self.eps)


def hadamard_rows(
    query_factors: Sequence[Tensor], key_factors: Sequence[Tensor], v: Tensor,
    causal: bool, eps: float,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
) -> ProductRows:  # fmt: skip
    """The operator's rows."""
    first, *rest = (
        Rows.of(query, key, v, causal, kv_lengths, q_start, kv_start)
        for query, key in zip(query_factors, key_factors, strict=True)
    )
    return ProductRows(**vars(first), queries=[rows.q for rows in rest], keys=[rows.k for rows in rest], eps=eps)
