"""What can go wrong in a call of selective synchronization attention."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from attnexport.variants.dense import row_chunks
from attnexport.variants.hazards import Figure, ScoreSums, Share, tied, tied_rows
from attnexport.variants.ssa.reference import coupled_rows
from attnexport.variants.visibility import row_positions


def _lonely_rows(counts: Tensor, rows: int) -> Share:
    return Share(
        "share of rows locked to no token but themselves",
        counts,
        rows,
        0.5,
        "the layer passes their values on and mixes nothing: scale omega so that squared distances are about 1",
    )


def measure(
    omega_q: Tensor, omega_k: Tensor, theta: Tensor, v: Tensor, coupling: Tensor, alpha: Tensor,
    top_k: int, causal: bool, eps: float,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None,
    *, precision: torch.dtype,
) -> tuple[Figure, ...]:  # fmt: skip
    """Largest squared distance, rows without keys, tied rows and rows that lock only to themselves."""
    rows = coupled_rows(
        omega_q.double(),
        omega_k.double(),
        theta.double(),
        v.double(),
        coupling.double(),
        alpha.double(),
        top_k,
        causal,
        kv_lengths,
        q_start,
    )
    batch, heads, tokens, _ = omega_q.shape
    positions = row_positions(tokens, omega_k.shape[2], q_start, v.device)
    columns = torch.arange(omega_k.shape[2], device=v.device)
    sums = ScoreSums(heads, precision)
    ties, lonely = torch.zeros(2, heads, dtype=torch.float64)
    for part in row_chunks(tokens, batch * heads * omega_k.shape[2], v.device):
        distance, mask = rows.distance(part), rows.mask(part)
        strength = rows.strength(part, distance).flatten(1, 2)
        mask = None if mask is None else mask[:, 0]
        sums.add(distance.flatten(1, 2), mask)
        locked = strength > 0
        if top_k:
            ties += tied(strength, locked, top_k, precision).double().sum(dim=(0, 2)).cpu()
        others = locked & (columns != positions[:, None, part, None])
        choice = omega_k.shape[2] > 1 if mask is None else mask.sum(-1) > 1
        lonely += (~others.any(-1) & choice).double().sum(dim=(0, 2)).cpu()
    largest, empty = sums.figures()
    largest = replace(largest, name="largest |score|, which is a squared distance")
    selected = (tied_rows(ties, batch * tokens),) if top_k else ()
    return (largest, empty, *selected, _lonely_rows(lonely, batch * tokens))
