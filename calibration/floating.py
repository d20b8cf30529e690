"""Reads the ONNX file that is to be quantized."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from attnexport.errors import InputError
from attnexport.graph.inspection import check_external_data, read_model
from attnexport.graph.quantization import check_is_qdq, quantized_precision


def floating_model(path: Path) -> ir.Model:
    """A file that is not quantized yet, with its weights.

    Raises:
        InputError: no ONNX file, or one that holds Q/DQ nodes or integer operators.
    """
    read_model(path)
    check_external_data(path)
    model = ir.load(path)
    check_is_qdq(model, str(path))
    precision = quantized_precision(model)
    if precision is not None:
        raise InputError(
            f"{path}: expected a file without Q/DQ nodes, given one in {precision}: quantize what it was made from"
        )
    return model
