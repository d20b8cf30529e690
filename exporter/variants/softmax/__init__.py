"""Torch's own softmax attention: no variant of ours, but seen in models beside them."""

import torch

from attnexport.variants.softmax import reference
from attnexport.variants.spec import Attention

__all__: list[str] = []

VARIANT = Attention(
    name="softmax",
    title="softmax attention",
    reference=torch.ops.aten.scaled_dot_product_attention.default,
    rows=reference.softmax_rows,
    measure=reference.measure,
)
