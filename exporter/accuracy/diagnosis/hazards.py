"""Attention's own hazards, found in a model's attention layers on given inputs before a device meets them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from attnexport.accuracy.check.findings import Hazard
from attnexport.accuracy.inputs.files import Batch
from attnexport.models.attention_calls import OperatorCall, visit_calls
from attnexport.models.model import Model
from attnexport.models.precisions import PRECISIONS
from attnexport.variants.hazards import Figure, ScoreSums, add_dot_products
from attnexport.variants.visibility import visible_counts


def find_hazards(model: Model, batches: Iterable[Batch], *, precision: str | None = None) -> tuple[Hazard, ...]:
    """Runs the model once a batch and measures every attention call.

    Scores are formed in float64 from what the model's layers give at its own precision, a few rows at a time.

    Args:
        model: the model.
        batches: inputs.
        precision: fp32, fp16 or bf16, in which scores count as tied. Default: None, the model's own.

    Returns:
        Every figure of every layer and head, layer by layer, whether it is a hazard (``reached``) or not.
    """
    dtype = PRECISIONS[precision or model.precision]
    found: dict[tuple[str, str], Figure] = {}

    def measure(call: OperatorCall) -> None:
        for figure in _figures(call, dtype):
            known = found.get((call.layer, figure.name))
            found[call.layer, figure.name] = figure if known is None else known.merged(figure)

    for batch in batches:
        visit_calls(model, batch.tensors, measure)
    return tuple(hazard for (layer, _), figure in found.items() for hazard in _hazards(layer, figure))


def _figures(call: OperatorCall, precision: torch.dtype) -> tuple[Figure, ...]:
    if call.variant is not None:
        return call.variant.hazards(**call.variant.bind(call.args, call.kwargs), precision=precision)
    return _softmax_figures(precision, *call.args, **call.kwargs)


def _softmax_figures(
    precision: torch.dtype,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Figure, ...]:
    """The largest score of torch's softmax attention on (B, H, N, D), masked ones included."""
    if q.dim() != 4:
        return ()
    rows, keys = q.shape[2], k.shape[2]
    # Torch's causal mask starts at the upper left corner.
    start = torch.zeros(q.shape[0], dtype=torch.int32)
    counts = visible_counts(rows, keys, causal=is_causal, kv_lengths=None, q_start=start, device=q.device)
    sums = ScoreSums(q.shape[1], precision)
    add_dot_products(sums, q, k, q.shape[-1] ** -0.5 if scale is None else scale, counts)
    return sums.figures()[:1]


def _hazards(layer: str, figure: Figure) -> Iterator[Hazard]:
    """One a head, or one for all heads."""
    for position, value in enumerate(figure.values.reshape(-1).tolist()):
        head = position if figure.values.dim() else None
        yield Hazard(layer, head, figure.name, value, figure.limit, value > figure.limit, figure.meaning)
