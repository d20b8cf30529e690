"""What can go wrong in a call of selective synchronization attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attnexport.variants.hazards import Figure, ScoreSums, Share, in_double, tied, tied_rows
from attnexport.variants.ssa.reference import coupled_rows
from attnexport.variants.visibility import row_positions


def _lonely_rows(counts: Tensor, rows: int) -> Share:
    return Share(
        "share of rows locked to no token but themselves",
        counts,
        rows,
        0.5,
        "the layer passes their values on and mixes nothing: scale omega so that squared distances are about 1",
        "a few lonely rows are no fault; where they are most, the layer does nothing",
    )


def measure(*, precision: torch.dtype, **call: Any) -> tuple[Figure, ...]:
    """Largest squared distance, rows without keys, tied rows and rows that lock only to themselves."""
    rows = coupled_rows(**in_double(call))
    batch, heads, tokens, _ = call["omega_q"].shape
    keys, device = rows.k.shape[-2], rows.k.device
    positions = row_positions(tokens, keys, call["q_start"], device)
    columns = torch.arange(keys, device=device)
    sums = ScoreSums(heads, precision)
    ties, lonely = torch.zeros(2, heads, dtype=torch.float64)
    for part in rows.parts():
        distance, mask = rows.scores(part), rows.mask(part)
        strength = rows.strength(part, distance).flatten(1, 2)
        mask = None if mask is None else mask.flatten(1, 2)
        sums.add(distance.flatten(1, 2), mask)
        locked = strength > 0
        if rows.top_k:
            ties += tied(strength, locked, rows.top_k, precision).double().sum(dim=(0, 2)).cpu()
        others = locked & (columns != positions[:, None, part, None])
        choice = keys > 1 if mask is None else mask.sum(-1) > 1
        lonely += (~others.any(-1) & choice).double().sum(dim=(0, 2)).cpu()
    largest, empty = sums.figures()
    largest = replace(largest, name="largest |score|, which is a squared distance")
    selected = (tied_rows(ties, batch * tokens),) if rows.top_k else ()
    return (largest, empty, *selected, _lonely_rows(lonely, batch * tokens))
