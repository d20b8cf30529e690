"""The public affine-scaled attention operator."""

from __future__ import annotations

from torch import Tensor

from attnexport.variants.affine import reference
from attnexport.variants.checks import check, checked_bias, checked_lengths, checked_qkv, scale_or_default
from attnexport.variants.registration import register_operator

_operator = register_operator(reference.affine_scaled_attention)


def affine_scaled_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    alpha: Tensor,
    beta: Tensor,
    *,
    scale: float | None = None,
    causal: bool = False,
    kv_lengths: Tensor | None = None,
    q_start: Tensor | None = None,
    kv_start: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Affine-scaled attention: softmax weights times alpha plus beta (arXiv 2602.23057, eq. 6).

        out_i = alpha_i sum_j softmax_j(scale q_i . k_j) v_j + beta_i sum_j v_j     over visible j

    The paper adds beta to every key; adding it to visible keys only is what keeps causal attention causal.

    Args:
        q: queries (B, H, N, Dk), floating.
        k: keys (B, Hkv, M, Dk); H is a multiple of Hkv.
        v: values (B, Hkv, M, Dv).
        alpha: weight of the softmax term per row and head, (B, H, N).
        beta: weight added to every visible key, (B, H, N).
        scale: factor on the scores. Default: None, Dk ** -0.5.
        causal: row i sees no key after its position. Default: False.
        kv_lengths: int32 (B,), the key before which each sample's keys end. Default: None, M.
        q_start: int32 (B,), position of row 0 among the keys, negative too. Default: None, M - N.
        kv_start: int32 (B,), the first of each sample's keys. Default: None, 0.
        bias: added to the scaled scores, floating
            (B or 1, H or 1, N or 1, M), in q's dtype. -30000 or less, -inf too, hides the key from the row, as a mask.
            Default: None, 0.

    Returns:
        (B, H, N, Dv) of v's dtype; rows that see no key are zero. A row whose query, or a key that it sees, holds NaN
        is NaN; a NaN value makes its column NaN in the rows that weigh it.

    Raises:
        ValueError: shapes that do not fit, naming the argument.
    """
    q, k, v = checked_qkv(q, k, v)
    lengths = checked_lengths(q.shape[0], kv_lengths, q_start, kv_start)
    for name, tensor in (("alpha", alpha), ("beta", beta)):
        check(tensor.shape == q.shape[:3], name, tensor, "(B, H, N) = ({}, {}, {})", *q.shape[:3])
    return _operator(q, k, v, alpha, beta, scale_or_default(scale, q), causal, *lengths, checked_bias(bias, q, k))
