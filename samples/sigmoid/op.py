"""The public sigmoid attention operator."""

from __future__ import annotations

from torch import Tensor

from attnexport.variants.checks import checked_lengths, checked_qkv, scale_or_default
from attnexport.variants.registration import register_operator
from attnexport.variants.sigmoid import reference

_operator = register_operator(reference.sigmoid_attention)


def sigmoid_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    bias: float = 0.0,
    causal: bool = False,
    kv_lengths: Tensor | None = None,
    q_start: Tensor | None = None,
    kv_start: Tensor | None = None,
) -> Tensor:
    """Sigmoid attention: every pair of tokens is weighed by itself (arXiv 2409.04431, eq. 3).

        out_i = sum_j sigmoid(scale q_i . k_j + bias) v_j     over visible j

    Args:
        q: queries (B, H, N, Dk), floating.
        k: keys (B, Hkv, M, Dk); H is a multiple of Hkv.
        v: values (B, Hkv, M, Dv).
        scale: factor on the scores. Default: None, Dk ** -0.5.
        bias: added to the scaled scores. The paper trains with -log(M) of the training length; a number, and not a
            function of M, so that one graph serves every length. Default: 0.
        causal: row i sees no key after its position. Default: False.
        kv_lengths: int32 (B,), the key before which each sample's keys end. Default: None, M.
        q_start: int32 (B,), position of row 0 among the keys, negative too. Default: None, M - N.
        kv_start: int32 (B,), the first of each sample's keys. Default: None, 0.

    Returns:
        (B, H, N, Dv) of v's dtype; rows that see no key are zero.

    Raises:
        ValueError: shapes that do not fit, naming the argument.
    """
    q, k, v = checked_qkv(q, k, v)
    lengths = checked_lengths(q.shape[0], kv_lengths, q_start, kv_start)
    return _operator(q, k, v, scale_or_default(scale, q), float(bias), causal, *lengths)
