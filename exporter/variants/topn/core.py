"""Top-N attention in layers of other libraries."""

from __future__ import annotations

from torch import Tensor

from attnexport.variants.core import AttentionCore, Operands, Site
from attnexport.variants.options import flag, whole_number
from attnexport.variants.topn.op import top_n_attention

_ALL = 2**31 - 1


class TopNCore(AttentionCore):
    """Keeps the n largest weights of each row; neutral where n is all keys.

    Args:
        site: the layer.
        n, renormalize: as in :func:`attnexport.top_n_attention`.

    Raises:
        ValueError: an option of another type or out of its range, in one line that names it.
    """

    def __init__(self, site: Site, *, n: int, renormalize: bool = True) -> None:
        super().__init__()
        self.n, self.renormalize = whole_number("n", n), flag("renormalize", renormalize)

    def attend(self, operands: Operands) -> Tensor:
        return self._of(operands, self.n)

    def neutral(self, operands: Operands) -> Tensor:
        return self._of(operands, _ALL)

    def _of(self, it: Operands, n: int) -> Tensor:
        seen = vars(it.visibility)
        return top_n_attention(it.q, it.k, it.v, n, scale=it.scale, renormalize=self.renormalize, **seen)
