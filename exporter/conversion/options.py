"""Arguments of convert, held together before there is a model."""

from __future__ import annotations

from attnexport.errors import ConversionError, InputError, did_you_mean
from attnexport.targets import Target, find_target

DEFAULT_OPSET = 20
BFLOAT16_OPSET = 22
"""From here on most operators take bfloat16."""
LOWEST_OPSET, HIGHEST_OPSET = 17, 23

NODE_CHOICES = ("auto", "plugin", "body")
"""How attention calls are written: as nodes with a body beside them, or as the body alone; auto asks the target."""


def chosen_target(*, opset: int | None, target: str | None, nodes: str) -> Target | None:
    """The target, None where none was asked for.

    Raises:
        InputError: an unknown target, or another choice of nodes.
        ConversionError: an opset that is not written, or that the target does not parse.
    """
    if nodes not in NODE_CHOICES:
        said = f"nodes: expected {', '.join(NODE_CHOICES)}, given {nodes!r}"
        raise InputError(f"{said}{did_you_mean(nodes, NODE_CHOICES)}")
    chosen = None if target is None else find_target(target)
    if opset is not None and not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
        raise ConversionError(f"opset: expected {LOWEST_OPSET} to {HIGHEST_OPSET}, given {opset}")
    if opset is not None and chosen is not None and opset > chosen.highest_opset:
        raise ConversionError(f"opset: the target parses up to {chosen.highest_opset}, given {opset}")
    return chosen
