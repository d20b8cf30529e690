"""Operators run by the C++ harness, through the calls that TensorRT makes of a plugin."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from attnexport.plugins.calling.interface import AttributeKind, Dtype
from attnexport.plugins.calling.operators import Call, Op
from tests.plugins.kernel_cases import Case, Sizes


@dataclass(frozen=True)
class Plugin:
    """An operator that the harness runs as a plugin; takes the place of attnexport.plugins.calling.operators.Op.

    Attributes:
        op: its description.
        program: the harness for the library's interface.
        memory: "host" for a library of emulated kernels, "device" for one of a GPU.
        library: the plugin library.
        folder: where the files of a call go.
    """

    op: Op
    program: Path
    memory: str
    library: Path
    folder: Path

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def inputs(self) -> tuple:
        return self.op.inputs

    def launch(self, call: Call, workspace: int, workspace_bytes: int, stream: int) -> None:
        case = self.folder / "call.case"
        first, value = call.inputs[0].shape, call.inputs[self._place_of_v(call)].shape
        dims, output = (*first[:3], value[3]), self.folder / "out.bin"
        lines = [f"op {self.name}", *(self._attribute(item, call) for item in self.op.attributes)]
        for index, array in enumerate(call.inputs):
            (self.folder / f"{index}.bin").write_bytes(
                ctypes.string_at(array.pointer, size_of(array.dtype, array.shape))
            )
            lines.append(f"input input_{index} {array.dtype.name.lower()} {joined(array.shape)} file {index}.bin")
        lines.append(f"output {call.inputs[0].dtype.name.lower()} {joined(dims)} file {output.name}")
        case.write_text("\n".join(lines) + "\n")
        command = [str(self.program), "--memory", self.memory, str(self.library), str(case)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {done.stdout[-2000:]}{done.stderr}")
        ctypes.memmove(call.output, output.read_bytes(), size_of(call.inputs[0].dtype, dims))

    def _place_of_v(self, call: Call) -> int:
        place = 0
        for item in self.op.inputs:
            if item.name == "v":
                break
            place += int(call.attributes[item.count_attribute]) if item.count_attribute else 1
        return place

    def _attribute(self, item, call: Call) -> str:
        value = call.attributes[item.name]
        if item.kind is AttributeKind.INTEGER:
            return f"integer {item.name} {int(value)}"
        return f"{item.kind.name.lower()} {item.name} {value}"


def size_of(dtype: Dtype, shape: tuple[int, ...]) -> int:
    width = 4 if dtype in (Dtype.FLOAT32, Dtype.INT32) else 2
    return width * torch.Size(shape).numel()


def joined(shape: tuple[int, ...]) -> str:
    return ",".join(map(str, shape)) or "-"


LENGTHS = Sizes(rows=7, keys=63, width=32, value_width=48, causal=True, kv_lengths=(63, 20), q_start=(56, 3))
SPLIT = Sizes(2, 1, rows=1, keys=700, width=64, value_width=64, batch=1)
ODD = Sizes(2, 2, rows=127, keys=127, width=40, value_width=20, causal=True)
GRID = {"grid_height": 9, "grid_width": 14, "grid_radius": 2, "grid_metric": "manhattan", "grid_prefix": 1}
OPTIONS = {
    "KrauseAttention": ({"top_k": 3}, {"window": 40}, GRID),
    "AffineScaledAttention": ({}, {}, {"scale": -0.7}),
    "SelectiveSynchronizationAttention": ({"top_k": 3}, {}, {}),
    "TopNAttention": ({"n": 6}, {"n": 20, "renormalize": False}, {"n": 300}),
    "HadamardLinearAttention": ({"features": (8, 24)}, {"features": (16, 8, 8)}, {"features": (5, 7)}),
}
CASES = [
    Case(op_type, sizes, options)
    for op_type, given in OPTIONS.items()
    for sizes, options in zip((LENGTHS, SPLIT, ODD), given, strict=True)
]
