"""Writes an ONNX model to a file, with large weights beside it."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

INLINE_BYTES = int(1.5 * 2**30)
"""Weights beyond this size are written beside the model; protobuf ends at 2 GiB."""


def write_model(model: ir.Model, path: Path) -> str | None:
    """Writes the model; returns the name of its external data file, or None where the weights are inside."""
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    external = f"{path.name}.data" if size > INLINE_BYTES else None
    ir.save(model, path, external_data=external)
    return external
