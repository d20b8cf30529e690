"""Which inputs of a file are state, which outputs they become, and what they start from, in the file's metadata."""

from __future__ import annotations

import base64
import binascii
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes  # noqa: F401 (NumPy knows bfloat16 by its name once this is imported)
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor

from attnexport.files.arrays import as_array
from attnexport.graph.metadata import PREFIX
from attnexport.models.model import Model
from attnexport.models.program import next_state

STATE = f"{PREFIX}state"
"""Metadata of a file: a JSON list with input, output, dtype, shape and initial (zlib, base64) of each buffer."""

LARGEST = 64 * 2**20
"""Bytes of initial values that are kept, all buffers together; beyond them a file says names alone."""


@dataclass(frozen=True)
class StateInput:
    """A buffer of the model that is an input of its file.

    Attributes:
        input, output: names of the input, and of the output that the next call takes.
        initial: what the first call takes, None where the file does not hold it.
    """

    input: str
    output: str
    initial: NDArray[Any] | None


def write_state(file: ir.Model, model: Model) -> None:
    """Notes the state inputs of a model, if it has any."""
    if not model.has_examples or not model.state_names:
        return
    kept = sum(tensor.nbytes for tensor in model.initial_state.values()) <= LARGEST
    entries = [_entry(name, tensor, kept) for name, tensor in model.initial_state.items()]
    file.metadata_props[STATE] = json.dumps(entries)


def _entry(name: str, tensor: Tensor, kept: bool) -> dict[str, Any]:
    array = as_array(tensor)
    entry = {"input": name, "output": next_state(name), "dtype": array.dtype.name, "shape": list(array.shape)}
    if kept:
        packed = zlib.compress(np.ascontiguousarray(array).tobytes())
        entry["initial"] = base64.b64encode(packed).decode("ascii")
    return entry


def read_state(model: ir.Model) -> tuple[StateInput, ...]:
    """The state inputs that a file notes; none where the note is not one of ours."""
    try:
        entries = json.loads(model.metadata_props.get(STATE, "[]"))
        return tuple(_read(entries))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error, zlib.error):
        return ()


def _read(entries: Any) -> Iterator[StateInput]:
    left = LARGEST
    for entry in entries:
        initial = None
        if "initial" in entry:
            dtype, shape = np.dtype(str(entry["dtype"])), tuple(map(int, entry["shape"]))
            size = dtype.itemsize * math.prod(shape)
            if min(shape, default=0) < 0 or not 0 <= size <= left:
                raise ValueError(entry["input"])
            left -= size
            unpacked = zlib.decompressobj().decompress(base64.b64decode(entry["initial"]), size + 1)
            initial = np.frombuffer(unpacked, dtype).reshape(shape)
        yield StateInput(str(entry["input"]), str(entry["output"]), initial)
