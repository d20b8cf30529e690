"""Torch's own softmax attention: its operator, and how a call of it is taken apart."""

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
