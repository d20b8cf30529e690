"""Calls an operator of a plugin library on torch tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from attnexport.errors import InputError
from attnexport.plugins.library import Array, Call, Dtype, Op

DTYPES = {
    torch.float32: Dtype.FLOAT32,
    torch.float16: Dtype.FLOAT16,
    torch.bfloat16: Dtype.BFLOAT16,
    torch.int32: Dtype.INT32,
}

_WORKSPACE_ALIGNMENT = 256
_TENSOR_ALIGNMENT = 16

Argument = Tensor | Sequence[Tensor] | None


def run_op(
    op: Op,
    arguments: Mapping[str, Argument],
    attributes: Mapping[str, int | float | str],
    *,
    output: Tensor | None = None,
    workspace: Tensor | None = None,
    stream: int | None = None,
) -> Tensor:
    """Runs an operator on tensors of one device.

    Args:
        op: the operator; of a library for the CPU where the tensors are.
        arguments: per input name a tensor, a list for an input that takes several, or None for an absent length.
            The floating ones share one type. What is not contiguous or aligned is copied.
        attributes: its attributes; counts of lists may be left out.
        output: contiguous (B, H, N, Dv) of that type to write into. Default: a new tensor.
        workspace: bytes to use, uint8. Default: as many as needed are allocated.
        stream: a cudaStream_t. Default: the device's current stream.

    Returns:
        (B, H, N, Dv); on a GPU it is ready when the stream gets there.

    Raises:
        InputError: an argument is missing or of a type that the kernels have no notion of.
        OperatorError: the library does not take such a call.
    """
    inputs, counts = _flatten(op, arguments)
    value = arguments["v"]
    assert isinstance(value, Tensor)
    result = value.new_empty((*inputs[0].shape[:3], value.shape[3])) if output is None else output
    if result.numel() == 0:
        return result
    arrays = [Array(tensor.data_ptr(), _dtype(op, tensor), tuple(tensor.shape)) for tensor in inputs]
    call = Call(arrays, {**attributes, **counts}, result.data_ptr())
    if result.device.type != "cuda":
        _launch(op, call, result, workspace, stream or 0)
        return result
    with torch.cuda.device(result.device):
        current = torch.cuda.current_stream().cuda_stream if stream is None else stream
        _launch(op, call, result, workspace, current)
    return result


def _launch(op: Op, call: Call, result: Tensor, workspace: Tensor | None, stream: int) -> None:
    if workspace is None:
        needed = op.workspace(call)
        workspace = torch.empty(needed + _WORKSPACE_ALIGNMENT, dtype=torch.uint8, device=result.device)
    skipped = -workspace.data_ptr() % _WORKSPACE_ALIGNMENT
    op.launch(call, workspace.data_ptr() + skipped, workspace.numel() - skipped, stream)


def _flatten(op: Op, arguments: Mapping[str, Argument]) -> tuple[list[Tensor], dict[str, int]]:
    """The inputs in order, ready for the kernels, and how many each list has."""
    flat: list[Tensor] = []
    counts: dict[str, int] = {}
    for given in _with_earlier_lengths(op, arguments):
        name, value = given
        if isinstance(value, Tensor):
            flat.append(_ready(value))
        else:
            flat.extend(_ready(tensor) for tensor in value)
            count = next(item.count_attribute for item in op.inputs if item.name == name)
            if count is not None:
                counts[count] = len(value)
    return flat, counts


def _with_earlier_lengths(op: Op, arguments: Mapping[str, Argument]) -> list[tuple[str, Tensor | Sequence[Tensor]]]:
    """The given arguments; a length before a given one that is absent itself becomes the number of keys."""
    last = max((index for index, item in enumerate(op.inputs) if arguments.get(item.name) is not None), default=-1)
    present: list[tuple[str, Tensor | Sequence[Tensor]]] = []
    for index, item in enumerate(op.inputs):
        value = arguments.get(item.name)
        if value is None and not item.is_length:
            raise InputError(f"{op.name}: expected a tensor {item.name}, given none")
        if value is None and index < last:
            v = arguments["v"]
            assert isinstance(v, Tensor)
            value = torch.full((v.shape[0],), v.shape[2], dtype=torch.int32, device=v.device)
        if value is not None:
            present.append((item.name, value))
    return present


def _ready(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().contiguous()
    return tensor if tensor.data_ptr() % _TENSOR_ALIGNMENT == 0 else tensor.clone()


def _dtype(op: Op, tensor: Tensor) -> Dtype:
    if tensor.dtype not in DTYPES:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise InputError(f"{op.name}: expected tensors of {names}, given {str(tensor.dtype).removeprefix('torch.')}")
    return DTYPES[tensor.dtype]
