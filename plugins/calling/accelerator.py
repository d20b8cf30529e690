"""Calls of torch operators as a plugin library carries them out, or leaves them to the reference."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnexport.plugins.calling.interface import Status
from attnexport.plugins.calling.library import Library
from attnexport.plugins.calling.operators import OperatorError
from attnexport.plugins.calling.torch_calls import DTYPES, run_op
from attnexport.variants.spec import Variant

_warned: set[str] = set()


class KernelWarning(UserWarning):
    """An operator ran through its reference although it was called on a device that has kernels."""


def warn(reason: str, kind: str | None = None) -> None:
    """Warns that the reference runs, once a process for each kind of reason. Default: a kind of its own."""
    if (kind or reason) not in _warned:
        _warned.add(kind or reason)
        warnings.warn(f"the reference runs instead of a kernel: {reason}", KernelWarning, stacklevel=2)


@dataclass(frozen=True)
class Accelerator:
    """A library and the device whose tensors go to it.

    Attributes:
        library: with the operators.
        device_type: "cuda", or "cpu" for a library that was built for the CPU. Default: "cuda".
    """

    library: Library
    device_type: str = "cuda"

    def run(self, variant: Variant, args: Sequence[Any]) -> Tensor | None:
        """The operator's result for positional arguments, or None where the reference must compute it."""
        bound = variant.bind(tuple(args), {})
        tensors = [item for value in bound.values() for item in _flat(value)]
        device, dtype = tensors[0].device, _activation_dtype(tensors)
        if dtype == torch.float64 or any(tensor.device != device and tensor.dim() > 1 for tensor in tensors):
            return None
        missing = self._missing(variant.op_type, device, dtype) or self._not_taken(variant, bound)
        if missing is not None:
            warn(f"{self.library.path} has no {missing}")
            return None
        return self._call(variant.op_type, bound, device, dtype)

    def _missing(self, op_type: str, device: torch.device, dtype: torch.dtype) -> str | None:
        """What the library would need for such a call, or None where it has all."""
        op = self.library.ops.get(op_type)
        if op is None:
            return op_type
        if device.type == "cuda" and not _has_code_for(self.library, device):
            return f"code for {torch.cuda.get_device_name(device)}"
        if DTYPES.get(dtype) not in op.dtypes:
            return f"{op_type} for {str(dtype).removeprefix('torch.')}"
        return None

    def _not_taken(self, variant: Variant, bound: Mapping[str, Any]) -> str | None:
        """What is given and the library's operator knows nothing of, or None where it takes it all."""
        op = self.library.ops[variant.op_type]
        known = {item.name for item in op.inputs} | {item.name for item in op.attributes}
        for argument in variant.torch_op._schema.arguments:
            value = bound[argument.name]
            given = isinstance(value, Tensor) or value != argument.default_value
            if given and argument.name not in known:
                return f"{argument.name} in {variant.op_type}"
        return None

    def _call(self, op_type: str, bound: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Tensor | None:
        """The result, of v's type, or None where the library does not take these sizes or options."""
        op = self.library.ops[op_type]
        given = {item.name: _converted(bound[item.name], device, dtype) for item in op.inputs}
        attributes = {item.name: bound[item.name] for item in op.attributes if item.name in bound}
        try:
            return run_op(op, given, attributes).to(bound["v"].dtype)
        except OperatorError as error:
            if error.status is Status.CUDA_ERROR:
                raise
            warn(str(error), f"{op_type} {error.status.name}")
            return None


def _flat(value: Any) -> list[Tensor]:
    items = value if isinstance(value, (list, tuple)) else [value]
    return [item for item in items if isinstance(item, torch.Tensor)]


def _activation_dtype(tensors: Sequence[Tensor]) -> torch.dtype:
    """The type of the floating tensors with tokens; autocast leaves parameters of one dim or none wider."""
    dtypes = [tensor.dtype for tensor in tensors if tensor.is_floating_point() and tensor.dim() > 1]
    return functools.reduce(torch.promote_types, dtypes)


@functools.cache
def _runs_on(architectures: tuple[int, ...], ptx: int | None, capability: int) -> bool:
    """Whether machine code of one of these, or PTX of this one, runs on a GPU of that compute capability."""
    same_major = (sm for sm in architectures if sm // 10 == capability // 10 and sm <= capability)
    return any(same_major) or (ptx is not None and ptx <= capability)


def _has_code_for(library: Library, device: torch.device) -> bool:
    if not library.info.architectures:
        return True
    major, minor = torch.cuda.get_device_capability(device)
    return _runs_on(tuple(library.info.architectures), library.info.ptx, 10 * major + minor)


def _converted(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Floating tensors in that type, and all on that device: lengths and parameters may lie on the CPU."""
    if isinstance(value, (list, tuple)):
        return [_converted(item, device, dtype) for item in value]
    if value is None:
        return None
    return value.to(device, dtype) if value.is_floating_point() else value.to(device)
