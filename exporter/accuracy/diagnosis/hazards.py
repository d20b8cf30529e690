"""Attention's own hazards, found in a model's attention layers on given inputs before a device meets them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attnexport.accuracy.check.findings import Hazard
from attnexport.accuracy.inputs.files import Batch
from attnexport.models.attention_calls import OperatorCall, visit_calls
from attnexport.models.model import Model
from attnexport.models.precisions import PRECISIONS
from attnexport.variants.hazards import Figure


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
        for figure in call.attention.hazards(precision=dtype, **call.arguments):
            known = found.get((call.layer, figure.name))
            found[call.layer, figure.name] = figure if known is None else known.merged(figure)

    for batch in batches:
        visit_calls(model, batch.tensors, measure)
    return tuple(hazard for (layer, _), figure in found.items() for hazard in _hazards(layer, figure))


def _hazards(layer: str, figure: Figure) -> Iterator[Hazard]:
    """One a head, or one for all heads."""
    for position, value in enumerate(figure.values.reshape(-1).tolist()):
        head = position if figure.values.dim() else None
        yield Hazard(
            layer,
            head,
            figure.name,
            value,
            figure.limit,
            reached=value > figure.limit,
            meaning=figure.meaning,
            limit_meaning=figure.limit_meaning,
        )
