"""The public Krause attention operator."""

from __future__ import annotations

from torch import Tensor

from attnexport.variants.checks import check, check_count, checked_bias, checked_lengths, checked_qkv
from attnexport.variants.krause import reference
from attnexport.variants.krause.neighbourhood import Grid, checked_grid, checked_prefix
from attnexport.variants.registration import register_operator

_operator = register_operator(reference.krause_attention)


def krause_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sigma: Tensor,
    *,
    window: int | None = None,
    prefix: int = 0,
    grid: Grid | None = None,
    top_k: int | None = None,
    causal: bool = False,
    kv_lengths: Tensor | None = None,
    q_start: Tensor | None = None,
    kv_start: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Krause attention: bounded-confidence attention over a neighbourhood (arXiv 2602.11534).

        s_ij  = exp(-|q_i - k_j|^2 / (2 sigma_h^2))   for visible j in the neighbourhood of i
        out_i = sum_j s_ij v_j / sum_j s_ij            over the top_k largest s_ij of the row

    Work is O(N * |neighbourhood|) with a window, its prefix or a grid.

    Args:
        q: queries (B, H, N, Dk), floating.
        k: keys (B, Hkv, M, Dk); H is a multiple of Hkv.
        v: values (B, Hkv, M, Dv).
        sigma: temperature () or (H,), > 0, in the unit of |q - k|.
        window: sees |p_i - j| < window with p_i = q_start + i the row's position. Default: None, all keys.
        prefix: with a window, how many first keys, from kv_start on, all rows see too. Default: 0.
        grid: image neighbourhood; needs N = M = grid.tokens. Default: None. Excludes window.
        top_k: keys kept per row, ties going to the lower index. Default: None, all.
        causal: row i sees no key after its position. Default: False.
        kv_lengths: int32 (B,), the key before which each sample's keys end. Default: None, M.
        q_start: int32 (B,), position of row 0 among the keys, negative too. Default: None, M - N.
        kv_start: int32 (B,), the first of each sample's keys. Default: None, 0.
        bias: added to the exponent -|q_i - k_j|^2 / (2 sigma_h^2), before keys are selected, floating
            (B or 1, H or 1, N or 1, M), in q's dtype. -30000 or less, -inf too, hides the key from the row, as a mask.
            Default: None, 0.

    Returns:
        (B, H, N, Dv) of v's dtype; rows that see no key are zero. A row whose query, or a key that it sees, holds NaN
        is NaN, selected or not; a NaN value makes its column NaN in the rows that weigh it.

    Raises:
        ValueError: shapes or options that do not fit, naming the argument.
    """
    q, k, v = checked_qkv(q, k, v)
    lengths = checked_lengths(q.shape[0], kv_lengths, q_start, kv_start)
    check(sigma.dim() == 0 or tuple(sigma.shape) == (q.shape[1],), "sigma", sigma, "() or (H={},)", q.shape[1])
    grid = checked_grid(grid, window)
    if grid is not None:
        for name, tensor in (("q", q), ("k", k)):
            check(tensor.shape[2] == grid.tokens, name, tensor, "{} tokens for {}", grid.tokens, grid)
    return _operator(
        q,
        k,
        v,
        sigma,
        check_count("window", window),
        check_count("top_k", top_k),
        causal,
        grid.height if grid else 0,
        grid.width if grid else 0,
        grid.radius if grid else 0,
        grid.metric if grid else "chebyshev",
        grid.prefix if grid else 0,
        *lengths,
        checked_bias(bias, q, k),
        checked_prefix(prefix, window),
    )
