"""Lets the torch operators call a plugin library instead of their references.

The library is the one given to :func:`use`, else the file that $ATTNEXPORT_PLUGIN_LIBRARY names, else the one that
``attnexport plugins build`` writes without ``-o``. Whatever a library does not cover goes through the reference, with
a warning once a process for each reason; float64 does so silently, for it is what the reference is for.
"""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnexport.errors import InputError
from attnexport.plugins.building.locations import LIBRARY_VARIABLE, default_library, is_ones_own

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from attnexport.plugins.calling.library import Library, Op
    from attnexport.variants import Variant


class KernelWarning(UserWarning):
    """An operator ran through its reference although it was called on a device that has kernels."""


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
        import torch

        from attnexport.plugins.calling.library import OperatorError, Status
        from attnexport.plugins.calling.torch_calls import run_op

        op = self.library.ops.get(variant.op_type)
        if op is None:
            _warn(f"{self.library.path} has no {variant.op_type}")
            return None
        bound = variant.bind(tuple(args), {})
        tensors = [item for value in bound.values() for item in _flat(value)]
        device, dtype = tensors[0].device, _activation_dtype(tensors)
        if dtype == torch.float64 or any(tensor.device != device and tensor.dim() > 1 for tensor in tensors):
            return None
        if device.type == "cuda" and not _has_code_for(self.library, device):
            _warn(f"{self.library.path} has no code for {torch.cuda.get_device_name(device)}")
            return None
        if not _supports(op, dtype):
            _warn(f"{self.library.path} has no {variant.op_type} for {str(dtype).removeprefix('torch.')}")
            return None
        given = {item.name: _converted(bound[item.name], device, dtype) for item in op.inputs}
        attributes = {item.name: bound[item.name] for item in op.attributes if item.name in bound}
        try:
            return run_op(op, given, attributes).to(bound["v"].dtype)
        except OperatorError as error:
            if error.status is Status.CUDA_ERROR:
                raise
            _warn(str(error), f"{variant.op_type} {error.status.name}")
            return None


class _Choice:
    """Which accelerator is in use: chosen, or searched for once."""

    def __init__(self) -> None:
        self.searched = False
        self.accelerator: Accelerator | None = None


_choice = _Choice()
_warned: set[str] = set()


def use(library: str | os.PathLike[str] | Library | None, *, device_type: str = "cuda") -> None:
    """Chooses the library that the operators call, from now on.

    Args:
        library: its path or an open one; None for none, so that every operator runs its reference.
        device_type: of the tensors that go to it. Default: "cuda".

    Raises:
        InputError: no plugin library there, or one of another ABI.
    """
    _choice.accelerator = None if library is None else Accelerator(_opened(library), device_type)
    _choice.searched = True


@contextlib.contextmanager
def using(library: str | os.PathLike[str] | Library | None, *, device_type: str = "cuda") -> Iterator[None]:
    """As :func:`use`, until the block ends.

    Raises:
        InputError: no plugin library there, or one of another ABI.
    """
    before = _choice.searched, _choice.accelerator
    use(library, device_type=device_type)
    try:
        yield
    finally:
        _choice.searched, _choice.accelerator = before


def accelerate(operator: str, args: Sequence[Any]) -> Tensor | None:
    """What an operator asks before it runs its reference.

    Args:
        operator: qualified name of the torch operator.
        args: its positional arguments.

    Returns:
        The result, or None where the reference must compute it.
    """
    first = args[0][0] if isinstance(args[0], (list, tuple)) else args[0]
    accelerator = _choice.accelerator
    if accelerator is None and not _choice.searched and first.device.type == "cuda":
        accelerator = _search()
    if accelerator is None or first.device.type != accelerator.device_type:
        return None
    return accelerator.run(_variant(operator), args)


def _search() -> Accelerator | None:
    _choice.searched = True
    named = os.environ.get(LIBRARY_VARIABLE)
    path = Path(named) if named else default_library()
    if path is not None and not named and not is_ones_own(path):
        _warn(f"{path} is not opened: others than its user can change it")
        return None
    if path is None:
        _warn("no plugin library found; attnexport plugins build --api none builds one")
        return None
    try:
        _choice.accelerator = Accelerator(_opened(path))
    except InputError as error:
        _warn(str(error))
    return _choice.accelerator


def _opened(library: str | os.PathLike[str] | Library) -> Library:
    from attnexport.plugins.calling.library import Library, load_library

    return library if isinstance(library, Library) else load_library(library)


def _variant(operator: str) -> Variant:
    from attnexport.variants import all_variants

    return next(variant for variant in all_variants() if variant.torch_name == operator)


def _warn(reason: str, kind: str | None = None) -> None:
    """Warns, once for this kind of reason."""
    if (kind or reason) not in _warned:
        _warned.add(kind or reason)
        warnings.warn(f"the reference runs instead of a kernel: {reason}", KernelWarning, stacklevel=2)


def _flat(value: Any) -> list[Tensor]:
    import torch

    items = value if isinstance(value, (list, tuple)) else [value]
    return [item for item in items if isinstance(item, torch.Tensor)]


def _activation_dtype(tensors: Sequence[Tensor]) -> torch.dtype:
    """The type of the floating tensors with tokens; autocast leaves parameters of one dim or none wider."""
    import torch

    dtypes = [tensor.dtype for tensor in tensors if tensor.is_floating_point() and tensor.dim() > 1]
    return functools.reduce(torch.promote_types, dtypes)


@functools.cache
def _runs_on(architectures: tuple[int, ...], ptx: int | None, capability: int) -> bool:
    """Whether machine code of one of these, or PTX of this one, runs on a GPU of that compute capability."""
    same_major = (sm for sm in architectures if sm // 10 == capability // 10 and sm <= capability)
    return any(same_major) or (ptx is not None and ptx <= capability)


def _has_code_for(library: Library, device: torch.device) -> bool:
    import torch

    if not library.info.architectures:
        return True
    major, minor = torch.cuda.get_device_capability(device)
    return _runs_on(tuple(library.info.architectures), library.info.ptx, 10 * major + minor)


def _supports(op: Op, dtype: torch.dtype) -> bool:
    from attnexport.plugins.calling.torch_calls import DTYPES

    return DTYPES.get(dtype) in op.dtypes


def _converted(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Floating tensors in that type, and all on that device: lengths and parameters may lie on the CPU."""
    if isinstance(value, (list, tuple)):
        return [_converted(item, device, dtype) for item in value]
    if value is None:
        return None
    return value.to(device, dtype) if value.is_floating_point() else value.to(device)
