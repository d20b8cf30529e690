"""Top-N attention in PyTorch: softmax attention of which each row keeps its N largest weights
(the selection of arXiv 2602.01893; without renormalising it is the paper's selected aggregate)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attnexport.variants.dense import masked_softmax, top_k_mask
from attnexport.variants.rows import BiasedRows


@dataclass(frozen=True)
class TopNRows(BiasedRows):
    """Rows that keep their n largest weights."""

    n: int
    renormalize: bool

    def weights(self, part: slice) -> Tensor:
        scores, mask = self.scores(part), self.mask(part)
        kept = top_k_mask(scores, self.n, mask)
        if self.renormalize or kept is None:
            return masked_softmax(scores, kept)
        return masked_softmax(scores, mask).masked_fill(~kept, 0.0)


def top_n_attention(
    q: Tensor, k: Tensor, v: Tensor,
    n: int, scale: float, renormalize: bool, causal: bool,
    kv_lengths: Tensor | None = None, q_start: Tensor | None = None, kv_start: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The operator."""
    rows = TopNRows.of(
        q, k, v, causal, kv_lengths, q_start, kv_start, bias, scale=scale, n=n, renormalize=renormalize
    )  # fmt: skip
    return rows.attend().to(v.dtype)
