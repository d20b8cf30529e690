"""Shapes in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def shape_text(shape: Sequence[int]) -> str:
    """A shape as options and reports write it: 2x3, or scalar."""
    return "x".join(map(str, shape)) or "scalar"


def shapes_text(shapes: Iterable[tuple[str, Sequence[int]]]) -> str:
    """Shapes by name, as ``x 2x3, scale scalar``."""
    return ", ".join(f"{name} {shape_text(shape)}" for name, shape in shapes)
