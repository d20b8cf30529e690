"""What can go wrong in a call of Hadamard linear attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from attnexport.variants.hazards import Figure, Share, largest_score, rows_without_keys
from attnexport.variants.hla.reference import attention_sums
from attnexport.variants.visibility import Visibility, visible_counts

_LARGEST = "largest sum of a row's scores"

_NEAR_EPS = 100.0
"""A denominator below this many eps is changed by more than a hundredth."""


def _small_denominators(counts: Tensor, rows: int) -> Share:
    return Share(
        f"share of rows whose denominator is below {_NEAR_EPS:.0f} eps",
        counts,
        rows,
        0.0,
        "eps decides their result, and a runtime that drops it divides by nothing: scale the features up or lower eps",
    )


def measure(
    query_factors: Sequence[Tensor], key_factors: Sequence[Tensor], v: Tensor,
    causal: bool, eps: float,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
    *, precision: torch.dtype,
) -> tuple[Figure, ...]:  # fmt: skip
    """Largest sum of scores, which is the denominator, rows without keys and rows with a denominator near eps."""
    batch, heads, rows, _ = query_factors[0].shape
    keys = v.shape[2]
    visibility = Visibility(causal, kv_lengths, q_start, kv_start)
    seen = visible_counts(rows, keys, visibility, v.device) > 0
    empty = rows_without_keys(int((~seen).expand(batch, rows).sum()), batch * rows)
    if not rows or not keys:
        none = torch.zeros(heads, dtype=torch.float64)
        return replace(largest_score(none), name=_LARGEST), empty, _small_denominators(none, batch * rows)
    queries, key_wide = ([factor.double() for factor in factors] for factors in (query_factors, key_factors))
    sums = attention_sums(queries, key_wide, v[..., :0].double(), visibility)
    denominators = sums[..., 0].flatten(1, 2).nan_to_num(nan=torch.inf, posinf=torch.inf)
    small = (denominators < _NEAR_EPS * eps) & seen[:, None]
    return (
        replace(largest_score(denominators.amax(dim=(0, 2)).cpu()), name=_LARGEST),
        empty,
        _small_denominators(small.double().sum(dim=(0, 2)).cpu(), batch * rows),
    )
