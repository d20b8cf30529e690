"""What can go wrong in an attention call on a device or with other inputs, measured per head from its arguments.

Scores are formed in float64 and a few rows at a time, so that nothing overflows and memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from attnexport.variants.rows import Rows

Figure: TypeAlias = "Peak | Share"
"""What an attention call is measured by."""

HALF_MAX = 65504.0
"""Largest finite number of float16."""

NEAR_HALF_MAX = HALF_MAX / 2
"""Where a number counts as close to it: other inputs may well be twice as large."""


@dataclass(frozen=True)
class Peak:
    """The largest value of something.

    Attributes:
        name: of what, as ``largest |score|``.
        values: float64, (H,) one per head or () for all heads.
        limit: beyond which it is a hazard.
        meaning: what follows then and what to try, one sentence.
        limit_meaning: why the limit lies there, one clause.
    """

    name: str
    values: Tensor
    limit: float
    meaning: str
    limit_meaning: str

    def merged(self, other: Figure) -> Figure:
        """Of this call and another one of the same layer."""
        assert isinstance(other, Peak)
        return replace(self, values=torch.maximum(self.values, other.values))


@dataclass(frozen=True)
class Share:
    """The share of query rows of which something holds.

    Attributes:
        name: what holds, as ``share of rows that see no key``.
        counts: of such rows, float64, (H,) one per head or () for all heads.
        rows: number of rows per head that were looked at.
        limit: share beyond which it is a hazard.
        meaning: what follows then and what to try, one sentence.
        limit_meaning: why the limit lies there, one clause. Default: that every such row counts.
    """

    name: str
    counts: Tensor
    rows: int
    limit: float
    meaning: str
    limit_meaning: str = "every such row counts"

    @property
    def values(self) -> Tensor:
        """Shares, shaped as counts."""
        return self.counts / max(self.rows, 1)

    def merged(self, other: Figure) -> Figure:
        """Of this call and another one of the same layer."""
        assert isinstance(other, Share)
        return replace(self, counts=self.counts + other.counts, rows=self.rows + other.rows)


def largest_score(values: Tensor) -> Peak:
    """The figure of the largest absolute score of every head, (H,)."""
    return Peak(
        "largest |score|",
        values,
        NEAR_HALF_MAX,
        "float16 ends at 65504: hold scores in float32 or bfloat16, or scale q and k down",
        "half of float16's largest number, as other inputs may well be twice as large",
    )


def rows_without_keys(count: int, rows: int) -> Share:
    """The figure of rows that see no key: how many of how many."""
    return Share(
        "share of rows that see no key",
        torch.as_tensor(count, dtype=torch.float64),
        rows,
        0.0,
        "their output is zero, which is right for padding alone: look at kv_lengths, q_start and the window",
    )


def tied_rows(counts: Tensor, rows: int) -> Share:
    """The figure of rows whose selection is a matter of rounding, per head (H,)."""
    return Share(
        "share of rows with a tie at the last kept score",
        counts,
        rows,
        0.0,
        "which key is kept there is a matter of rounding, so that runtimes differ: hold them to a metric on data",
    )


def tied(scores: Tensor, mask: Tensor | None, keep: int, precision: torch.dtype) -> Tensor:
    """Rows (B, H, rows) whose last kept score and the next one are a rounding apart.

    Args:
        scores: float64 (B, H, rows, M).
        mask: true where a row sees the key, broadcastable to scores; None when it sees all.
        keep: how many keys a row keeps, at least 1.
        precision: whose rounding.
    """
    if keep >= scores.shape[-1]:
        return torch.zeros(scores.shape[:-1], dtype=torch.bool)
    ranked = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
    last, following = torch.topk(ranked, keep + 1, dim=-1).values[..., -2:].unbind(-1)
    return following.isfinite() & (last - following <= torch.finfo(precision).eps * last.abs())


class ScoreSums:
    """Figures of the scores of one call, gathered a few rows at a time.

    Args:
        heads: H.
        precision: floating dtype in which scores count as tied when they differ by less than a rounding.
        keep: how many keys a row keeps. Default: 0, all.
    """

    def __init__(self, heads: int, precision: torch.dtype, keep: int = 0) -> None:
        self._precision, self._keep = precision, keep
        self._largest = torch.zeros(heads, dtype=torch.float64)
        self._tied = torch.zeros(heads, dtype=torch.float64)
        self._empty = self._rows = 0

    def add(self, scores: Tensor, mask: Tensor | None, sizes: Tensor | None = None) -> None:
        """Takes in some rows.

        Args:
            scores: float64 (B, H, rows, M).
            mask: true where a row sees the key, (B or 1, H or 1, rows or 1, M); None when it sees all.
            sizes: what stands for the scores' absolute values in the largest one. Default: None, these.
        """
        batch, _, rows, _ = scores.shape
        self._rows += batch * rows
        if not scores.numel():
            self._empty += batch * rows
            return
        sizes = scores.abs() if sizes is None else sizes
        sizes = sizes.nan_to_num(nan=torch.inf, posinf=torch.inf)
        if mask is not None:
            sizes = sizes.masked_fill(~mask, 0.0)
            empty = (~mask.any(-1)).any(1, keepdim=True)
            self._empty += int(empty.expand(batch, 1, rows).sum())
        self._largest = torch.maximum(self._largest, sizes.amax(dim=(0, 2, 3)).cpu())
        if self._keep:
            self._tied += tied(scores, mask, self._keep, self._precision).double().sum(dim=(0, 2)).cpu()

    def figures(self) -> tuple[Figure, ...]:
        """The largest score, the rows without keys and, where some keys are kept, the tied rows."""
        found: list[Figure] = [largest_score(self._largest), rows_without_keys(self._empty, self._rows)]
        if self._keep:
            found.append(tied_rows(self._tied, self._rows))
        return tuple(found)


def score_figures(rows: Rows, precision: torch.dtype, keep: int = 0) -> tuple[Figure, ...]:
    """What the scores of all rows tell, which is all there is to tell of most variants.

    Args:
        rows: in float64.
        precision, keep: as in :class:`ScoreSums`.
    """
    sums = ScoreSums(rows.q.shape[1] * rows.q.shape[2], precision, keep)
    for part in rows.parts():
        mask = rows.mask(part)
        sums.add(rows.scores(part).flatten(1, 2), None if mask is None else mask.flatten(1, 2))
    return sums.figures()


def in_double(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """An operator's arguments by name, floating tensors and lists of them in float64."""
    return {name: _double(value) for name, value in arguments.items()}


def _double(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_double(item) for item in value]
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
