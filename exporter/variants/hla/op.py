"""The public Hadamard linear attention operator."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from attnexport.variants.checks import check, check_heads, checked_lengths, same_precision
from attnexport.variants.hla import reference
from attnexport.variants.registration import register_operator

_operator = register_operator(reference.hadamard_linear_attention)


def hadamard_linear_attention(
    query_factors: Sequence[Tensor],
    key_factors: Sequence[Tensor],
    v: Tensor,
    *,
    causal: bool = False,
    kv_lengths: Tensor | None = None,
    q_start: Tensor | None = None,
    kv_start: Tensor | None = None,
    bias: None = None,
    eps: float = 1e-6,
) -> Tensor:
    """Hadamard linear attention: linear attention whose weights are products of R kernels.

        A_ij  = prod_r <query_factors[r][i], key_factors[r][j]>
        out_i = sum_j A_ij v_j / (sum_j A_ij + eps)        over visible j

    A reconstruction: of arXiv 2602.12128 only the abstract and descriptions by others could be read. R = 1 is
    ordinary linear attention. Work is 4 N prod(m_r) (Dv + 1) per head, linear in the tokens.

    Args:
        query_factors: R >= 1 tensors (B, H, N, m_r) of non-negative features.
        key_factors: R tensors (B, Hkv, M, m_r) of non-negative features; H is a multiple of Hkv.
        v: values (B, Hkv, M, Dv).
        causal: row i sees no key after its position. Default: False.
        kv_lengths: int32 (B,), the key before which each sample's keys end. Default: None, M.
        q_start: int32 (B,), position of row 0 among the keys, negative too. Default: None, M - N.
        kv_start: int32 (B,), the first of each sample's keys. Default: None, 0.
        bias: None, which is all that it takes: a bias of a pair of tokens enters no product of sums over the keys.
        eps: added to the denominator. Default: 1e-6.

    Returns:
        (B, H, N, Dv) of v's dtype; rows that see no key are zero. A row whose query, or a key that it sees, holds NaN
        is NaN; a NaN value makes its column NaN in the rows that weigh it.

    Raises:
        ValueError: shapes that do not fit, naming the argument.
    """
    if bias is not None:
        raise ValueError(
            "bias: expected None, given a tensor: weights are products of features, whose sums over the keys are taken "
            "before any row, so that no number of a pair of tokens can be added"
        )
    if len(query_factors) == 0 or len(query_factors) != len(key_factors):
        raise ValueError(
            "key_factors: expected as many tensors as query_factors, at least one, "
            f"given {len(query_factors)} and {len(key_factors)}"
        )
    *factors, v = same_precision(*query_factors, *key_factors, v)
    query_factors, key_factors = factors[: len(query_factors)], factors[len(query_factors) :]
    first = query_factors[0]
    for index, (query, key) in enumerate(zip(query_factors, key_factors, strict=True)):
        check_heads(f"query_factors[{index}]", query, f"key_factors[{index}]", key, v)
        check(
            query.shape[:3] == first.shape[:3],
            f"query_factors[{index}]",
            query,
            "the shape of the first but for m_r",
        )
    lengths = checked_lengths(v.shape[0], kv_lengths, q_start, kv_start)
    return _operator(list(query_factors), list(key_factors), v, causal, eps, *lengths)
