"""The public selective synchronization attention operator."""

from __future__ import annotations

from torch import Tensor

from attnexport.variants.checks import check, check_count, check_heads, checked_bias, checked_lengths, same_precision
from attnexport.variants.registration import register_operator
from attnexport.variants.ssa import reference

_operator = register_operator(reference.selective_synchronization_attention)


def selective_synchronization_attention(
    omega_q: Tensor,
    omega_k: Tensor,
    theta: Tensor,
    v: Tensor,
    coupling: Tensor,
    alpha: Tensor,
    *,
    top_k: int | None = None,
    causal: bool = False,
    kv_lengths: Tensor | None = None,
    q_start: Tensor | None = None,
    kv_start: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-8,
) -> Tensor:
    """Selective synchronization attention: weights of phase-locked oscillators (arXiv 2602.14445, eqs. 4-14).

        D2_ij = |omega_q_i - omega_k_j|^2
        r     = mean_l |mean_j exp(i theta_j[l])|           over visible j; one per row when causal
        S_ij  = sqrt(max(0, exp(-2 alpha_h D2_ij) - D2_ij / (coupling r)^2))
        out_i = sum_j S_ij v_j / (sum_j S_ij + eps)         over the top_k largest S_ij of the row

    The causal form is ours: the paper has none, and masking S alone would leak the future through r.

    Args:
        omega_q: natural frequencies of the queries (B, H, N, D), floating.
        omega_k: natural frequencies of the keys (B, Hkv, M, D); H is a multiple of Hkv.
        theta: phases of the keys in radians (B, Hkv, M, D).
        v: values (B, Hkv, M, Dv).
        coupling: K, () and > 0.
        alpha: decay per head, (H,) and > 0.
        top_k: keys kept per row, ties going to the lower index. Default: None, all.
        causal: row i sees no key after its position. Default: False.
        kv_lengths: int32 (B,), the key before which each sample's keys end. Default: None, M.
        q_start: int32 (B,), position of row 0 among the keys, negative too. Default: None, M - N.
        kv_start: int32 (B,), the first of each sample's keys. Default: None, 0.
        bias: a mask, floating (B or 1, H or 1, N or 1, M), in omega_q's dtype. -30000 or less, -inf too, hides the key
            from the row, in r too; other numbers change nothing. Default: None, no key is hidden.
        eps: added to the denominator. Default: 1e-8.

    Returns:
        (B, H, N, Dv) of v's dtype; rows that see no key are zero. A row whose query, or a key that it sees, holds NaN
        in its frequency or phase, is NaN, selected or not; a NaN value makes its column NaN in the rows that weigh it.

    Raises:
        ValueError: shapes or options that do not fit, naming the argument.
    """
    omega_q, omega_k, theta, v = same_precision(omega_q, omega_k, theta, v)
    check_heads("omega_q", omega_q, "omega_k", omega_k, v)
    lengths = checked_lengths(v.shape[0], kv_lengths, q_start, kv_start)
    check(theta.shape == omega_k.shape, "theta", theta, "the shape of omega_k, ({}, {}, {}, {})", *omega_k.shape)
    check(coupling.dim() == 0, "coupling", coupling, "()")
    check(tuple(alpha.shape) == (omega_q.shape[1],), "alpha", alpha, "(H={},)", omega_q.shape[1])
    return _operator(
        omega_q,
        omega_k,
        theta,
        v,
        coupling,
        alpha,
        check_count("top_k", top_k),
        causal,
        eps,
        *lengths,
        checked_bias(bias, omega_q, omega_k),
    )
