"""The public top-N attention operator."""

from __future__ import annotations

from torch import Tensor

from attnexport.variants.checks import check_count, checked_bias, checked_lengths, checked_qkv, scale_or_default
from attnexport.variants.registration import register_operator
from attnexport.variants.topn import reference

_operator = register_operator(reference.top_n_attention)


def top_n_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    n: int,
    *,
    scale: float | None = None,
    renormalize: bool = True,
    causal: bool = False,
    kv_lengths: Tensor | None = None,
    q_start: Tensor | None = None,
    kv_start: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Softmax attention that keeps the n largest weights of each row (the selection of arXiv 2602.01893).

    Args:
        q: queries (B, H, N, Dk), floating.
        k: keys (B, Hkv, M, Dk); H is a multiple of Hkv.
        v: values (B, Hkv, M, Dv).
        n: keys kept per row, >= 1, ties going to the lower index; rows with fewer visible keys keep them all.
        scale: factor on the scores. Default: None, Dk ** -0.5.
        renormalize: the kept weights sum to one; False leaves them as softmax gave them, the paper's selected
            aggregate s = sum over the selection of a_j v_j. Default: True.
        causal: row i sees no key after its position. Default: False.
        kv_lengths: int32 (B,), the key before which each sample's keys end. Default: None, M.
        q_start: int32 (B,), position of row 0 among the keys, negative too. Default: None, M - N.
        kv_start: int32 (B,), the first of each sample's keys. Default: None, 0.
        bias: added to the scaled scores, before keys are selected, floating
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
    kept = check_count("n", n)
    if kept == 0:
        raise ValueError("n: expected an int >= 1, given None")
    return _operator(q, k, v, kept, scale_or_default(scale, q), renormalize, causal, *lengths, checked_bias(bias, q, k))
