"""Calls an operator of a plugin library on torch tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from attnexport.errors import InputError
from attnexport.plugins.calling.interface import Dtype
from attnexport.plugins.calling.operators import Array, Call, Op

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
) -> Tensor:
    """Runs an operator on tensors of one device.

    Args:
        op: the operator; of a library for the CPU where the tensors are.
        arguments: per input name a tensor, a list for an input that takes several, or None for an absent length.
            The floating ones share one type. What is not contiguous or aligned is copied.
        attributes: its attributes; counts of lists may be left out.
        output: contiguous (B, H, N, Dv) of that type to write into. Default: a new tensor.
        workspace: bytes to use, uint8. Default: as many as needed are allocated.

    Returns:
        (B, H, N, Dv); on a GPU it is launched on the current stream.

    Raises:
        InputError: an argument is missing, on another device than v, or of a type that the kernels have no notion of;
            or the output is not what the call gives.
        OperatorError: the library does not take such a call.
    """
    inputs, counts = _flatten(op, arguments)
    value = _value(op, arguments)
    wanted = (*inputs[0].shape[:3], value.shape[-1])
    result = value.new_empty(wanted) if output is None else _checked_output(op, output, wanted, value)
    if result.numel() == 0:
        return result
    arrays = [Array(tensor.data_ptr(), _dtype(op, tensor), tuple(tensor.shape)) for tensor in inputs]
    call = Call(arrays, {**attributes, **counts}, result.data_ptr())
    if result.device.type != "cuda":
        _launch(op, call, result, workspace, 0)
    else:
        with torch.cuda.device(result.device):
            _launch(op, call, result, workspace, torch.cuda.current_stream().cuda_stream)
    return result


def _value(op: Op, arguments: Mapping[str, Argument]) -> Tensor:
    value = arguments.get("v")
    if not isinstance(value, Tensor) or value.dim() != 4:
        given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"{op.name}: expected v as a tensor (B, Hkv, M, Dv), given {given}")
    return value


def _checked_output(op: Op, output: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
    fits = tuple(output.shape) == shape and output.dtype == like.dtype and output.device == like.device
    if not fits or not output.is_contiguous():
        raise InputError(
            f"{op.name}: expected a contiguous output {shape} of {like.dtype} on {like.device}, "
            f"given {tuple(output.shape)} of {output.dtype} on {output.device}"
        )
    return output


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
    device = _value(op, arguments).device
    for name, value in _with_earlier_lengths(op, arguments):
        for tensor in [value] if isinstance(value, Tensor) else value:
            if tensor.device != device:
                raise InputError(f"{op.name}: expected {name} on {device}, given {tensor.device}")
        if isinstance(value, Tensor):
            flat.append(_ready(value))
        else:
            flat.extend(_ready(tensor) for tensor in value)
            count = next(item.count_attribute for item in op.inputs if item.name == name)
            if count is not None:
                counts[count] = len(value)
    return flat, counts


def _with_earlier_lengths(op: Op, arguments: Mapping[str, Argument]) -> list[tuple[str, Tensor | Sequence[Tensor]]]:
    """The given arguments; a length before a given one that is absent itself gets its default."""
    last = max((index for index, item in enumerate(op.inputs) if arguments.get(item.name) is not None), default=-1)
    present: list[tuple[str, Tensor | Sequence[Tensor]]] = []
    for index, item in enumerate(op.inputs):
        value = arguments.get(item.name)
        if value is None and not item.is_length:
            raise InputError(f"{op.name}: expected a tensor {item.name}, given none")
        if value is None and index < last:
            value = _default(item.name, op, arguments)
        if value is not None:
            present.append((item.name, value))
    return present


def _default(name: str, op: Op, arguments: Mapping[str, Argument]) -> Tensor:
    """kv_lengths = M, q_start = M - N or kv_start = 0, int32 (B,)."""
    v, query = _value(op, arguments), arguments[op.inputs[0].name]
    rows = (query if isinstance(query, Tensor) else query[0]).shape[2]  # type: ignore[index]
    value = {"kv_lengths": v.shape[2], "q_start": v.shape[2] - rows}.get(name, 0)
    return torch.full((v.shape[0],), value, dtype=torch.int32, device=v.device)


def _ready(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().contiguous()
    return tensor if tensor.data_ptr() % _TENSOR_ALIGNMENT == 0 else tensor.clone()


def _dtype(op: Op, tensor: Tensor) -> Dtype:
    if tensor.dtype not in DTYPES:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise InputError(f"{op.name}: expected tensors of {names}, given {str(tensor.dtype).removeprefix('torch.')}")
    return DTYPES[tensor.dtype]
