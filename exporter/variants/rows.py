"""Query rows beside every key: what a variant that weighs all pairs of tokens computes, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from attnexport.variants.bias import bias_of_rows, grouped_bias, shown
from attnexport.variants.dense import compute_dtype, group_heads, masked_softmax, row_chunks, zero_hidden
from attnexport.variants.visibility import KeyRuns, Visibility, key_runs

AnyRows = TypeVar("AnyRows", bound="Rows")
AnyBiasedRows = TypeVar("AnyBiasedRows", bound="BiasedRows")


@dataclass(frozen=True)
class Rows:
    """The rows of softmax attention; a variant's class has scores, a mask or weights of its own.

    Attributes:
        q: queries in the compute type (B, Hkv, G, N, D), G = H / Hkv.
        k: keys in the compute type (B, Hkv, 1, M, D), zero outside kv_start .. kv_lengths.
        v: values in the compute type (B, Hkv, 1, M, Dv), zero there too.
        runs: the run of keys that every row sees.
        hides: whether rows may see fewer than all keys.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    runs: KeyRuns
    hides: bool

    @classmethod
    def of(
        cls: type[AnyRows], q: Tensor, k: Tensor, v: Tensor,
        causal: bool, kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
        *, scale: float | None = None, **own: Any,
    ) -> AnyRows:  # fmt: skip
        """From an operator's arguments.

        Args:
            q, k, v, causal, kv_lengths, q_start, kv_start: as every operator has them.
            scale: factor on the queries. Default: None, 1.
            own: attributes of the variant's class.
        """
        visibility, dtype = Visibility(causal, kv_lengths, q_start, kv_start), compute_dtype(v)
        queries = q.to(dtype) if scale is None else q.to(dtype) * scale
        return cls(
            q=group_heads(queries, k.shape[1]),
            k=zero_hidden(k.to(dtype), visibility)[:, :, None],
            v=zero_hidden(v.to(dtype), visibility)[:, :, None],
            runs=key_runs(q.shape[2], k.shape[2], visibility, q.device),
            hides=visibility.hides,
            **own,
        )

    def scores(self, part: slice) -> Tensor:
        """Scores of some rows, (B, Hkv, G, rows, M)."""
        return self.q[..., part, :] @ self.k.transpose(-1, -2)

    def visible(self, part: slice) -> Tensor | None:
        """True where some rows see a key, broadcastable to their scores; None when they see all."""
        if not self.hides:
            return None
        columns = torch.arange(self.k.shape[-2], device=self.k.device)
        return self.runs.part(part).hold(columns)[:, None, None]

    def mask(self, part: slice) -> Tensor | None:
        """True where some rows may weigh a key, broadcastable to their scores; None when they may weigh all."""
        return self.visible(part)

    def weights(self, part: slice) -> Tensor:
        """Weights of some rows, (B, Hkv, G, rows, M), zero where the mask is false."""
        return masked_softmax(self.scores(part), self.mask(part))

    def outputs(self, part: slice) -> Tensor:
        """Sums of the values by the weights of some rows, (B, Hkv, G, rows, Dv)."""
        return self.weights(part) @ self.v

    def parts(self) -> Iterator[slice]:
        """All rows, so many at once that their weights stay small."""
        *heads, rows, _ = self.q.shape
        per_row = self.k.shape[-2]
        for size in heads:
            per_row *= size
        return row_chunks(rows, per_row, self.q.device)

    def attend(self) -> Tensor:
        """The result of every row, (B, H, N, Dv), in the compute type."""
        return torch.cat([self.outputs(part) for part in self.parts()], dim=-2).flatten(1, 2)

    def dense(self) -> Tensor:
        """The weights of every row, (B, H, N, M), in the compute type."""
        return self.weights(slice(0, self.q.shape[-2])).flatten(1, 2)

    def seen(self) -> Tensor:
        """True where a row sees a key, broadcastable to (B, H, N, M)."""
        visible = self.visible(slice(0, self.q.shape[-2]))
        return torch.ones(1, dtype=torch.bool) if visible is None else visible.flatten(1, 2)


@dataclass(frozen=True)
class BiasedRows(Rows):
    """Rows whose scores have a bias, or none.

    Attributes:
        bias: (B or 1, Hkv or 1, G or 1, N or 1, M) in the compute type; None for none.
    """

    bias: Tensor | None

    @classmethod
    def of(
        cls: type[AnyBiasedRows], q: Tensor, k: Tensor, v: Tensor,
        causal: bool, kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
        bias: Tensor | None = None, *, scale: float | None = None, **own: Any,
    ) -> AnyBiasedRows:  # fmt: skip
        """As :meth:`Rows.of`, with a bias (B or 1, H or 1, N or 1, M)."""
        grouped = None if bias is None else grouped_bias(bias, k.shape[1], compute_dtype(v))
        bounds = kv_lengths, q_start, kv_start
        return super().of(q, k, v, causal, *bounds, scale=scale, bias=grouped, **own)

    def biased(self, scores: Tensor, part: slice) -> Tensor:
        """The scores of some rows with their bias."""
        return scores if self.bias is None else scores + bias_of_rows(self.bias, part)

    def scores(self, part: slice) -> Tensor:
        return self.biased(super().scores(part), part)

    def visible(self, part: slice) -> Tensor | None:
        visible = super().visible(part)
        if self.bias is None:
            return visible
        allowed = shown(bias_of_rows(self.bias, part))
        return allowed if visible is None else visible & allowed
