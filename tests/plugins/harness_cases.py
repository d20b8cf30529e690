"""Writes calls of the kernels' case list as files that the C++ harness reads, and reads back what it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnexport.plugins.library import AttributeKind, Op
from tests.plugins.kernel_cases import Arguments, Case, Sizes

NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16", torch.int32: "int32"}
_KEYWORDS = {AttributeKind.INTEGER: "integer", AttributeKind.NUMBER: "number", AttributeKind.TEXT: "text"}


def _dims(tensor: Tensor) -> str:
    return ",".join(map(str, tensor.shape)) or "-"


def _flat_inputs(op: Op, arguments: Arguments) -> Iterator[tuple[str, Tensor]]:
    for item in op.inputs:
        value = arguments.get(item.name)
        if isinstance(value, list):
            yield from ((f"{item.name}_{index}", tensor) for index, tensor in enumerate(value))
        elif value is not None:
            yield item.name, value


def _attribute(op: Op, arguments: Arguments, name: str) -> Any:
    listed = next((item.name for item in op.inputs if item.count_attribute == name), None)
    value = len(arguments[listed]) if listed is not None else arguments[name]
    return int(value) if isinstance(value, bool) else value


def write_case(folder: Path, name: str, op: Op, arguments: Arguments) -> tuple[Path, Path]:
    """Writes one call of an operator.

    Returns:
        The case's file and the file that the harness writes the output into, of the dtype of the inputs.
    """
    lines = [f"op {op.name}"]
    lines += [f"{_KEYWORDS[item.kind]} {item.name} {_attribute(op, arguments, item.name)}" for item in op.attributes]
    for input_name, tensor in _flat_inputs(op, arguments):
        data = folder / f"{name}.{input_name}.bin"
        data.write_bytes(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        lines.append(f"input {input_name} {NAMES[tensor.dtype]} {_dims(tensor)} file {data.name}")
    query = next(tensor for _, tensor in _flat_inputs(op, arguments))
    output = folder / f"{name}.out.bin"
    sizes = ",".join(map(str, (*query.shape[:3], arguments["v"].shape[3])))
    lines.append(f"output {NAMES[query.dtype]} {sizes} file {output.name}")
    case = folder / f"{name}.case"
    case.write_text("\n".join(lines) + "\n")
    return case, output


def read_output(path: Path, arguments: Arguments) -> Tensor:
    """What the harness wrote for these arguments, (B, H, N, Dv)."""
    query = next(iter(arguments.values()))
    query = query[0] if isinstance(query, list) else query
    flat = torch.frombuffer(bytearray(path.read_bytes()), dtype=query.dtype)
    return flat.reshape(*query.shape[:3], arguments["v"].shape[3])


def harness_cases() -> list[Case]:
    """Calls of every operator, with and without lengths, few rows and many."""
    grid = {"grid_height": 5, "grid_width": 7, "grid_radius": 1, "grid_metric": "manhattan", "grid_prefix": 1}
    chosen = {
        "KrauseAttention": ({"window": 9}, {"top_k": 6}),
        "AffineScaledAttention": ({},),
        "SelectiveSynchronizationAttention": ({}, {"top_k": 6}),
        "TopNAttention": ({"n": 5},),
        "HadamardLinearAttention": ({"features": (8, 16)},),
    }
    sizes = (
        Sizes(rows=7, keys=63, width=32, value_width=48, causal=True, kv_lengths=(63, 31), q_start=(56, 3)),
        Sizes(heads=2, kv_heads=1, rows=1, keys=700, width=64, value_width=64, batch=1),
        Sizes(heads=2, kv_heads=2, rows=127, keys=127, width=40, value_width=24, causal=True),
    )
    cases = [Case(op, size, option) for op, options in chosen.items() for size in sizes for option in options]
    return [*cases, Case("KrauseAttention", Sizes(rows=36, keys=36), grid)]
