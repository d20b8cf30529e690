"""Hands out the values between a model's inputs and outputs while it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from attnexport.models.interpreting import Call, Rounding, StopRunning
from attnexport.models.model import Model

VisitValue = Callable[[str, Tensor], None]
"""Takes a node's name and its value. The value may be changed in place later: keep a copy."""


def visit_values(
    model: Model,
    tensors: Sequence[Tensor],
    wanted: Collection[str],
    visit: VisitValue,
    *,
    dtype: torch.dtype | None = None,
    rounding: Rounding | None = None,
) -> None:
    """Runs a model as far as the last value that is wanted.

    Args:
        model: the model.
        tensors: in the order of its inputs.
        wanted: nodes of the program, among ``model.runner.calls``.
        visit: is called for each of them, in the program's order; values are not kept.
        dtype, rounding: as for :meth:`Model.run`.
    """
    waiting = {model.runner.calls[name]: name for name in wanted}
    if not waiting:
        return

    def see(call: Call) -> None:
        if call.node in waiting:
            visit(waiting.pop(call.node), call.value)
            if not waiting:
                raise StopRunning

    model.run(tensors, dtype=dtype, rounding=rounding, visit=see)
